//! What happens to a job after its attempt, as far as the queue is concerned.

use std::{sync::LazyLock, time::Duration};

use chrono::{DateTime, Utc};
use redis::Value;
use sincro_core::{job::JobId, verdict::Rest};

use crate::{
    Error, Queue,
    claim::Ticket,
    script::{Call, Script},
};

static SETTLE_JOBS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/settle_jobs.lua")));

/// What the script takes at once.
pub(crate) const SETTLEMENTS_PER_CALL: usize = 1_000;
/// A gateway that asks for more rest than this is asked again after it.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
const LONGEST_DETAIL: usize = 300;

/// What the queue does with a job; the ledger has recorded the outcome before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is over.
    Done,
    /// One call is made, the next follows under the same attempt, before anything else of the channel.
    Next,
    /// The attempt failed; the next one not before then.
    Delay {
        /// When.
        due: DateTime<Utc>,
    },
    /// It was not really tried: back to the front, the attempt does not count.
    Back,
    /// Not now: the attempt does not count.
    Snooze {
        /// When.
        due: DateTime<Utc>,
    },
    /// Back, the attempt does not count, and its whole channel or server rests. To the end of its lane with a pause, or when it was
    /// the call that tried the level again; else to the front.
    Rest(Rest),
    /// Of a look at a session: it is not back. The queue decides when to look again. ([`Ruling::Done`]: it is back.)
    StillLost,
}

/// A ruling on its way to Redis.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The job.
    pub job: JobId,
    /// The claim it was held under; under any other the ruling changes nothing.
    pub ticket: Ticket,
    /// What happens.
    pub ruling: Ruling,
    /// How much later than usual the gateway may have seen the call: it counts from then on. None without a call: the permit goes
    /// back.
    pub used: Option<Duration>,
}

/// The call that settles up to 1,000 jobs; `claims_next` when the same worker claims right behind it.
pub(crate) fn call(queue: &Queue, shard: u16, claims_next: bool, settlements: &[Settlement]) -> Call {
    let now_us = queue.clock_us();
    let call = queue.call(&SETTLE_JOBS, shard).arg(i32::from(claims_next));
    settlements.iter().fold(call, |call, settlement| {
        let (ruling, argument) = words(&settlement.ruling, now_us);
        let call = call.arg(settlement.job).arg(settlement.ticket).arg(ruling).arg(argument);
        call.arg(settlement.used.map_or_else(String::new, |late| late.as_micros().to_string()))
    })
}

/// Settles jobs of one shard; returns those that were no longer held under their ticket.
pub async fn settle(queue: &Queue, shard: u16, settlements: &[Settlement]) -> Result<Vec<JobId>, Error> {
    let calls: Vec<_> =
        settlements.chunks(SETTLEMENTS_PER_CALL).map(|chunk| call(queue, shard, false, chunk)).collect();
    let mut stale = Vec::new();
    for answer in queue.link.run(&calls).await? {
        stale.extend(read(answer?)?);
    }
    Ok(stale)
}

/// Reads the script's answer.
pub(crate) fn read(answer: Value) -> Result<Vec<JobId>, Error> {
    Ok(redis::from_redis_value(answer)?)
}

/// Times travel as waits: the clock of Redis decides when they are over, not the worker's.
fn words(ruling: &Ruling, now_us: i64) -> (&'static str, String) {
    match ruling {
        Ruling::Done => ("done", String::new()),
        Ruling::Next => ("next", String::new()),
        Ruling::Back => ("back", String::new()),
        Ruling::Delay { due } => ("delay", wait_until(due, now_us)),
        Ruling::Snooze { due } => ("snooze", wait_until(due, now_us)),
        Ruling::StillLost => ("still_lost", String::new()),
        Ruling::Rest(Rest::Cooldown { level, wait, grows, slower, reason, detail }) => {
            let wait_us = (*wait).min(LONGEST_WAIT).as_micros();
            let (grows, slower) = (i32::from(*grows), i32::from(*slower));
            let reason = reason.replace('|', "/");
            ("cooldown", format!("{level}|{wait_us}|{grows}|{slower}|{reason}|{}", shortened(detail)))
        }
        Ruling::Rest(Rest::Pause(pause)) => ("pause", format!("{}|{}", pause.by, shortened(&pause.reason))),
    }
}

fn wait_until(due: &DateTime<Utc>, now_us: i64) -> String {
    due.timestamp_micros().saturating_sub(now_us).max(0).to_string()
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use sincro_core::limit::Level;

    use super::*;

    #[test]
    fn a_due_time_becomes_a_wait_and_the_past_becomes_at_once() {
        let due = DateTime::from_timestamp_micros(5_000_000).unwrap();
        assert_eq!(words(&Ruling::Delay { due }, 3_000_000), ("delay", "2000000".to_owned()));
        assert_eq!(words(&Ruling::Snooze { due }, 9_000_000), ("snooze", "0".to_owned()));
    }

    #[test]
    fn a_reason_cannot_break_out_of_its_field() {
        let rest = Rest::Cooldown {
            level: Level::Channel,
            wait: Duration::MAX,
            grows: true,
            slower: false,
            reason: "a|b",
            detail: "x".repeat(1_000) + "|\n",
        };
        let (_, argument) = words(&Ruling::Rest(rest), 0);
        assert!(argument.starts_with("channel|86400000000|1|0|a/b|xxx"));
        assert_eq!(argument.len(), "channel|86400000000|1|0|a/b|".len() + LONGEST_DETAIL);
    }
}
