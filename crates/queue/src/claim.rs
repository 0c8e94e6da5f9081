//! Asking for jobs: one call takes them together with their permits.

use std::{sync::LazyLock, time::Duration};

use redis::Value;
use sincro_core::{channel::ChannelId, job::JobId, limit::Level, sync::SyncId};

use crate::{
    Error, Queue,
    script::{Call, Script},
};

static CLAIM_JOBS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/claim_jobs.lua")));

/// What the script gives at once.
pub(crate) const JOBS_PER_CALL: usize = 1_000;

/// In the place of a sync: a look at the channel's session.
const PROBE: &str = "probe";

/// Fields of the answer before its first row, and of each row.
const HEAD: usize = 6;
const ROW: usize = 6;

/// What fences everything that is done for a claim: the time of the claim (µs), made unique.
pub type Ticket = i64;

/// A worker's question for jobs.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Which shard is asked.
    pub shard: u16,
    /// At most so many jobs, 0 to 1,000.
    pub max: usize,
    /// At most so many of them bulk: the other slots are kept for urgent work.
    pub max_bulk: usize,
    /// How long they are held without renewal.
    pub lease: Duration,
    /// Who asks; nobody else may use the name.
    pub asker: &'a str,
    /// Counts the asker's questions that were answered.
    pub number: u64,
    /// The answer to this question may have been lost: give what it gave.
    pub again: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The shard has no life; nothing was claimed.
    Emptied,
    /// Only a newer version knows the shard's keys; nothing was claimed.
    Newer,
    /// Jobs, if there were any to be had.
    Batch(Batch),
}

/// Jobs that were claimed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The life of the shard.
    pub epoch: i64,
    /// The fence of all of them.
    pub ticket: Ticket,
    /// How long until the next claim can succeed; none when only news can help.
    pub wait: Option<Duration>,
    /// Why there were not as many as asked for.
    pub held_back: HeldBack,
    /// Whose limit that is, for a rate or a cooldown.
    pub binds: Option<Level>,
    /// In the order in which they were taken.
    pub jobs: Vec<ClaimedJob>,
}

/// What keeps a shard from giving more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    /// Nothing: all that was asked for was given.
    No,
    /// The next slot of a rate.
    Rate,
    /// A cooldown.
    Cooldown,
    /// Every channel with work is paused or at its concurrency.
    Channel,
    /// There is no work.
    Idle,
}

/// How many of a worker's slots are kept for urgent work, so that bulk calls that take long cannot hold it up.
pub(crate) const fn reserved(concurrency: usize) -> usize {
    if concurrency > 1 { concurrency.div_ceil(16) } else { 0 }
}

/// One row of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job; below zero for a look at the channel's session.
    pub job: JobId,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// Its sync; none for a look at the session.
    pub sync: Option<SyncId>,
    /// Its channel.
    pub channel: ChannelId,
    /// Between two calls, by the tightest of the limits that admitted it.
    pub spacing: Duration,
    /// Whether it came from an urgent lane, as looks at sessions do.
    pub urgent: bool,
}

/// The call that asks.
pub(crate) fn call(queue: &Queue, ask: &Ask<'_>) -> Call {
    queue
        .call(&CLAIM_JOBS, ask.shard)
        .arg(ask.max)
        .arg(ask.max_bulk)
        .arg(ask.lease.as_micros().to_string())
        .arg(ask.asker)
        .arg(ask.number)
        .arg(i32::from(ask.again))
}

/// Asks one shard.
pub async fn claim(queue: &Queue, ask: &Ask<'_>) -> Result<Claimed, Error> {
    read(queue.link.run_one(call(queue, ask)).await?)
}

/// Reads the script's answer.
pub(crate) fn read(answer: Value) -> Result<Claimed, Error> {
    let fields: Vec<String> = redis::from_redis_value(answer)?;
    match fields.first().map(String::as_str) {
        Some("emptied") => return Ok(Claimed::Emptied),
        Some("newer") => return Ok(Claimed::Newer),
        Some("claimed") if fields.len() >= HEAD && (fields.len() - HEAD).is_multiple_of(ROW) => {}
        _ => return Err(Error::Unreadable(format!("{} fields from a claim", fields.len()))),
    }
    let (head, rows) = fields.split_at(HEAD);
    let wait_us: i64 = parse(&head[3])?;
    Ok(Claimed::Batch(Batch {
        epoch: parse(&head[1])?,
        ticket: parse(&head[2])?,
        wait: u64::try_from(wait_us).ok().map(Duration::from_micros),
        held_back: match head[4].as_str() {
            "" => HeldBack::No,
            "rate" => HeldBack::Rate,
            "cooldown" => HeldBack::Cooldown,
            "idle" => HeldBack::Idle,
            _ => HeldBack::Channel,
        },
        binds: head[5].parse().ok(),
        jobs: rows.chunks_exact(ROW).map(read_row).collect::<Result<_, _>>()?,
    }))
}

fn read_row(row: &[String]) -> Result<ClaimedJob, Error> {
    let sync = (row[2] != PROBE).then(|| parse(&row[2])).transpose()?;
    Ok(ClaimedJob {
        job: parse(&row[0])?,
        attempt: parse(&row[1])?,
        sync,
        channel: parse(&row[3])?,
        spacing: Duration::from_micros(parse(&row[4])?),
        urgent: row[5] == "1",
    })
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Unreadable(format!("{text:?} in the answer to a claim")))
}
