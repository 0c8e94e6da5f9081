//! What the queue can tell without changing anything.

use std::{sync::LazyLock, time::Duration};

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::{ChannelId, Pause},
    job::JobId,
    limit::{Cooldown, Level, fair_share},
    sync::{Live, SyncId},
    waiting::WaitsFor,
};

use crate::{Error, Queue, fields::Fields, script::Script};

static READ_LIVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_live.lua")));
static READ_CHANNEL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_channel.lua")));
static LIST_HELD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/list_held.lua")));
static READ_CLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_clock.lua")));
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
    pub paused: Option<Pause>,
    /// Its own level.
    pub channel: LevelView,
    /// The level of its server.
    pub server: LevelView,
    /// What its next call waits for, when something binds.
    pub waits_for: Option<WaitsFor>,
    /// When the next call may be made; none when that depends on a person or on calls under way.
    pub next_call_at: Option<DateTime<Utc>>,
    /// When its session is looked at, while that is lost.
    pub probe_at: Option<DateTime<Utc>>,
}

/// One level of the limit at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelView {
    /// The rate that was set, calls per second; none without a limit.
    pub configured_rate: Option<f64>,
    /// The rate that holds after what the gateway answered, as far as caps sustain it; none without a limit.
    pub effective_rate: Option<f64>,
    /// Calls per second lately.
    pub observed_rate: f64,
    /// Calls that may be under way at once; none without a limit.
    pub concurrency: Option<u32>,
    /// Jobs at workers.
    pub running: i64,
    /// The rest it is in.
    pub cooldown: Option<Cooldown>,
}

impl LevelView {
    /// The reason to wait that a rest is.
    pub(crate) fn resting(&self, level: Level) -> Option<WaitsFor> {
        let Cooldown { until, reason } = self.cooldown.as_ref()?;
        // In a word; whoever asks for the level gets the call and the cause as well.
        let reason = reason.split(':').next().unwrap_or_default().to_owned();
        Some(WaitsFor::Cooldown { level, until: *until, reason })
    }
}

impl Queue {
    /// What is going on in a sync now; all zero when the queue does not hold it.
    pub async fn live(&self, server: &str, channel: ChannelId, sync: SyncId) -> Result<Live, Error> {
        Ok(self.look_at(server, channel, sync).await?.0)
    }

