//! What is drawn by lot: limits, waits, steps of the clock.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use sincro_core::limit::{LevelLimit, Limit};

const RATES: [f64; 9] = [0.2, 1.0, 1.7, 5.0, 20.0, 20.0, 99.5, 500.0, 10_000.0];
const BURSTS: [u32; 6] = [1, 1, 1, 2, 5, 20];
const CONCURRENCIES: [u32; 7] = [1, 1, 2, 3, 8, 8, 100];
const WEIGHTS: [u32; 9] = [1, 1, 1, 1, 1, 2, 3, 5, 100];

pub(crate) fn pick<T: Copy>(dice: &mut StdRng, of: &[T]) -> T {
    *of.choose(dice).unwrap()
}

pub(crate) fn limit(dice: &mut StdRng) -> LevelLimit {
    let limit = Limit {
        rate_per_second: pick(dice, &RATES),
        burst: pick(dice, &BURSTS),
        concurrency: pick(dice, &CONCURRENCIES),
    };
    LevelLimit {
        limit,
        per_minute: dice.random_bool(0.2).then(|| dice.random_range(1..20)),
        per_hour: dice.random_bool(0.1).then(|| dice.random_range(1..40)),
        per_day: dice.random_bool(0.1).then(|| dice.random_range(1..60)),
        weight: pick(dice, &WEIGHTS),
    }
}

/// How much time passes before a step (µs): mostly none or little, sometimes days.
pub(crate) fn pass(dice: &mut StdRng) -> i64 {
    match dice.random_range(0..100) {
        0..35 => 0,
        35..50 => dice.random_range(1..2_000),
        50..75 => dice.random_range(1_000..300_000),
        75..92 => dice.random_range(100_000..3_000_000),
        92..98 => dice.random_range(1_000_000..90_000_000),
        98 => dice.random_range(60_000_000..7_200_000_000),
        _ => dice.random_range(3_600_000_000..260_000_000_000),
    }
}

/// How long a gateway wants to be left alone, or a job waits.
pub(crate) fn wait(dice: &mut StdRng) -> Duration {
    Duration::from_micros(match dice.random_range(0..10) {
        0 => 0,
        1..3 => dice.random_range(1..5_000),
        3..9 => dice.random_range(5_000..8_000_000),
        _ => dice.random_range(8_000_000..600_000_000),
    })
}

/// Long enough for the real time that a history takes: an answer is kept for one lease by the clock of Redis.
pub(crate) fn lease(dice: &mut StdRng) -> Duration {
    Duration::from_secs(pick(dice, &[60, 60, 90, 600]))
}
