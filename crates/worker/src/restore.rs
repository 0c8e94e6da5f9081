//! The janitor of the queue: a shard that was emptied (flushed, failed over, restarted, new) gets a new life from the ledger, and
//! what was resting goes on resting.
//!
//! Claims wait only until the shard is open, which takes a moment; then its lanes come back one by one while work goes on. One
//! process restores at a time, by the ledger's lock; should it die, the next one goes on where it was.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use sincro_core::drill::{self, Point};
use sincro_queue::{Error, LAYOUT, Queue, Restoration};
use sincro_store::{Store, restore::RestoreLock};
use tokio::time::{Instant, timeout_at};

use crate::{patience::ended, reconcile, trouble::Trouble};

/// Before the next try, when somebody else is at it or something failed for the first time.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// What fails again and again is tried less often: each try is a connection to the ledger, in every worker.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A shard that is to be restored.
struct Waiting {
    due: Instant,
    pause: Duration,
    /// The last try failed, and that was said.
    in_trouble: bool,
}

impl Waiting {
    fn from(now: Instant) -> Self {
        Self { due: now, pause: AGAIN_AFTER, in_trouble: false }
    }

    /// Somebody else is at it.
    fn stand_by(&mut self, now: Instant) {
        *self = Self { due: now + AGAIN_AFTER, ..Self::from(now) };
    }

    /// A try has failed; whether that is news.
    fn fail(&mut self, now: Instant) -> bool {
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        !std::mem::replace(&mut self.in_trouble, true)
    }
}

/// Restores whatever turns out to be empty, until the future is dropped. A shard is watched until all its lanes are back.
pub(crate) async fn run(store: Store, queue: Queue) {
    let mut emptied = queue.emptied();
    let mut waiting: BTreeMap<u16, Waiting> = BTreeMap::new();
    loop {
        // The queue is gone when there is no more to hear of it, and so is the worker.
        let news = match waiting.values().map(|waiting| waiting.due).min() {
            None => emptied.wait_for(|shards| !shards.is_empty()).await.map(|_| ()),
            Some(due) => timeout_at(due, emptied.changed()).await.unwrap_or(Ok(())),
        };
        if news.is_err() {
            return;
        }
        for shard in emptied.borrow_and_update().iter() {
            waiting.entry(*shard).or_insert_with(|| Waiting::from(Instant::now()));
        }
        let due: Vec<u16> =
            waiting.iter().filter(|(_, waiting)| waiting.due <= Instant::now()).map(|(shard, _)| *shard).collect();
        for shard in due {
            let restored = ended(restore(&store, &queue, shard)).await;
            let Entry::Occupied(mut waiting) = waiting.entry(shard) else { continue };
            match restored {
                Ok(true) => _ = waiting.remove(),
                Ok(false) => waiting.get_mut().stand_by(Instant::now()),
                Err(error) if waiting.get_mut().fail(Instant::now()) => {
                    tracing::warn!(shard, %error, "the queue could not be restored; trying again");
                }
                Err(error) => tracing::debug!(shard, %error, "the queue still cannot be restored"),
            }
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
pub(crate) async fn restore_locked(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
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
async fn restore_kept(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let begun = Instant::now();
    let Some(before) = life_before(ledger, queue, shard).await? else { return Ok(0) };
    match queue.begin_restore(shard).await {
        Ok(Some(restoration)) => fill(ledger, queue, shard, restoration, before, begun).await,
        Ok(None) => reconcile::go_on(ledger, queue, shard).await,
        Err(error) => leave(queue, shard, error),
    }
}

/// Whether the shard had a life before; none when it is a newer version's.
async fn life_before(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<Option<bool>, Trouble> {
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
    ledger: &mut RestoreLock,
    queue: &Queue,
    shard: u16,
    restoration: Restoration,
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
    reconcile::watch_lost_sessions(ledger, queue, shard).await?;
    queue.finish_restore(shard, epoch).await?;
    tracing::info!(shard, epoch, lanes, open_ms, took_ms = millis(begun), "the queue is restored from the ledger");
    Ok(lanes)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_restored_is_tried_less_and_less_often_and_said_once() {
        let now = Instant::now();
        let mut waiting = Waiting::from(now);
        assert_eq!(waiting.due, now, "the first try is made at once");
        assert!(waiting.fail(now));
        let pauses: Vec<u128> = (0..6)
            .map(|_| {
                let pause = waiting.due - now;
                assert!(!waiting.fail(now), "it was said");
                pause.as_millis()
            })
            .collect();
        assert_eq!(pauses, [200, 400, 800, 1_600, 3_000, 3_000]);
        waiting.stand_by(now);
        assert_eq!(waiting.due, now + AGAIN_AFTER, "whoever is at it may be through soon");
        assert!(waiting.fail(now), "a trouble of another time is said again");
    }
}
