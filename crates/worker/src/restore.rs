//! The janitor of the queue: a shard that was emptied (flushed, failed over, new) is filled from the ledger, and what was
//! resting goes on resting.
//!
//! Claims wait while a shard has no epoch, so nothing runs twice meanwhile. One process restores at a time, by the
//! ledger's lock; the others see the new epoch when it is done.

use std::time::Duration;

use sincro_queue::Queue;
use sincro_store::Store;

use crate::trouble::Trouble;

/// Before the next try, when somebody else is at it or something failed.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Restores whatever turns out to be empty, until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue) {
    let mut emptied = queue.emptied();
    // The queue is gone when there is no more to hear of it, and so is the worker.
    while let Ok(shards) = emptied.wait_for(|shards| !shards.is_empty()).await.map(|shards| shards.clone()) {
        for shard in shards {
            match restore(&store, &queue, shard).await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(AGAIN_AFTER).await,
                Err(error) => {
                    tracing::warn!(shard, %error, "the queue could not be restored; trying again");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// Whether the shard is open now.
pub(crate) async fn restore(store: &Store, queue: &Queue, shard: u16) -> Result<bool, Trouble> {
    let Some(mut ledger) = store.lock_restoration(queue.namespace(), shard).await? else {
        return Ok(false);
    };
    let Some(restoration) = queue.begin_restore(shard).await? else {
        return Ok(true);
    };
    let epoch = ledger.begin_epoch().await?;
    let mut lanes = 0_usize;
    for (sync, server) in ledger.open_lanes().await? {
        if queue.shard_of(&server) != shard {
            continue;
        }
        if let Some(lane) = ledger.lane(sync).await? {
            restoration.restore(&[lane]).await?;
            lanes += 1;
        }
    }
    restoration.rest(&ledger.cooldowns().await?).await?;
    restoration.open_epoch(epoch).await?;
    tracing::info!(shard, epoch, lanes, "the queue is restored from the ledger");
    ledger.end().await?;
    Ok(true)
}
