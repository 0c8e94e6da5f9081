//! The single steps of a worker and of its janitors, for tests that decide who moves when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sincro_core::{awaiting::Waits, notice::Notice, retry::RetryPolicy};
use sincro_providers::Gateways;
use sincro_queue::{Claim, Queue, Ruling};
use sincro_store::Store;

use crate::{
    execute::{Executor, Ways},
    ledger::Ledger,
};

pub use crate::trouble::Trouble;

/// Goes once through the notices written before then; returns how many were delivered.
pub async fn sweep(store: &Store, queue: &Queue, before: DateTime<Utc>) -> Result<usize, Trouble> {
    Ok(crate::sweep::sweep(store, queue, before).await?)
}

/// Restores a shard if it needs that. Whether it is open and whole now; false while somebody else is at it.
pub async fn restore(store: &Store, queue: &Queue, shard: u16) -> Result<bool, Trouble> {
    crate::restore::restore(store, queue, shard).await
}

/// Compares all shards with the ledger once; returns how many lanes were put back. Shards that somebody else is at are left out.
pub async fn reconcile(store: &Store, queue: &Queue) -> Result<usize, Trouble> {
    crate::reconcile::reconcile(store, queue, Duration::ZERO).await
}

/// Tells the queue, then forgets what it has applied; how many that were, none when the queue did not hear.
pub async fn deliver(store: &Store, queue: &Queue, notices: &[Notice]) -> Option<usize> {
    let delivery = crate::deliver::deliver(store, queue, notices).await;
    delivery.failure.is_none().then_some(delivery.applied.len())
}

/// What executes the claims of one worker.
pub struct Hand(Executor);

impl Hand {
    /// A hand, and the two futures that serve it: as long as they are polled it can do something.
    #[must_use]
    pub fn new(
        store: &Store,
        queue: &Queue,
        gateways: &Gateways,
        retry: RetryPolicy,
        settle_batch: usize,
    ) -> (Self, Vec<BoxFuture<'static, ()>>) {
        // Nothing is waited for: the time of whoever drives a hand is not that of a clock.
        let (ledger, serving) = Ledger::new(store, settle_batch, 0);
        let ways = Ways { retry, waits: Waits::default(), public_url: String::new(), media: None };
        (Self(Executor::new(store.clone(), queue.clone(), gateways.clone(), ledger, ways)), serving)
    }

    /// From claim to ruling.
    pub async fn execute(&self, claim: Claim) -> Ruling {
        self.0.execute(claim).await
    }
}
