//! What a job or a sync waits for, in the words that people read everywhere.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    channel::PausedBy,
    limit::{Level, Period},
};

/// What keeps the next job of a sync from starting.
///
/// Its text is what API, events, command line and views show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// The next slot of a rate, or of a cap over a longer period.
    Rate {
        /// Whose limit binds.
        level: Level,
        /// The cap's period; none for the rate.
        per: Option<Period>,
    },
    /// As many calls are under way as may be.
    Concurrency {
        /// Whose limit binds.
        level: Level,
    },
    /// The gateway asked for a rest, or nobody answers there.
    Cooldown {
        /// Who rests.
        level: Level,
        /// Until then.
        until: DateTime<Utc>,
        /// `throttled`, `unreachable`.
        reason: String,
    },
    /// The number is not connected; it is probed.
    SessionLost {
        /// The call and the cause.
        detail: String,
    },
    /// Somebody has to resume the channel.
    ChannelPaused {
        /// Who or what stopped it.
        by: PausedBy,
        /// Why.
        reason: String,
    },
    /// Somebody has to resume the sync.
    SyncPaused,
    /// Jobs of its channel that come first.
    Behind {
        /// So many.
        jobs: i64,
    },
    /// The next attempt of a job that failed.
    Retry {
        /// When.
        at: DateTime<Utc>,
    },
    /// A worker with a free slot.
    Worker,
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { level, per: None } => write!(f, "rate: {level}"),
            Self::Rate { level, per: Some(period) } => write!(f, "rate: {level} per {period}"),
            Self::Concurrency { level } => write!(f, "concurrency: {level}"),
            Self::Cooldown { level: Level::Channel, until, reason } => {
                write!(f, "cooldown until {}: {reason}", seconds(*until))
            }
            Self::Cooldown { level: Level::Server, until, reason } => {
                write!(f, "cooldown until {}: server {reason}", seconds(*until))
            }
            Self::SessionLost { detail } => write!(f, "session lost: {detail}"),
            Self::ChannelPaused { by, reason } => write!(f, "paused by {by}: {reason}"),
            Self::SyncPaused => f.write_str("paused by operator: sync"),
            Self::Behind { jobs: 1 } => f.write_str("behind 1 job"),
            Self::Behind { jobs } => write!(f, "behind {jobs} jobs"),
            Self::Retry { at } => write!(f, "retry at {}", seconds(*at)),
            Self::Worker => f.write_str("a free worker"),
        }
    }
}

fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_words() {
        let until = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let cooldown = |level| WaitsFor::Cooldown { level, until, reason: "throttled".into() };
        for (reason, text) in [
            (WaitsFor::Rate { level: Level::Server, per: None }, "rate: server"),
            (WaitsFor::Rate { level: Level::Channel, per: Some(Period::Hour) }, "rate: channel per hour"),
            (cooldown(Level::Channel), "cooldown until 2027-01-15T08:00:00Z: throttled"),
            (cooldown(Level::Server), "cooldown until 2027-01-15T08:00:00Z: server throttled"),
            (WaitsFor::SessionLost { detail: "GET /chat: no session".into() }, "session lost: GET /chat: no session"),
            (
                WaitsFor::ChannelPaused { by: PausedBy::Operator, reason: "new phone".into() },
                "paused by operator: new phone",
            ),
            (WaitsFor::Behind { jobs: 12 }, "behind 12 jobs"),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }
}
