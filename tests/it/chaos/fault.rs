//! What can go wrong, where, and for how long. How it is done is `site`'s.

use std::{ops::Range, time::Duration};

use sincro_core::drill::Point;

use super::servers::End;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// SIGKILL of a member, which is away for so long.
    Kill {
        member: usize,
    },
    /// A member is killed, and starts with the order to die at a point of its code.
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

/// What a fault occupies, so that no two faults of one thing overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Member(usize),
    ToRedis(usize),
    ToPostgres(usize),
    Redis,
    Postgres,
    Channel(usize),
    Gateway,
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

    /// What is occupied by it.
    pub(super) fn place(&self) -> Place {
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

    /// From when to when it may last.
    pub(super) fn lengths_ms(&self) -> Range<u64> {
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

    /// Whether it lasts at all.
    pub(super) fn has_end(&self) -> bool {
        !matches!(self, Self::Flush | Self::Terminate { .. } | Self::Throttle { .. } | Self::Overload { .. })
    }
}
