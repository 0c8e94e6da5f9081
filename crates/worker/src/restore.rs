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
use sincro_queue::{Error, LAYOUT, Queue};
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

/// Gives the shard a life if it has none, or if nobody can work with its keys, and puts back what is missing; returns how many
/// lanes that were.
pub(crate) async fn restore_locked(ledger: &mut Restoration, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let failed = match queue.take_failure(shard) {
        Some(error) => error,
        None => match restore_kept(ledger, queue, shard).await {
            Err(Trouble::Queue(error @ Error::Unusable(_))) => error,
            restored => return restored,
        },
    };
    let begun = Instant::now();
    let Some(before) = life_before(ledger, queue, shard).await? else { return Ok(0) };
    match queue.begin_anew(shard).await {
        Ok(Some(restoration)) => {
            tracing::error!(
                shard,
                error = %failed,
                "somebody else wrote where the queue is, and its scripts fail on that; it is restored from the ledger"
            );
            fill(ledger, queue, shard, restoration, before, begun).await
        }
        // Somebody has come first: what failed may be mended.
        Ok(None) => restore_kept(ledger, queue, shard).await,
        Err(error) => leave(queue, shard, error),
    }
}

/// The same as far as the shard's keys are of use.
async fn restore_kept(ledger: &mut Restoration, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let begun = Instant::now();
    let Some(before) = life_before(ledger, queue, shard).await? else { return Ok(0) };
    match queue.begin_restore(shard).await {
        Ok(Some(restoration)) => fill(ledger, queue, shard, restoration, before, begun).await,
        Ok(None) => reconcile::go_on(ledger, queue, shard).await,
        Err(error) => leave(queue, shard, error),
    }
}

/// Whether the shard had a life before; none when it is a newer version's.
async fn life_before(ledger: &mut Restoration, queue: &Queue, shard: u16) -> Result<Option<bool>, Trouble> {
    let before = ledger.life().await?;
    if before.is_some_and(|life| life.layout > LAYOUT) {
        queue.report_newer(shard);
        return Ok(None);
    }
    Ok(Some(before.is_some()))
}

/// A shard that is a newer version's is left to that.
fn leave(queue: &Queue, shard: u16, error: Error) -> Result<usize, Trouble> {
    match error {
        Error::Newer(_) => {
            queue.report_newer(shard);
            Ok(0)
        }
        error => Err(error.into()),
    }
}

/// Opens a shard under a new epoch, and puts its lanes back.
async fn fill(
    ledger: &mut Restoration,
    queue: &Queue,
    shard: u16,
    restoration: sincro_queue::Restoration,
    had_life: bool,
    begun: Instant,
) -> Result<usize, Trouble> {
    drill::reach(Point::Emptied).await;
    let epoch = ledger.begin_epoch(LAYOUT).await?;
    restoration.rest(&ledger.cooldowns().await?).await?;
    restoration.recall(&ledger.calls().await?).await?;
    restoration.open_epoch(epoch, !had_life).await?;
    let open_ms = millis(begun);
    let lanes = reconcile::put_all_back(ledger, queue, shard, epoch).await?;
    queue.finish_restore(shard, epoch).await?;
    tracing::info!(shard, epoch, lanes, open_ms, took_ms = millis(begun), "the queue is restored from the ledger");
    Ok(lanes)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
