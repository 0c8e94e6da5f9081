//! The janitor of the queue: a shard that was emptied (flushed, failed over, restarted, new) gets a new life from the ledger, and
//! what was resting goes on resting.
//!
//! Claims wait only until the shard is open, which takes a moment; then its lanes come back one by one while work goes on. One
//! process restores at a time, by the ledger's lock; should it die, the next one goes on where it was.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use sincro_core::drill::{self, Point};
use sincro_queue::{LAYOUT, Queue};
use sincro_store::{Store, restore::Restoration};
use tokio::time::sleep;

use crate::{reconcile, trouble::Trouble};

/// Before the next try, when somebody else is at it or something failed.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Restores whatever turns out to be empty, until the future is dropped. A shard is watched until all its lanes are back.
pub(crate) async fn run(store: Store, queue: Queue) {
    let mut emptied = queue.emptied();
    // The queue is gone when there is no more to hear of it, and so is the worker.
    while let Ok(shards) = emptied.wait_for(|shards| !shards.is_empty()).await.map(|shards| shards.clone()) {
        let mut waiting: BTreeSet<u16> = shards;
        loop {
            for shard in waiting.clone() {
                match restore(&store, &queue, shard).await {
                    Ok(true) => _ = waiting.remove(&shard),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(shard, %error, "the queue could not be restored; trying again"),
                }
            }
            if waiting.is_empty() {
                break;
            }
            sleep(AGAIN_AFTER).await;
            waiting.extend(emptied.borrow_and_update().iter());
        }
    }
}

/// Whether the shard is open and whole now, or none of ours.
pub(crate) async fn restore(store: &Store, queue: &Queue, shard: u16) -> Result<bool, Trouble> {
    let Some(mut ledger) = store.lock_restoration(queue.namespace(), shard).await? else {
        return Ok(false);
    };
    restore_locked(&mut ledger, queue, shard).await?;
    ledger.end().await?;
    Ok(true)
}

/// Gives the shard a life if it has none, and puts back what is missing; returns how many lanes that were.
pub(crate) async fn restore_locked(ledger: &mut Restoration, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let begun = Instant::now();
    let before = ledger.life().await?;
    if before.is_some_and(|life| life.layout > LAYOUT) {
        queue.report_newer(shard);
        return Ok(0);
    }
    let restoration = match queue.begin_restore(shard).await {
        Ok(Some(restoration)) => restoration,
        Ok(None) => return reconcile::go_on(ledger, queue, shard).await,
        Err(sincro_queue::Error::Newer(_)) => {
            queue.report_newer(shard);
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    drill::reach(Point::Emptied).await;
    let epoch = ledger.begin_epoch(LAYOUT).await?;
    restoration.rest(&ledger.cooldowns().await?).await?;
    restoration.recall(&ledger.calls().await?).await?;
    restoration.open_epoch(epoch, before.is_none()).await?;
    let open_ms = millis(begun);
    let lanes = reconcile::put_all_back(ledger, queue, shard, epoch).await?;
    queue.finish_restore(shard, epoch).await?;
    tracing::info!(shard, epoch, lanes, open_ms, took_ms = millis(begun), "the queue is restored from the ledger");
    Ok(lanes)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
