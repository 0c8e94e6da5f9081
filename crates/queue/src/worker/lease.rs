//! What a worker holds: its claims, and until when each is surely its own.
//!
//! Every claim carries a clock of its own, counted from *before* the request that won or renewed it and on the worker's
//! monotonic clock: it runs out no later than the lease in Redis does, so nobody believes in a lease that another worker
//! may already have taken over.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use parking_lot::Mutex;
use sincro_core::{channel::ChannelId, job::JobId, sync::SyncId};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    Queue,
    claim::{Batch, ClaimedJob, Ticket},
    renew::renew,
    telemetry,
};

/// A job in the hands of a worker.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job; below zero for a look at the channel's session.
    pub job: JobId,
    /// Which attempt this is, from 1; counted already.
    pub attempt: i32,
    /// Its sync; nil for a look at the session.
    pub sync: SyncId,
    /// Whether this is no job but a look at the channel's session.
    pub probe: bool,
    /// From one call to the next, by the tightest of the limits that admitted it; zero without any.
    pub spacing: Duration,
    /// Its channel.
    pub channel: ChannelId,
    /// The life of the queue it was claimed in.
    pub epoch: i64,
    pub(crate) key: HoldKey,
    asked: Instant,
    lease: Arc<Lease>,
}

impl Claim {
    /// Time since it was asked for: how old its permit is, at most.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Says that the call is being made now. A permit that is never used goes back when the claim is settled.
    pub fn use_permit(&self) {
        self.lease.used.store(true, Ordering::Relaxed);
    }

    /// Says that the gateway may have seen the call so much later than is usual after its permit, beyond what was said before. When
    /// the claim is settled, its permit becomes as much younger.
    pub fn note_late(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.lease.late_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Takes that back: the permit itself has been moved.
    pub fn forget_late(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.lease.late_us.fetch_sub(micros, Ordering::Relaxed);
    }

    /// Whether the job is surely still this worker's: false once its lease ran out here without a renewal, or a
    /// renewal said that it is lost. A renewal that still comes through makes it true again; a loss is for good.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.lease.holds()
    }

    /// Until the job is lost for good: a renewal says so, or its shard has another life. What is under way for it then
    /// cannot count any more.
    pub async fn lost(&self) {
        self.lease.lost.cancelled().await;
    }
}

/// Tells apart what is held, even two claims of the same job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HoldKey {
    pub(crate) shard: u16,
    pub(crate) job: JobId,
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
struct Lease {
    /// None once it is lost.
    until: Mutex<Option<Instant>>,
    lost: CancellationToken,
    /// The life of the shard that it is of.
    epoch: i64,
    /// Whether a call was made under it.
    used: AtomicBool,
    /// How much later than usual the gateway may have seen it (µs).
    late_us: AtomicU64,
    /// Whether its result is on its way to Redis.
    settling: AtomicBool,
    urgent: bool,
}

impl Lease {
    fn holds(&self) -> bool {
        self.until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn extend(&self, to: Instant) {
        if let Some(until) = self.until.lock().as_mut() {
            *until = to;
        }
    }

    /// Whether it was not lost before.
    fn lose(&self) -> bool {
        self.lost.cancel();
        self.until.lock().take().is_some()
    }
}

/// Everything one worker holds.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<HoldKey, Arc<Lease>>>,
}

impl Leases {
    /// Takes note of jobs claimed by a request that was first sent at `asked`.
    pub(crate) fn take(&self, shard: u16, batch: &Batch, asked: Instant, lease: Duration) -> Vec<Claim> {
        let mut held = self.held.lock();
        let claims = batch.jobs.iter().map(|ClaimedJob { job, attempt, sync, channel, spacing, urgent }| {
            let key = HoldKey { shard, job: *job, ticket: batch.ticket };
            let lease = Arc::new(Lease {
                until: Mutex::new(Some(asked + lease)),
                lost: CancellationToken::new(),
                epoch: batch.epoch,
                used: AtomicBool::new(false),
                late_us: AtomicU64::new(0),
                settling: AtomicBool::new(false),
                urgent: *urgent,
            });
            if held.insert(key, lease.clone()).is_none() {
                metrics::gauge!(telemetry::JOBS_RUNNING).increment(1);
            }
            Claim {
                job: *job,
                attempt: *attempt,
                sync: sync.unwrap_or_default(),
                probe: sync.is_none(),
                spacing: *spacing,
                channel: *channel,
                epoch: batch.epoch,
                key,
                asked,
                lease,
            }
        });
        claims.collect()
    }

