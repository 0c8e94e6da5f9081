//! Filling a shard that was emptied (flushed, failed over, restarted without its data) from the ledger.
//!
//! While a shard has no epoch nothing of it is claimed and no notice is applied, so nobody is in the way. A token fences
//! the steps: should two processes restore at once, the one that began first is refused from then on.

use std::sync::LazyLock;

use redis::Value;
use sincro_core::{limit::KeptCooldown, notice::Notice};
use uuid::Uuid;

use crate::{
    Error, Queue,
    apply::{self, Applied},
    script::Script,
};

static BEGIN_RESTORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/begin_restore.lua")));
static CLEAR_SHARD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/clear_shard.lua")));
static RESTORE_COOLDOWN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/restore_cooldown.lua")));
static OPEN_EPOCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/open_epoch.lua")));

const CALLS_PER_TRIP: usize = 16;

/// A shard being restored; dropped unfinished, it leaves the shard closed for the next who begins.
#[derive(Debug)]
#[must_use = "the shard stays closed until its epoch is opened"]
pub struct Restoration {
    queue: Queue,
    shard: u16,
    token: String,
}

impl Queue {
    /// Begins to restore an emptied shard, and drops what is left in it; none when it has its epoch again.
    ///
    /// Leases, waiting jobs and numbers go; what is known of the channels' limiters and cooldowns stays.
    pub async fn begin_restore(&self, shard: u16) -> Result<Option<Restoration>, Error> {
        if !self.shards().contains(&shard) {
            return Err(Error::Settings(format!("there is no shard {shard}")));
        }
        let restoration = Restoration { queue: self.clone(), shard, token: Uuid::now_v7().to_string() };
        let call = self.call(&BEGIN_RESTORE, shard).arg(&restoration.token);
        match text(self.link.run_one(call).await?)?.as_str() {
            "begun" => restoration.clear().await?,
            "open" => {
                self.report_open(shard);
                return Ok(None);
            }
            other => return Err(Error::Unreadable(other.to_owned())),
        }
        Ok(Some(restoration))
    }
}

impl Restoration {
    /// Puts lanes in as the ledger has them: each replaces what the shard holds of its sync, and sets its number.
    /// Notices of other shards are left out.
    pub async fn restore(&self, lanes: &[Notice]) -> Result<(), Error> {
        let of_shard = lanes.iter().filter(|notice| self.queue.shard_of(&notice.channel.server) == self.shard);
        let calls: Vec<_> =
            of_shard.flat_map(|notice| self.queue.notice_calls(self.shard, &self.token, notice)).collect();
        for calls in calls.chunks(CALLS_PER_TRIP) {
            for answer in self.queue.link.run(calls).await? {
                match apply::read(answer?)? {
                    Applied::In => {}
                    Applied::Taken => return Err(Error::TakenOver(self.shard)),
                    Applied::Early | Applied::Emptied => {
                        return Err(Error::Unreadable("a restored lane came in out of order".to_owned()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts cooldowns back that the ledger remembers; those of other shards are left out.
    pub async fn rest(&self, cooldowns: &[KeptCooldown]) -> Result<(), Error> {
        let now_us = self.queue.clock_us();
        let of_shard = cooldowns.iter().filter(|kept| self.queue.shard_of(&kept.server) == self.shard);
        let calls: Vec<_> = of_shard
            .map(|kept| {
                let wait_us = kept.cooldown.until.timestamp_micros().saturating_sub(now_us).max(0);
                let channel = kept.channel.map(|id| id.to_string()).unwrap_or_default();
                let call = self.queue.call(&RESTORE_COOLDOWN, self.shard).arg(&self.token).arg(&kept.server);
                call.arg(channel).arg(wait_us).arg(&kept.cooldown.reason)
            })
            .collect();
        for calls in calls.chunks(CALLS_PER_TRIP) {
            for answer in self.queue.link.run(calls).await? {
                if text(answer?)? != "restored" {
                    return Err(Error::TakenOver(self.shard));
                }
            }
        }
        Ok(())
    }

    /// Opens the shard under the ledger's new epoch and wakes every worker.
    pub async fn open_epoch(self, epoch: i64) -> Result<(), Error> {
        let call = self.queue.call(&OPEN_EPOCH, self.shard).arg(&self.token).arg(epoch);
        match text(self.queue.link.run_one(call).await?)?.as_str() {
            "opened" => {
                self.queue.report_open(self.shard);
                tracing::info!(shard = self.shard, epoch, "the queue is open");
                Ok(())
            }
            _ => Err(Error::TakenOver(self.shard)),
        }
    }

    async fn clear(&self) -> Result<(), Error> {
        let mut cursor = "0".to_owned();
        loop {
            let call = self.queue.call(&CLEAR_SHARD, self.shard).arg(&self.token).arg(&cursor);
            cursor = text(self.queue.link.run_one(call).await?)?;
            match cursor.as_str() {
                "" => return Err(Error::TakenOver(self.shard)),
                "0" => return Ok(()),
                _ => {}
            }
        }
    }
}

fn text(answer: Value) -> Result<String, Error> {
    Ok(redis::from_redis_value(answer)?)
}