    /// The same, with the jobs of its channel that come before its first.
    pub(crate) async fn look_at(&self, server: &str, channel: ChannelId, sync: SyncId) -> Result<(Live, i64), Error> {
        let call = self.call(&READ_LIVE, self.shard_of(server)).arg(channel.to_string()).arg(sync.to_string());
        let answer: Vec<Vec<String>> = redis::from_redis_value(self.link.run_one(call).await?)?;
        let [numbers, outlook, own, its, sharers] = <[Vec<String>; 5]>::try_from(answer)
            .map_err(|answer| Error::Unreadable(format!("{} parts of a sync's state", answer.len())))?;
        let numbers = Fields(numbers);
        let mut live = Live { running: numbers.number(0)?, delayed: numbers.number(2)?, ..Live::default() };
        let before = numbers.number(6)?;
        if outlook.is_empty() {
            return Ok((live, before));
        }
        let (outlook, own, its) = (Fields(outlook), Fields(own), Fields(its));
        let weight = own.number(8)?;
        let (own, its) = (own.level()?, its.level()?);
        let queued: i64 = numbers.number(1)?;
        live.calls_made = numbers.number(5)?;
        if queued + live.delayed > 0 {
            (live.waits_for, live.next_at) = waits(&numbers, queued, before, &outlook, &own, &its)?;
        }
        let moves = !matches!(
            live.waits_for,
            Some(WaitsFor::ChannelPaused { .. } | WaitsFor::SyncPaused | WaitsFor::SessionLost { .. })
        );
        live.calls_per_second =
            own.effective_rate.filter(|_| moves).map(|rate| share(rate, weight, its.effective_rate, &sharers));
        if let (Some(WaitsFor::Behind { jobs }), Some(rate)) = (&live.waits_for, live.calls_per_second) {
            let wait = u32::try_from(*jobs).map_or(f64::MAX, f64::from) / rate.max(1e-9);
            let first = live.next_at.unwrap_or_else(|| self.now());
            live.next_at = Duration::try_from_secs_f64(wait)
                .ok()
                .and_then(|wait| first.checked_add_signed(chrono::TimeDelta::from_std(wait).ok()?));
        }
        Ok((live, before))
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
            let fields = Fields(redis::from_redis_value(answer?)?);
            depth.queued += fields.number::<i64>(0)?;
            depth.running += fields.number::<i64>(1)?;
            depth.delayed += fields.number::<i64>(2)?;
        }
        Ok(depth)
    }

    /// A channel with both levels of its limit; none when the queue has not heard of it.
    pub async fn channel_view(&self, server: &str, channel: ChannelId) -> Result<Option<ChannelView>, Error> {
        let [outlook, own, its] = self.read_channel(server, &channel.to_string()).await?;
        if outlook.0.is_empty() {
            return Ok(None);
        }
        let (own, its) = (own.level()?, its.level()?);
        Ok(Some(ChannelView {
            paused: outlook.pause()?,
            waits_for: outlook.waits_for(&own, &its)?,
            next_call_at: outlook.time(3)?,
            probe_at: outlook.time(2)?,
            channel: own,
            server: its,
        }))
    }

    /// The level of a provider server.
    pub async fn server_view(&self, server: &str) -> Result<LevelView, Error> {
        let [_, _, level] = self.read_channel(server, "").await?;
        level.level()
    }

    /// What time it is where the channels of a server are queued: what the times of a view are to be compared with.
    pub async fn time(&self, server: &str) -> Result<DateTime<Utc>, Error> {
        let call = self.call(&READ_CLOCK, self.shard_of(server));
        let micros: String = redis::from_redis_value(self.link.run_one(call).await?)?;
        let time = micros.parse().ok().and_then(DateTime::from_timestamp_micros);
        time.ok_or_else(|| Error::Unreadable(format!("the time {micros:?}")))
    }

    async fn read_channel(&self, server: &str, channel: &str) -> Result<[Fields; 3], Error> {
        let call = self.call(&READ_CHANNEL, self.shard_of(server)).arg(channel).arg(server);
        let answer: Vec<Vec<String>> = redis::from_redis_value(self.link.run_one(call).await?)?;
        let parts = answer.into_iter().map(Fields).collect::<Vec<_>>();
        parts
            .try_into()
            .map_err(|parts: Vec<_>| Error::Unreadable(format!("{} parts of a channel's state", parts.len())))
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock_us()).unwrap_or_default()
    }
}

/// What the next job of a sync waits for, and when it can start; from the parts of `read_live.lua`'s answer.
fn waits(
    numbers: &Fields,
    queued: i64,
    before: i64,
    outlook: &Fields,
    own: &LevelView,
    its: &LevelView,
) -> Result<(Option<WaitsFor>, Option<DateTime<Utc>>), Error> {
    let (next_slot, of_channel) = (outlook.time(3)?, outlook.waits_for(own, its)?);
    if let Some(pause @ (WaitsFor::ChannelPaused { .. } | WaitsFor::SessionLost { .. })) = of_channel {
        return Ok((Some(pause), next_slot));
    }
    if numbers.text(3) == Some("paused") {
        return Ok((Some(WaitsFor::SyncPaused), None));
    }
    if queued == 0 {
        let at = numbers.time(4)?;
        return Ok((at.map(|at| WaitsFor::Retry { at }), at));
    }
    if before > 0 && !matches!(of_channel, Some(WaitsFor::Cooldown { .. })) {
        return Ok((Some(WaitsFor::Behind { jobs: before }), next_slot));
    }
    Ok((of_channel, next_slot))
}

/// The calls per second that a channel gets beside the others of its server.
fn share(own: f64, weight: u32, server: Option<f64>, sharers: &[String]) -> f64 {
    let Some(server) = server else { return own };
    let others = sharers.chunks_exact(3).filter_map(|row| Some((row[1].parse().ok()?, row[2].parse().ok()?)));
    fair_share(server, (weight, own), &others.collect::<Vec<_>>())
}
