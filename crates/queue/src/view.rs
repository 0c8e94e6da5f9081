//! What the queue can tell without changing anything.

use std::{str::FromStr, sync::LazyLock};

use chrono::{DateTime, SecondsFormat, Utc};
use redis::Value;
use sincro_core::{channel::ChannelId, job::JobId, sync::Live, sync::SyncId};

use crate::{Error, Queue, script::Script};

static READ_LIVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_live.lua")));
static READ_CHANNEL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_channel.lua")));
static LIST_HELD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/list_held.lua")));
static COUNT_DEPTH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/count_depth.lua")));

/// How many jobs the queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for their turn.
    pub queued: i64,
    /// Held by workers.
    pub running: i64,
    /// Waiting for their time.
    pub delayed: i64,
}

/// A channel as the queue sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelView {
    /// Why nothing runs, when nothing may.
    pub paused: Option<String>,
    /// The end of its cooldown, when it is in one.
    pub cooldown_until: Option<DateTime<Utc>>,
    /// Why it is in a cooldown, with the call and the cause.
    pub cooldown_reason: Option<String>,
    /// Jobs held by workers.
    pub running: i64,
    /// The rate that holds now, calls per second.
    pub rate_per_second: f64,
    /// When the next call may be made; none while the channel is paused or all its concurrency is in use.
    pub next_slot_at: Option<DateTime<Utc>>,
}

impl Queue {
    /// What is going on in a sync now; all zero when the queue does not hold it.
    pub async fn live(&self, server: &str, channel: ChannelId, sync: SyncId) -> Result<Live, Error> {
        let call = self.call(&READ_LIVE, self.shard_of(server)).arg(channel.to_string()).arg(sync.to_string());
        let fields = Fields::read(self.link.run_one(call).await?)?;
        Ok(Live {
            running: fields.number(0)?,
            delayed: fields.number(2)?,
            limited_by: fields.limited_by()?,
            rate_per_second: fields.optional(5)?.unwrap_or_default(),
        })
    }

    /// The jobs of a sync that workers hold now, in the order of their ids.
    pub async fn held_jobs(&self, server: &str, sync: SyncId) -> Result<Vec<JobId>, Error> {
        let call = self.call(&LIST_HELD, self.shard_of(server)).arg(sync.to_string());
        Ok(redis::from_redis_value(self.link.run_one(call).await?)?)
    }

    /// How many jobs the whole queue holds.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let calls: Vec<_> = self.shards().map(|shard| self.call(&COUNT_DEPTH, shard)).collect();
        let mut depth = Depth::default();
        for answer in self.link.run(&calls).await? {
            let fields = Fields::read(answer?)?;
            depth.queued += fields.number::<i64>(0)?;
            depth.running += fields.number::<i64>(1)?;
            depth.delayed += fields.number::<i64>(2)?;
        }
        Ok(depth)
    }

    /// A channel's limiter and cooldown; none when the queue has not heard of the channel.
    pub async fn channel_view(&self, server: &str, channel: ChannelId) -> Result<Option<ChannelView>, Error> {
        let call = self.call(&READ_CHANNEL, self.shard_of(server)).arg(channel.to_string());
        let fields = Fields::read(self.link.run_one(call).await?)?;
        if fields.0.is_empty() {
            return Ok(None);
        }
        let cooldown_until = fields.time(1)?.filter(|until| until.timestamp_micros() > self.clock_us());
        let reason = match (fields.text(2), fields.text(3)) {
            (Some(reason), Some(detail)) => Some(format!("{reason}: {detail}")),
            (reason, detail) => reason.or(detail).map(str::to_owned),
        };
        Ok(Some(ChannelView {
            paused: fields.text(0).map(str::to_owned),
            cooldown_until,
            cooldown_reason: reason.filter(|_| cooldown_until.is_some()),
            running: fields.number(4)?,
            rate_per_second: fields.number(5)?,
            next_slot_at: fields.time(6)?,
        }))
    }
}

/// A script's answer: texts, of which the empty ones mean "none".
struct Fields(Vec<String>);

impl Fields {
    fn read(answer: Value) -> Result<Self, Error> {
        Ok(Self(redis::from_redis_value(answer)?))
    }

    fn text(&self, i: usize) -> Option<&str> {
        self.0.get(i).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn optional<T: FromStr>(&self, i: usize) -> Result<Option<T>, Error> {
        let unreadable = |text: &str| Error::Unreadable(format!("field {i}: {text:?}"));
        self.text(i).map(|text| text.parse().map_err(|_| unreadable(text))).transpose()
    }

    fn number<T: FromStr>(&self, i: usize) -> Result<T, Error> {
        self.optional(i)?.ok_or_else(|| Error::Unreadable(format!("field {i} is missing")))
    }

    fn time(&self, i: usize) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.optional::<i64>(i)?.and_then(DateTime::from_timestamp_micros))
    }

    /// Why no more jobs of a sync run, from the fields of `read_live.lua`.
    fn limited_by(&self) -> Result<Option<String>, Error> {
        let (queued, delayed) = (self.number::<i64>(1)?, self.number::<i64>(2)?);
        if queued + delayed == 0 {
            return Ok(None);
        }
        if let Some(reason) = self.text(6) {
            return Ok(Some(format!("paused: {reason}")));
        }
        if self.text(3) == Some("paused") {
            return Ok(Some("paused: sync".to_owned()));
        }
        if queued == 0 {
            return Ok(self.time(4)?.map(|at| format!("retry at {}", rfc3339(at))));
        }
        Ok(match (self.text(9), self.time(7)?) {
            (Some("cooldown"), Some(until)) => {
                Some(format!("cooldown until {}: {}", rfc3339(until), self.text(8).unwrap_or("unknown")))
            }
            (Some("rate"), _) => Some("rate: channel".to_owned()),
            (Some("concurrency"), _) => Some("concurrency: channel".to_owned()),
            _ => None,
        })
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
