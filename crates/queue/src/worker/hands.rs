//! A worker's hands without its driver: what it claimed, in a test that decides itself when a worker asks and settles.
//!
//! The leases are the worker's own. Only their clock is the test's: it says how much time passes ([`Hands::pass`]).

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Claim, Queue,
    claim::{Batch, Ticket},
    settle::{Ruling, Settlement},
    worker::lease::{HoldKey, Leases},
};

/// Everything one worker holds.
#[derive(Debug, Default)]
pub struct Hands(Leases);

impl Hands {
    /// Takes what a question brought that was first asked so long ago.
    pub fn take(&self, shard: u16, batch: &Batch, ago: Duration, lease: Duration) -> Vec<Claim> {
        // A machine that started just now has no earlier time to count from.
        let now = Instant::now();
        self.0.take(shard, batch, now.checked_sub(ago).unwrap_or(now), lease)
    }

    /// What Redis is to be told of a claim.
    #[must_use]
    pub fn settlement(&self, claim: &Claim, ruling: Ruling) -> Settlement {
        let HoldKey { job, ticket, .. } = claim.key;
        Settlement { job, ticket, ruling, used: self.0.used(&claim.key) }
    }

    /// These are on their way to Redis.
    pub fn note_settling(&self, shard: u16, settlements: &[Settlement]) {
        self.0.note_settling(keys(shard, settlements));
    }

    /// Redis has answered to these.
    pub fn drop_settled(&self, shard: u16, settlements: &[Settlement]) {
        self.0.drop_settled(keys(shard, settlements));
    }

    /// Renews everything once. Whether every shard answered.
    pub async fn renew(&self, queue: &Queue, lease: Duration) -> bool {
        self.0.renew_all(queue, lease).await
    }

    /// So much time passes.
    pub fn pass(&self, by: Duration) {
        self.0.grow_older(by);
    }

    /// How many jobs are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn keys(shard: u16, settlements: &[Settlement]) -> impl Iterator<Item = HoldKey> {
    settlements.iter().map(move |Settlement { job, ticket, .. }| HoldKey { shard, job: *job, ticket: *ticket })
}

/// The fence of a claim, for whoever tells apart two of one job.
#[must_use]
pub const fn ticket(claim: &Claim) -> Ticket {
    claim.key.ticket
}
