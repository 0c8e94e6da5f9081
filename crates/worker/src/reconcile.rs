//! The janitor of single lanes: what the queue has lost of them is put back from the ledger while work goes on, and what is over
//! and was opened by somebody who told the queue of it too late is closed.
//!
//! The queue is asked first and the ledger second. Whatever is settled is so in the ledger first, so a lane that is whole holds no
//! less than the ledger says then; what the queue has not heard yet is left to the outbox. A lane that is put back without need
//! comes to no harm.

use std::{collections::HashMap, time::Duration};

use sincro_core::{
    drill::{self, Point},
    sync::SyncId,
};
use sincro_queue::{Error, Heard, HeardPage, Inspection, LaneView, OpenLane, Queue};
use sincro_store::{
    Store,
    restore::{LaneCount, LaneOwner, RestoreLock},
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{patience::ended, restore::restore_locked, trouble::Trouble};

/// Sweeps between two comparisons with the ledger. Whether a shard is whole in itself is looked at with each.
const COMPARE_EVERY: u32 = 5;
const SYNCS_PER_PAGE: usize = 500;
/// Lanes are read from the ledger together up to this many, or jobs.
const LANES_AT_ONCE: usize = 100;
const JOBS_AT_ONCE: i64 = 10_000;

/// What is the matter with a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing, or nothing that others do not see to.
    Whole,
    /// It is to be put back.
    Lost,
    /// It knows of more than the ledger, which must have gone back to an older state: then the shard is of no use.
    Ahead,
}

/// Looks at every shard that often, until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = false;
    loop {
        ticks.tick().await;
        match ended(reconcile(&store, &queue, every * COMPARE_EVERY)).await {
            Ok(_) => trouble = false,
            Err(error) if trouble => tracing::debug!(%error, "the queue is still not compared with the ledger"),
            Err(error) => {
                tracing::warn!(%error, "the queue could not be compared with the ledger; trying again");
                trouble = true;
            }
        }
    }
}

/// Looks at every shard, and compares those with the ledger that nobody has compared for so long; returns how many lanes were
/// put back. A shard that is away does not keep the others waiting: the first trouble is told at the end.
pub(crate) async fn reconcile(store: &Store, queue: &Queue, every: Duration) -> Result<usize, Trouble> {
    let (mut put_back, mut trouble) = (0, None);
    for shard in queue.shards() {
        match reconcile_shard(store, queue, shard, every).await {
            Ok(lanes) => put_back += lanes,
            Err(Trouble::Store(error)) => return Err(error.into()),
            Err(error) => _ = trouble.get_or_insert(error),
        }
    }
    trouble.map_or(Ok(put_back), Err)
}

async fn reconcile_shard(store: &Store, queue: &Queue, shard: u16, every: Duration) -> Result<usize, Trouble> {
    let seems_well = match queue.inspect(shard, every).await {
        Ok(Inspection::Open { restoring, whole, due, .. }) => whole && !restoring && !due,
        // Whoever claims hears of that, and so does everybody.
        Ok(Inspection::Newer) => true,
        Ok(Inspection::Emptied) | Err(Error::Unusable(_)) => false,
        Err(error) => return Err(error.into()),
    };
    if seems_well {
        return Ok(0);
    }
    // Without the lock somebody else is at it.
    let Some(mut ledger) = store.lock_restoration(queue.namespace(), shard).await? else { return Ok(0) };
    let put_back = restore_locked(&mut ledger, queue, shard).await?;
    ledger.end().await?;
    Ok(put_back)
}

