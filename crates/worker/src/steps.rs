//! The single steps of the janitors, for tests that decide who moves when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sincro_queue::Queue;
use sincro_store::Store;

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
