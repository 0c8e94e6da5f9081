//! A new life for a shard that was emptied (flushed, failed over, restarted), from the ledger.
//!
//! Until a shard is open nothing of it is claimed and no notice is applied, so nobody is in the way. That takes a moment: then
//! it is open, and its lanes come back one by one while work goes on (`lanes`). A token fences the steps: should two processes
//! restore at once, the one that began first is refused from then on.

use std::sync::LazyLock;

use redis::Value;
use sincro_core::limit::{KeptCalls, KeptCooldown};
use uuid::Uuid;

use crate::{
    Error, Queue,
    apply::CALLS_PER_TRIP,
    script::{Call, Script},
};

static BEGIN_RESTORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/begin_restore.lua")));
static BEGIN_ANEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/begin_anew.lua")));
static CLEAR_SHARD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/clear_shard.lua")));
static RESTORE_COOLDOWN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/restore_cooldown.lua")));
static RESTORE_CALLS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/restore_calls.lua")));
static OPEN_EPOCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/open_epoch.lua")));
static FINISH_RESTORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/finish_restore.lua")));
static CLOSE_EPOCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/close_epoch.lua")));

/// What `restore_calls.lua` takes at once.
const CALLS_PER_CHUNK: i64 = 5_000;
const MINUTE_US: i64 = 60_000_000;

/// A shard being restored; dropped before it is open, it leaves the shard closed for the next who begins.
#[derive(Debug)]
#[must_use = "the shard stays closed until its epoch is opened"]
pub struct Restoration {
    queue: Queue,
    shard: u16,
    token: String,
}

impl Queue {
    /// Begins to restore an emptied shard, and drops what is left in it; none when it is alive.
    ///
    /// Leases, waiting jobs and numbers go; what is known of the channels' limiters and cooldowns stays.
    ///
    /// # Errors
    /// [`Error::Newer`] when the shard is none of ours.
    pub async fn begin_restore(&self, shard: u16) -> Result<Option<Restoration>, Error> {
        self.begin(&BEGIN_RESTORE, shard, false).await
    }

    /// Begins to restore a shard whose keys are of no use ([`Error::Unusable`]), alive or not: all of them go, as in a flush. None
    /// when that was done a moment ago.
    ///
    /// # Errors
    /// [`Error::Newer`] when the shard is none of ours.
    pub async fn begin_anew(&self, shard: u16) -> Result<Option<Restoration>, Error> {
        self.begin(&BEGIN_ANEW, shard, true).await
    }

    async fn begin(&self, script: &'static Script, shard: u16, anew: bool) -> Result<Option<Restoration>, Error> {
        if !self.shards().contains(&shard) {
            return Err(Error::Settings(format!("there is no shard {shard}")));
        }
        let restoration = Restoration { queue: self.clone(), shard, token: Uuid::now_v7().to_string() };
        let call = self.call(script, shard).arg(&restoration.token);
        match text(self.link.run_one(call).await?)?.as_str() {
            "begun" => restoration.clear(anew).await?,
            "open" => {
                self.report_open(shard);
                return Ok(None);
            }
            "spared" => return Ok(None),
            "newer" => return Err(Error::Newer(shard)),
            other => return Err(Error::Unreadable(other.to_owned())),
        }
        Ok(Some(restoration))
    }

    /// Says that every lane of a restored shard is back.
    pub async fn finish_restore(&self, shard: u16, epoch: i64) -> Result<(), Error> {
        self.link.run_one(self.call(&FINISH_RESTORE, shard).arg(epoch)).await?;
        Ok(())
    }

    /// Ends the life of a shard, so that it is restored from the ledger as a whole.
    pub async fn close_epoch(&self, shard: u16, epoch: i64) -> Result<(), Error> {
        self.link.run_one(self.call(&CLOSE_EPOCH, shard).arg(epoch)).await?;
        Ok(())
    }

    /// Puts cooldowns back in a shard that is open, where less was known; those of other shards are left out.
    pub async fn rest_again(&self, shard: u16, cooldowns: &[KeptCooldown]) -> Result<(), Error> {
        self.restore_cooldowns(shard, "", cooldowns).await
    }

