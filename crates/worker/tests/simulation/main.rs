//! Seeded simulation: the real code of several workers and janitors on a real Redis and a real Postgres, with a scheduler
//! that decides by lot who moves next and what goes wrong in between.
//!
//! Real are the Lua scripts, the leases, loading, gateway calls (over loopback, to the simulator), settling, planning,
//! delivering, sweeping and restoring. They stop at the points of `sincro_core::drill`; the scheduler lets one task at a time
//! go on to its next point, so that a seed is always the same history. Not taken part in by the driver of apalis: when a worker
//! asks, settles and renews is the scheduler's choice as well. Time is virtual.
//!
//! | room | what it holds |
//! |---|---|
//! | `place` | a database and a namespace for one history after the other |
//! | `stage` | tasks that are held at points, and let go one at a time |
//! | `world` | the state of one history |
//! | `draw` | what happens next, by lot |
//! | `crew`, `janitors`, `people`, `losses` | the moves: of workers, of janitors, of operators and gateways, of misfortune |
//! | `book`, `fence` | what must hold at every moment |
//! | `audit` | what must hold at the end |
//!
//! `docs/simulation.md` says how to read a failure. One history, told step by step: `./just simulate --seed 123`; more of them:
//! `./just simulate --seeds 10000`.

#![expect(clippy::unwrap_used, reason = "a test may end at once where something is not as it must be")]
#![expect(clippy::print_stdout, reason = "a history is told to whoever asks with --nocapture")]

mod audit;
mod book;
mod broken;
mod crew;
mod draw;
mod fence;
mod janitors;
mod losses;
mod people;
mod place;
mod stage;
mod world;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{
    broken::Broken,
    draw::Kinds,
    place::Place,
    world::{PEACE, World},
};

/// In every test run.
const HISTORIES: u64 = 200;
/// Threads, each with a place of its own.
const AT_ONCE: usize = 2;
/// How often it is said how far the telling is.
const TOLD_EVERY: u64 = 500;
/// Of the histories that went wrong.
const SHOWN: usize = 3;
/// Every so many histories, one is told twice: it must be the same both times.
const TWICE_EVERY: u64 = 25;
/// Real time for one history, whatever the machine is busy with.
const LONGEST: Duration = Duration::from_mins(2);

#[test]
fn whatever_dies_or_is_lost_every_job_ends_and_every_message_is_stored_once() {
    let seeds = seeds();
    assert!(!seeds.is_empty(), "no history was asked for");
    let loud = seeds.end - seeds.start == 1;
    let next = Arc::new(AtomicU64::new(seeds.start));
    let tellers: Vec<_> = (0..AT_ONCE.min(usize::try_from(seeds.end - seeds.start).unwrap()))
        .map(|_| {
            let next = Arc::clone(&next);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(tell_all(&next, seeds.end, loud))
            })
        })
        .collect();
    let broken: Vec<String> = tellers.into_iter().flat_map(|teller| teller.join().unwrap()).collect();
    let shown = &broken[..broken.len().min(SHOWN)];
    assert!(broken.is_empty(), "{} histories went wrong:\n{}", broken.len(), shown.join("\n\n"));
}

#[expect(clippy::disallowed_methods, reason = "a seed to repeat is given by the environment")]
fn seeds() -> Range<u64> {
    let given = |name| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    if let Some(seed) = given("SINCRO_SEED") {
        return seed..seed + 1;
    }
    let first = given("SINCRO_FIRST_SEED").unwrap_or(0);
    first..first + given("SINCRO_SEEDS").unwrap_or(HISTORIES)
}

/// One history after the other, until there are no more or enough went wrong.
async fn tell_all(next: &AtomicU64, end: u64, loud: bool) -> Vec<String> {
    let place = Place::open().await;
    let mut broken = Vec::new();
    while broken.len() < SHOWN {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        if let Err(report) = tell(seed, &place, loud).await {
            println!("history {seed} went wrong: {}", report.lines().next().unwrap_or_default());
            broken.push(report);
        }
        if (seed + 1).is_multiple_of(TOLD_EVERY) {
            println!("history {seed} of those before {end} is told");
        }
    }
    place.close().await;
    broken
}

async fn tell(seed: u64, place: &Place, loud: bool) -> Result<(), String> {
    let (told, steps) = history(seed, place, Kinds::ALL, loud).await;
    match told {
        Err(broken) => Err(report(seed, place, &broken, &steps).await),
        Ok(()) if seed.is_multiple_of(TWICE_EVERY) || loud => {
            let (_, again) = history(seed, place, Kinds::ALL, false).await;
            let differs = steps.iter().zip(&again).position(|(one, other)| one != other);
            match differs.or((steps.len() != again.len()).then(|| steps.len().min(again.len()))) {
                None => Ok(()),
                Some(i) => Err(format!(
                    "seed {seed} is not the same history twice: step {i} was\n  {:?}\nand then\n  {:?}\n{}",
                    steps.get(i),
                    again.get(i),
                    how_to_repeat(seed)
                )),
            }
        }
        Ok(()) => Ok(()),
    }
}

/// One history from its beginning to its end: whether everything held, and its steps.
async fn history(seed: u64, place: &Place, kinds: Kinds, loud: bool) -> (Result<(), Broken>, Vec<String>) {
    let telling = Telling(seed);
    place.clean().await;
    let mut world = World::new(seed, place, kinds, loud).await;
    let told = tokio::time::timeout(LONGEST, world.run()).await.unwrap_or_else(|_| {
        let held = world.whereabouts();
        Err(Broken { promise: "nothing_waits_for_ever", seen: held })
    });
    let steps = world.leave();
    drop(telling);
    (told, steps)
}

/// Names the seed of a history that ends in a panic.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the telling of seed {} panicked; {}", self.0, how_to_repeat(self.0));
        }
    }
}

fn how_to_repeat(seed: u64) -> String {
    format!(
        "again: ./just simulate --seed {seed}    \
         (SINCRO_SEED={seed} cargo test -p sincro-worker --test simulation -- --nocapture)"
    )
}

/// What broke, how few kinds of misfortune are enough for it, the last steps, and how to see all of them.
async fn report(seed: u64, place: &Place, Broken { promise, seen }: &Broken, all_steps: &[String]) -> String {
    let mut kinds = Kinds::ALL;
    let mut fewest = all_steps.to_vec();
    for kind in Kinds::EACH {
        let fewer = kinds.without(kind);
        let (outcome, steps) = history(seed, place, fewer, false).await;
        if outcome.is_err_and(|broken| broken.promise == *promise) {
            (kinds, fewest) = (fewer, steps);
        }
    }
    let calm = fewest.iter().position(|step| step.ends_with(PEACE)).unwrap_or(fewest.len());
    let (before, after) = fewest.split_at(calm);
    let mut last = before[before.len().saturating_sub(60)..].to_vec();
    last.extend(after.iter().take(30).cloned());
    let tail = last.join("\n  ");
    format!(
        "{promise} is broken by seed {seed}: {seen}\n\
         with these alone it breaks as well: {kinds}; of its {} steps the last before peace, and the first after:\n  {tail}\n{}",
        fewest.len(),
        how_to_repeat(seed)
    )
}