    /// What is held of any other life of a shard is lost: the shard has this one now, or none.
    pub(crate) fn lose_others(&self, shard: u16, epoch: Option<i64>) {
        let held = self.held.lock();
        let others = held.iter().filter(|(key, lease)| key.shard == shard && Some(lease.epoch) != epoch);
        let gone: Vec<JobId> = others.filter(|(_, lease)| lease.lose()).map(|(key, _)| key.job).collect();
        drop(held);
        note_lost(shard, &gone);
    }

    /// These are being settled: whether they are still held shows in the answer to that, and a renewal that comes too
    /// late for them has lost nothing.
    pub(crate) fn note_settling(&self, keys: impl Iterator<Item = HoldKey>) {
        let held = self.held.lock();
        for key in keys {
            if let Some(lease) = held.get(&key) {
                lease.settling.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Forgets what was settled.
    pub(crate) fn drop_settled(&self, keys: impl Iterator<Item = HoldKey>) {
        let mut held = self.held.lock();
        for key in keys {
            if held.remove(&key).is_some() {
                metrics::gauge!(telemetry::JOBS_RUNNING).decrement(1);
            }
        }
    }

    /// How late the call was that was made under a claim, if one was. One that is no longer held may have made one.
    pub(crate) fn used(&self, key: &HoldKey) -> Option<Duration> {
        let held = self.held.lock();
        let Some(lease) = held.get(key) else { return Some(Duration::ZERO) };
        let late = Duration::from_micros(lease.late_us.load(Ordering::Relaxed));
        lease.used.load(Ordering::Relaxed).then_some(late)
    }

    /// Bulk jobs among what is held.
    pub(crate) fn bulk(&self) -> usize {
        self.held.lock().values().filter(|lease| !lease.urgent).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.held.lock().len()
    }

    pub(crate) fn keys(&self) -> Vec<HoldKey> {
        self.held.lock().keys().copied().collect()
    }

    /// Renews everything, three times per lease and more often after a failure, for as long as it is polled.
    pub(crate) async fn keep(&self, queue: &Queue, lease: Duration) {
        let mut beat = tokio::time::interval(lease / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            while !self.renew_all(queue, lease).await {
                tokio::time::sleep(lease / 20).await;
            }
        }
    }

    /// Whether every shard answered.
    pub(crate) async fn renew_all(&self, queue: &Queue, lease: Duration) -> bool {
        let keys = self.keys();
        let of_shards = queue.shards().map(|shard| {
            let of_shard = keys.iter().filter(|key| key.shard == shard).map(|key| (key.job, key.ticket));
            (shard, of_shard.collect::<Vec<_>>())
        });
        // All at once: a shard whose server is silent must not cost the others their leases.
        let renewals = of_shards.filter(|(_, of_shard)| !of_shard.is_empty()).map(async |(shard, of_shard)| {
            let asked = Instant::now();
            match renew(queue, shard, lease, &of_shard).await {
                Ok(lost) => {
                    self.note_renewal(shard, &of_shard, &lost, asked + lease);
                    true
                }
                Err(error) => {
                    metrics::counter!(telemetry::REDIS_ERRORS).increment(1);
                    tracing::debug!(shard, %error, "leases were not renewed");
                    false
                }
            }
        });
        join_all(renewals).await.into_iter().all(|answered| answered)
    }

    /// For tests that bring their own time: every lease is so much nearer to its end.
    pub(crate) fn grow_older(&self, by: Duration) {
        for lease in self.held.lock().values() {
            let mut until = lease.until.lock();
            *until = until.map(|until| until.checked_sub(by).unwrap_or(until));
        }
    }

    fn note_renewal(&self, shard: u16, asked_for: &[(JobId, Ticket)], lost: &[JobId], until: Instant) {
        let lost: HashSet<JobId> = lost.iter().copied().collect();
        let held = self.held.lock();
        let mut gone = Vec::new();
        for &(job, ticket) in asked_for {
            // What is being settled meanwhile is not lost.
            let Some(lease) = held.get(&HoldKey { shard, job, ticket }) else { continue };
            if !lost.contains(&job) {
                lease.extend(until);
            } else if !lease.settling.load(Ordering::Relaxed) && lease.lose() {
                gone.push(job);
            }
        }
        drop(held);
        note_lost(shard, &gone);
    }
}

fn note_lost(shard: u16, gone: &[JobId]) {
    if !gone.is_empty() {
        metrics::counter!(telemetry::LEASES_LOST).increment(gone.len() as u64);
        tracing::warn!(shard, jobs = ?gone, "leases were lost; what their jobs come to will not count");
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge counts in floating point")]
        metrics::gauge!(telemetry::JOBS_RUNNING).decrement(self.len() as f64);
    }
}