/// Compares a shard that is open with the ledger, and puts back what is missing; returns how many lanes that were.
pub(crate) async fn go_on(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let Inspection::Open { epoch, restoring, whole, .. } = queue.inspect(shard, Duration::ZERO).await? else {
        return Ok(0);
    };
    let known = ledger.life().await?.map(|life| life.epoch);
    if !whole || known != Some(epoch) {
        tracing::error!(
            shard,
            epoch,
            known_epoch = known,
            whole,
            "what the queue holds does not agree with itself; it is restored from the ledger"
        );
        return start_over(ledger, queue, shard, epoch).await;
    }
    let Some(put_back) = put_lost_back(ledger, queue, shard, epoch).await? else {
        tracing::error!(shard, epoch, "the queue is ahead of the ledger; it is restored from that");
        return start_over(ledger, queue, shard, epoch).await;
    };
    if restoring {
        queue.finish_restore(shard, epoch).await?;
        tracing::info!(shard, epoch, lanes = put_back, "a restoration that broke off is finished");
    } else if put_back > 0 {
        tracing::warn!(shard, lanes = put_back, "lanes that the queue had lost are back from the ledger");
    }
    watch_lost_sessions(ledger, queue, shard).await?;
    let closed = close_what_is_over(ledger, queue, shard).await?;
    if closed > 0 {
        tracing::warn!(shard, lanes = closed, "lanes of syncs that are over are closed");
    }
    Ok(put_back)
}

async fn start_over(ledger: &mut RestoreLock, queue: &Queue, shard: u16, epoch: i64) -> Result<usize, Trouble> {
    queue.close_epoch(shard, epoch).await?;
    Box::pin(restore_locked(ledger, queue, shard)).await
}

/// Puts every open lane of a shard back; returns how many those are.
pub(crate) async fn put_all_back(
    ledger: &mut RestoreLock,
    queue: &Queue,
    shard: u16,
    epoch: i64,
) -> Result<usize, Trouble> {
    let mut pages = Pages::default();
    let mut put_back = 0;
    while let Some(page) = pages.next(ledger, queue, shard).await? {
        put_back += put(ledger, queue, shard, epoch, &page).await?;
    }
    Ok(put_back)
}

/// Puts the lanes back that have lost something; none when the queue is ahead of the ledger.
async fn put_lost_back(
    ledger: &mut RestoreLock,
    queue: &Queue,
    shard: u16,
    epoch: i64,
) -> Result<Option<usize>, Trouble> {
    // First, because with what is known of a channel its rest may have been lost, and a lane that is back is claimed from.
    queue.rest_again(shard, &ledger.cooldowns().await?).await?;
    let mut pages = Pages::default();
    let mut put_back = 0;
    while let Some(page) = pages.next(ledger, queue, shard).await? {
        let views = queue.inspect_lanes(shard, &page.iter().map(lane).collect::<Vec<_>>()).await?;
        let counts = ledger.lane_counts(&page.iter().map(|sync| sync.sync).collect::<Vec<_>>()).await?;
        let verdicts = verdicts(&page, &views, &counts);
        if verdicts.contains(&Verdict::Ahead) {
            return Ok(None);
        }
        let lost: Vec<LaneOwner> = page
            .into_iter()
            .zip(verdicts)
            .filter(|(_, verdict)| *verdict == Verdict::Lost)
            .map(|(sync, _)| sync)
            .collect();
        if lost.is_empty() {
            continue;
        }
        queue.mend_slots(shard).await?;
        put_back += put(ledger, queue, shard, epoch, &lost).await?;
    }
    Ok(Some(put_back))
}

