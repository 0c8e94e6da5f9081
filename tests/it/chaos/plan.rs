//! What goes wrong, what is asked for, and when: all of it decided by the seed before anything starts.
//!
//! Time goes in rounds. A round begins in fair weather, in which only the gateway may complain; then faults come, one on top of
//! the other, and all are over when the round ends. What the gateway says in fair weather is heard by everybody, so the checks
//! at the end can hold the system to it.

use std::{collections::BTreeMap, fmt, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sincro_core::drill::Point;

use super::servers::End;

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
const FAULT_GAPS_MS: std::ops::Range<u64> = 150..1_100;
const DEED_GAPS_MS: std::ops::Range<u64> = 300..1_800;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// SIGKILL of a member, which is away for so long.
    Kill {
        member: usize,
    },
    /// A worker is killed, and starts with the order to die at a point of its code.
    Drill {
        member: usize,
        point: Point,
        passage: u32,
    },
    /// SIGTERM of a member, then a new one in its place.
    Terminate {
        member: usize,
    },
    /// SIGSTOP, and SIGCONT at the end.
    Freeze {
        member: usize,
    },
    /// `FLUSHALL`.
    Flush,
    /// Redis stops and comes back with what it had.
    RestartRedis {
        end: End,
    },
    /// Redis is killed and comes back empty.
    EmptyRedis,
    /// Redis is killed and comes back as it was when the fault began.
    RewindRedis,
    /// Postgres stops and comes back.
    RestartPostgres {
        end: End,
    },
    /// A member's line is cut.
    CutRedis {
        member: usize,
    },
    CutPostgres {
        member: usize,
    },
    /// A member's line takes so much longer.
    SlowRedis {
        member: usize,
        by: Duration,
    },
    SlowPostgres {
        member: usize,
        by: Duration,
    },
    /// The gateway answers so many calls of a channel 429.
    Throttle {
        channel: usize,
        calls: u64,
        retry_after_s: u64,
    },
    /// The gateway answers so many calls 503, which is meant for all of them.
    Overload {
        calls: u64,
        retry_after_s: u64,
    },
    /// A channel's session is lost, and found at the end.
    LoseSession {
        channel: usize,
    },
    /// A part of the gateway's answers is broken.
    BreakAnswers,
}

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

/// What a fault occupies, so that no two faults of one thing overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Member(usize),
    ToRedis(usize),
    ToPostgres(usize),
    Redis,
    Postgres,
    Channel(usize),
    Gateway,
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
    let worker = dice.random_range(0..WORKERS);
    let end = if dice.random_bool(0.5) { End::Orderly } else { End::Crash };
    let by = Duration::from_millis(dice.random_range(20..400));
    match dice.random_range(0..100) {
        0..14 => Fault::Kill { member },
        14..26 => {
            let point = *Point::ALL.choose(dice).expect("there are points");
            Fault::Drill { member: worker, point, passage: dice.random_range(1..12) }
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

impl Fault {
    /// How it is counted in the last line.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "SIGKILL",
            Self::Drill { .. } => "crash point",
            Self::Terminate { .. } => "SIGTERM",
            Self::Freeze { .. } => "SIGSTOP",
            Self::Flush => "FLUSHALL",
            Self::RestartRedis { .. } => "Redis restarted",
            Self::EmptyRedis => "Redis emptied",
            Self::RewindRedis => "Redis rewound",
            Self::RestartPostgres { .. } => "Postgres restarted",
            Self::CutRedis { .. } | Self::CutPostgres { .. } => "line cut",
            Self::SlowRedis { .. } | Self::SlowPostgres { .. } => "line slow",
            Self::Throttle { .. } => "429",
            Self::Overload { .. } => "503",
            Self::LoseSession { .. } => "session lost",
            Self::BreakAnswers => "answers broken",
        }
    }

    /// Whether it keeps what the gateway says, or leave to call it, from being heard in time.
    pub(super) fn is_weather(&self) -> bool {
        let gateway = matches!(self.place(), Place::Channel(_) | Place::Gateway);
        !gateway
    }

    fn place(&self) -> Place {
        match self {
            Self::Kill { member }
            | Self::Drill { member, .. }
            | Self::Terminate { member }
            | Self::Freeze { member } => Place::Member(*member),
            Self::CutRedis { member } | Self::SlowRedis { member, .. } => Place::ToRedis(*member),
            Self::CutPostgres { member } | Self::SlowPostgres { member, .. } => Place::ToPostgres(*member),
            Self::Flush | Self::RestartRedis { .. } | Self::EmptyRedis | Self::RewindRedis => Place::Redis,
            Self::RestartPostgres { .. } => Place::Postgres,
            Self::Throttle { channel, .. } | Self::LoseSession { channel } => Place::Channel(*channel),
            Self::Overload { .. } | Self::BreakAnswers => Place::Gateway,
        }
    }

    fn lengths_ms(&self) -> std::ops::Range<u64> {
        match self {
            Self::Flush | Self::Terminate { .. } | Self::Throttle { .. } | Self::Overload { .. } => 1..2,
            Self::Kill { .. } => 10..2_500,
            // Until it has passed its point, or is killed at the end.
            Self::Drill { .. } => 3_000..6_000,
            // The lease is two seconds.
            Self::Freeze { .. } => 300..6_000,
            Self::RestartRedis { .. } | Self::EmptyRedis | Self::RewindRedis => 50..2_500,
            Self::RestartPostgres { .. } => 50..2_000,
            Self::CutRedis { .. } | Self::CutPostgres { .. } => 20..4_000,
            Self::SlowRedis { .. } | Self::SlowPostgres { .. } => 1_000..4_000,
            Self::LoseSession { .. } | Self::BreakAnswers => 1_000..5_000,
        }
    }

    pub(super) fn has_end(&self) -> bool {
        !matches!(self, Self::Flush | Self::Terminate { .. } | Self::Throttle { .. } | Self::Overload { .. })
    }
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
