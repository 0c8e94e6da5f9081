//! What goes wrong, what is asked for, and when: all of it decided by the seed before anything starts.
//!
//! Time goes in rounds. A round begins in fair weather, in which only the gateway may complain; then faults come, one on top of
//! the other, and all are over when the round ends. What the gateway says in fair weather is heard by everybody, so the checks
//! at the end can hold the system to it.

use std::{collections::BTreeMap, fmt, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sincro_core::drill::Point;

use super::{
    fault::{Fault, Place},
    servers::End,
};

/// How many there are of each.
pub(super) const CHANNELS: usize = 4;
pub(super) const WORKERS: usize = 3;
/// The last member is the API.
pub(super) const API: usize = WORKERS;

const ROUND: Duration = Duration::from_secs(14);
const FAIR: Duration = Duration::from_millis(3_500);
const COMPLAINT: Duration = Duration::from_secs(2);
/// When everything is well again; the rest of a round is fair already.
const CLEARED: Duration = Duration::from_millis(13_500);
/// Where a member may be told to die: what only the API comes past, and the points of both.
const OF_API: [Point; 2] = [Point::Requested, Point::Delivered];
const FAULT_GAPS_MS: std::ops::Range<u64> = 150..1_100;
const DEED_GAPS_MS: std::ops::Range<u64> = 300..1_800;

/// Something a backend asks for. Numbers that point to a sync or a person are counted round and round.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Deed {
    SyncChannel {
        channel: usize,
    },
    SyncTicket {
        channel: usize,
        person: usize,
    },
    /// Pauses a sync and resumes it later.
    PauseSync {
        sync: usize,
        after: Duration,
    },
    /// The same with a channel.
    PauseChannel {
        channel: usize,
        after: Duration,
    },
    Cancel {
        sync: usize,
    },
    Retry {
        sync: usize,
    },
}

/// What happens at a moment of the plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Begin(Fault),
    End(Fault),
    Do(Deed),
}

/// The whole plan.
pub(super) struct Plan {
    /// In the order of their times.
    pub(super) events: Vec<(Duration, Event)>,
    /// By how many seconds the clock of each member is wrong.
    pub(super) skews: [i64; WORKERS + 1],
}

impl Plan {
    /// The plan of this seed for a run of this length.
    pub(super) fn draw(seed: u64, length: Duration) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let skews = std::array::from_fn(|_| dice.random_range(-15..=15));
        let mut events = Vec::new();
        let mut round = Duration::ZERO;
        while round + ROUND <= length.max(ROUND) {
            draw_round(round, &mut dice, &mut events);
            round += ROUND;
        }
        draw_deeds(round, &mut dice, &mut events);
        events.sort_by_key(|(at, _)| *at);
        Self { events, skews }
    }
}

fn draw_round(start: Duration, dice: &mut StdRng, events: &mut Vec<(Duration, Event)>) {
    let over = start + CLEARED;
    if dice.random_bool(0.8) {
        let complaint = if dice.random_bool(0.7) { throttle(dice) } else { overload(dice) };
        events.push((start + COMPLAINT, Event::Begin(complaint)));
    }
    let mut taken: BTreeMap<Place, Duration> = BTreeMap::new();
    let mut at = start + FAIR;
    loop {
        at += ms(dice, FAULT_GAPS_MS);
        if at + Duration::from_secs(1) > over {
            return;
        }
        let fault = draw_fault(dice);
        let end = (at + ms(dice, fault.lengths_ms())).min(over);
        let place = fault.place();
        if taken.get(&place).is_some_and(|until| *until >= at) {
            continue;
        }
        taken.insert(place, end);
        events.push((at, Event::Begin(fault.clone())));
        if fault.has_end() {
            events.push((end, Event::End(fault)));
        }
    }
}

fn draw_fault(dice: &mut StdRng) -> Fault {
    let member = dice.random_range(0..=API);
    let end = if dice.random_bool(0.5) { End::Orderly } else { End::Crash };
    let by = Duration::from_millis(dice.random_range(20..400));
    match dice.random_range(0..100) {
        0..14 => Fault::Kill { member },
        14..26 => {
            let passes =
                |point: &Point| if member == API { OF_API.contains(point) } else { *point != Point::Requested };
            let points: Vec<Point> = Point::ALL.iter().copied().filter(passes).collect();
            Fault::Drill {
                member,
                point: *points.choose(dice).expect("there are points"),
                passage: dice.random_range(1..5),
            }
        }
        26..31 => Fault::Terminate { member },
        31..43 => Fault::Freeze { member },
        43..50 => Fault::Flush,
        50..55 => Fault::RestartRedis { end },
        55..58 => Fault::EmptyRedis,
        58..61 => Fault::RewindRedis,
        61..66 => Fault::RestartPostgres { end },
        66..72 => Fault::CutRedis { member },
        72..78 => Fault::CutPostgres { member },
        78..82 => Fault::SlowRedis { member, by },
        82..86 => Fault::SlowPostgres { member, by },
        86..90 => throttle(dice),
        90..92 => overload(dice),
        92..96 => Fault::LoseSession { channel: dice.random_range(0..CHANNELS) },
        _ => Fault::BreakAnswers,
    }
}

fn throttle(dice: &mut StdRng) -> Fault {
    Fault::Throttle {
        channel: dice.random_range(0..CHANNELS),
        calls: dice.random_range(1..6),
        retry_after_s: dice.random_range(2..7),
    }
}

fn overload(dice: &mut StdRng) -> Fault {
    Fault::Overload { calls: dice.random_range(1..4), retry_after_s: dice.random_range(1..4) }
}

fn draw_deeds(until: Duration, dice: &mut StdRng, events: &mut Vec<(Duration, Event)>) {
    for channel in 0..CHANNELS {
        events.push((Duration::ZERO, Event::Do(Deed::SyncChannel { channel })));
    }
    let mut at = Duration::ZERO;
    loop {
        at += ms(dice, DEED_GAPS_MS);
        if at > until {
            return;
        }
        events.push((at, Event::Do(draw_deed(dice))));
    }
}

fn draw_deed(dice: &mut StdRng) -> Deed {
    let channel = dice.random_range(0..CHANNELS);
    let after = ms(dice, 300..4_000);
    let sync = dice.random_range(0..1_000);
    match dice.random_range(0..100) {
        0..30 => Deed::SyncTicket { channel, person: sync },
        30..65 => Deed::SyncChannel { channel },
        65..77 => Deed::PauseSync { sync, after },
        77..84 => Deed::PauseChannel { channel, after },
        84..90 => Deed::Cancel { sync },
        _ => Deed::Retry { sync },
    }
}

fn ms(dice: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

impl fmt::Display for Event {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(fault) => write!(to, "begins  {fault:?}"),
            Self::End(fault) => write!(to, "ends    {fault:?}"),
            Self::Do(deed) => write!(to, "asks    {deed:?}"),
        }
    }
}

#[test]
fn a_seed_is_a_plan_and_another_seed_is_another_one() {
    let minutes = Duration::from_mins(2);
    let of = |seed| Plan::draw(seed, minutes).events;
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    let faults = of(1).into_iter().filter(|(_, event)| matches!(event, Event::Begin(_))).count();
    assert!(faults > 50, "{faults} faults in two minutes");
    assert!(of(1).iter().all(|(at, _)| *at <= minutes));
}