/// Channels whose session is lost are looked at, also those without an open sync, which no lane stands for.
pub(crate) async fn watch_lost_sessions(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<(), Trouble> {
    let mut lost = ledger.without_session().await?;
    lost.retain(|notice| queue.shard_of(&notice.channel.server) == shard);
    queue.apply(&lost).await?;
    Ok(())
}

/// Closes the lanes whose syncs are over; returns how many those are.
///
/// There are such when somebody held the first notice of a sync, or a snapshot of its lane, in hand until the queue had heard of the
/// end and lost it again; or when the notice of the end went with its channel, which was deleted before the queue was there to hear.
async fn close_what_is_over(ledger: &mut RestoreLock, queue: &Queue, shard: u16) -> Result<usize, Trouble> {
    let (mut closed, mut after) = (0, None);
    loop {
        let HeardPage { lanes, next } = queue.list_lanes(shard, after.as_deref()).await?;
        let open = ledger.open_among(&lanes.iter().map(|lane| lane.sync).collect::<Vec<_>>()).await?;
        let over: Vec<Heard> = lanes.into_iter().filter(|lane| !open.contains(&lane.sync)).collect();
        closed += queue.close_lanes(shard, &over).await?;
        after = next;
        if after.is_none() {
            return Ok(closed);
        }
    }
}

fn lane(sync: &LaneOwner) -> OpenLane {
    OpenLane { sync: sync.sync, channel: sync.channel, server: sync.server.clone() }
}

fn verdicts(page: &[LaneOwner], views: &[LaneView], counts: &HashMap<SyncId, LaneCount>) -> Vec<Verdict> {
    page.iter().zip(views).map(|(sync, view)| verdict(view, counts.get(&sync.sync))).collect()
}

/// What is the matter with a lane, from what the queue has told and what the ledger has said after that.
fn verdict(view: &LaneView, count: Option<&LaneCount>) -> Verdict {
    // Without a count the sync is over by now.
    let Some(count) = count else { return Verdict::Whole };
    let will_hear = |next| count.undelivered.is_some_and(|first| first <= next);
    match (view.loss.as_deref(), view.seq) {
        // A closed lane leaves its number behind.
        (_, Some(seq)) if seq > count.seq => Verdict::Ahead,
        (Some("unknown"), None) if count.unopened => Verdict::Whole,
        (Some("unknown"), Some(seq)) if count.unopened && will_hear(seq + 1) => Verdict::Whole,
        (Some(_), _) | (None, None) => Verdict::Lost,
        (None, Some(seq)) if seq < count.seq => {
            if will_hear(seq + 1) {
                Verdict::Whole
            } else {
                Verdict::Lost
            }
        }
        (None, Some(_)) if view.jobs < count.jobs => Verdict::Lost,
        (None, Some(_)) => Verdict::Whole,
    }
}

async fn put(
    ledger: &mut RestoreLock,
    queue: &Queue,
    shard: u16,
    epoch: i64,
    syncs: &[LaneOwner],
) -> Result<usize, Trouble> {
    let mut put_back = 0;
    for syncs in portions(syncs) {
        for lane in ledger.lanes(&syncs).await? {
            if queue.put_back(shard, epoch, &lane).await? {
                put_back += 1;
                metrics::counter!("sincro_lanes_restored_total").increment(1);
            }
            drill::reach(Point::Restored).await;
        }
    }
    Ok(put_back)
}

/// What is read from the ledger at once.
fn portions(syncs: &[LaneOwner]) -> Vec<Vec<SyncId>> {
    let (mut portions, mut jobs): (Vec<Vec<SyncId>>, i64) = (Vec::new(), 0);
    for sync in syncs {
        jobs += sync.jobs;
        match portions.last_mut() {
            Some(portion) if portion.len() < LANES_AT_ONCE && jobs <= JOBS_AT_ONCE => portion.push(sync.sync),
            _ => {
                jobs = sync.jobs;
                portions.push(vec![sync.sync]);
            }
        }
    }
    portions
}

/// A way through the open syncs of a shard: the urgent ones first, each kind by age.
#[derive(Default)]
struct Pages {
    after: SyncId,
    bulk: bool,
}

impl Pages {
    /// Some of them; none when there are no more.
    async fn next(
        &mut self,
        ledger: &mut RestoreLock,
        queue: &Queue,
        shard: u16,
    ) -> Result<Option<Vec<LaneOwner>>, Trouble> {
        loop {
            let limit = i64::try_from(SYNCS_PER_PAGE).unwrap_or(i64::MAX);
            let mut page = ledger.open_syncs(!self.bulk, self.after, limit).await?;
            match page.last() {
                Some(last) => self.after = last.sync,
                None if self.bulk => return Ok(None),
                None => (self.bulk, self.after) = (true, SyncId::default()),
            }
            page.retain(|sync| queue.shard_of(&sync.server) == shard);
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!("sincro_lanes_restored_total", "Lanes of the queue that were put back from the ledger");
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn view(loss: Option<&str>, seq: Option<i64>, jobs: i64) -> LaneView {
        LaneView { loss: loss.map(str::to_owned), seq, jobs }
    }

    fn count(seq: i64, jobs: i64, undelivered: Option<i64>) -> LaneCount {
        LaneCount { seq, jobs, undelivered, unopened: undelivered == Some(1) }
    }

    #[test]
    fn a_lane_that_holds_what_the_ledger_says_or_more_is_whole() {
        for jobs in [10, 11] {
            assert_eq!(verdict(&view(None, Some(3), jobs), Some(&count(3, 10, None))), Verdict::Whole);
        }
        assert_eq!(verdict(&view(None, Some(3), 9), Some(&count(3, 10, None))), Verdict::Lost);
        assert_eq!(verdict(&view(None, Some(3), 0), None), Verdict::Whole, "its sync is over");
    }

    #[test]
    fn a_lane_that_has_not_heard_everything_is_left_to_the_outbox_if_that_still_has_what_is_next() {
        assert_eq!(verdict(&view(None, Some(3), 0), Some(&count(5, 10, Some(4)))), Verdict::Whole);
        assert_eq!(verdict(&view(None, Some(3), 0), Some(&count(5, 10, Some(5)))), Verdict::Lost);
        assert_eq!(verdict(&view(None, Some(3), 0), Some(&count(5, 10, None))), Verdict::Lost);
    }

    #[test]
    fn a_lane_that_is_unknown_is_lost_unless_its_opening_is_still_to_be_heard() {
        let unknown = view(Some("unknown"), None, 0);
        assert_eq!(verdict(&unknown, Some(&count(2, 10, Some(1)))), Verdict::Whole);
        assert_eq!(verdict(&unknown, Some(&count(2, 10, Some(2)))), Verdict::Lost);
        assert_eq!(verdict(&unknown, Some(&count(2, 10, None))), Verdict::Lost);
        assert_eq!(verdict(&view(Some("jobs"), Some(2), 10), Some(&count(2, 10, None))), Verdict::Lost);
    }

    #[test]
    fn a_lane_that_was_closed_and_is_opened_again_waits_for_the_notice_of_that() {
        let again = |undelivered| LaneCount { seq: 4, jobs: 10, undelivered, unopened: true };
        let closed = view(Some("unknown"), Some(3), 0);
        assert_eq!(verdict(&closed, Some(&again(Some(4)))), Verdict::Whole);
        assert_eq!(verdict(&closed, Some(&LaneCount { unopened: false, ..again(None) })), Verdict::Lost);
    }

    #[test]
    fn a_lane_that_knows_more_than_the_ledger_says_that_the_ledger_went_back() {
        assert_eq!(verdict(&view(None, Some(6), 10), Some(&count(5, 10, None))), Verdict::Ahead);
        assert_eq!(verdict(&view(Some("unknown"), Some(6), 0), Some(&count(5, 10, None))), Verdict::Ahead);
    }

    #[test]
    fn lanes_are_read_in_portions_of_so_many_lanes_or_jobs_and_a_big_one_alone() {
        let sync =
            |n: u128, jobs| LaneOwner { sync: Uuid::from_u128(n), channel: Uuid::nil(), server: String::new(), jobs };
        let sizes = |syncs: &[LaneOwner]| portions(syncs).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&(0..250).map(|n| sync(n, 1)).collect::<Vec<_>>()), [100, 100, 50]);
        assert_eq!(sizes(&[sync(1, 9_000), sync(2, 900), sync(3, 200), sync(4, 50_000), sync(5, 1)]), [2, 1, 1, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }
}