    async fn restore_cooldowns(&self, shard: u16, token: &str, cooldowns: &[KeptCooldown]) -> Result<(), Error> {
        let of_shard = cooldowns.iter().filter(|kept| self.shard_of(&kept.server) == shard);
        let calls: Vec<_> = of_shard
            .map(|kept| {
                let channel = kept.channel.map(|id| id.to_string()).unwrap_or_default();
                let call = self.call(&RESTORE_COOLDOWN, shard).arg(token).arg(&kept.server);
                call.arg(channel).arg(kept.left.as_micros().to_string()).arg(&kept.reason)
            })
            .collect();
        self.run_all(shard, calls).await
    }

    /// Runs calls that answer `restored`.
    async fn run_all(&self, shard: u16, calls: Vec<Call>) -> Result<(), Error> {
        for calls in calls.chunks(CALLS_PER_TRIP) {
            for answer in self.link.run(calls).await? {
                if text(answer?)? != "restored" {
                    return Err(Error::TakenOver(shard));
                }
            }
        }
        Ok(())
    }
}

impl Restoration {
    /// Puts cooldowns back that the ledger remembers; those of other shards are left out.
    pub async fn rest(&self, cooldowns: &[KeptCooldown]) -> Result<(), Error> {
        self.queue.restore_cooldowns(self.shard, &self.token, cooldowns).await
    }

    /// Puts back how often levels with caps were called, as far as the ledger remembers; other shards are left out.
    pub async fn recall(&self, kept: &[KeptCalls]) -> Result<(), Error> {
        let of_shard = kept.iter().filter(|kept| self.queue.shard_of(&kept.server) == self.shard);
        let calls = of_shard.flat_map(|kept| self.recall_calls(kept)).collect();
        self.queue.run_all(self.shard, calls).await
    }

    /// The calls of one level, in chunks.
    fn recall_calls(&self, kept: &KeptCalls) -> Vec<Call> {
        let id = kept.channel.map_or_else(|| kept.server.clone(), |id| id.to_string());
        // Later than any time there is: made just now.
        let assumed = (i64::MAX / MINUTE_US - 2, kept.assumed());
        let rows = std::iter::once(&assumed).chain(&kept.by_minute).flat_map(|&(minute, calls)| pieces(minute, calls));
        let (mut chunks, mut room): (Vec<Vec<(i64, i64)>>, i64) = (Vec::new(), 0);
        for (at_us, calls) in rows {
            if chunks.is_empty() || room < calls {
                chunks.push(Vec::new());
                room = CALLS_PER_CHUNK;
            }
            room -= calls;
            if let Some(chunk) = chunks.last_mut() {
                chunk.push((at_us, calls));
            }
        }
        let call = |(i, chunk): (usize, Vec<(i64, i64)>)| {
            let call = self.queue.call(&RESTORE_CALLS, self.shard).arg(&self.token).arg(&id).arg(i32::from(i == 0));
            chunk.into_iter().fold(call, |call, (at_us, calls)| call.arg(at_us).arg(calls))
        };
        chunks.into_iter().enumerate().map(call).collect()
    }

    /// Opens the shard under the ledger's new epoch and wakes every worker. Unless it is the `first` one that the shard ever
    /// had, every level waits until the window of its rate has passed: nobody knows what was called just before.
    pub async fn open_epoch(self, epoch: i64, first: bool) -> Result<(), Error> {
        let call = self.queue.call(&OPEN_EPOCH, self.shard).arg(&self.token).arg(epoch).arg(i32::from(first));
        match text(self.queue.link.run_one(call).await?)?.as_str() {
            "opened" => {
                self.queue.report_open(self.shard);
                tracing::info!(shard = self.shard, epoch, "the queue is open");
                Ok(())
            }
            _ => Err(Error::TakenOver(self.shard)),
        }
    }

    async fn clear(&self, anew: bool) -> Result<(), Error> {
        let mut cursor = "0".to_owned();
        loop {
            let call = self.queue.call(&CLEAR_SHARD, self.shard).arg(&self.token).arg(&cursor).arg(i32::from(anew));
            cursor = text(self.queue.link.run_one(call).await?)?;
            match cursor.as_str() {
                "" => return Err(Error::TakenOver(self.shard)),
                "0" => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Calls of one minute, in pieces that a chunk takes; each counts at the end of the minute.
fn pieces(minute: i64, calls: i64) -> impl Iterator<Item = (i64, i64)> {
    let at_us = (minute + 1) * MINUTE_US;
    (0..calls).step_by(1_000).map(move |from| (at_us, (calls - from).min(1_000)))
}

fn text(answer: Value) -> Result<String, Error> {
    Ok(redis::from_redis_value(answer)?)
}
