//! The janitor of the outbox: delivers what a crash left between the ledger's commit and the queue, and forgets
//! answers nobody will ask for again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::clock;
use sincro_queue::Queue;
use sincro_store::{Error, Store};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::deliver::deliver;

/// A notice younger than this is being delivered by whoever wrote it.
const GIVEN_TO_ITS_WRITER: TimeDelta = TimeDelta::seconds(1);
const NOTICES_AT_ONCE: usize = 500;
/// More that the queue does not take yet are not passed over in one round.
const MOST_PASSED_OVER: usize = 10_000;
const ANSWERS_EVERY: Duration = Duration::from_hours(1);

/// Sweeps until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers_due = Instant::now() + ANSWERS_EVERY;
    loop {
        ticks.tick().await;
        match sweep(&store, &queue, clock::now() - GIVEN_TO_ITS_WRITER).await {
            Ok(0) => {}
            Ok(delivered) => tracing::info!(delivered, "delivered notices that were left behind"),
            Err(error) => tracing::warn!(%error, "the outbox could not be swept; trying again"),
        }
        if Instant::now() >= answers_due {
            answers_due = Instant::now() + ANSWERS_EVERY;
            if let Err(error) = store.forget_old_answers().await {
                tracing::warn!(%error, "old answers could not be forgotten; trying again");
            }
        }
    }
}

/// Goes once through the notices written before then; returns how many notices were delivered.
pub(crate) async fn sweep(store: &Store, queue: &Queue, before: DateTime<Utc>) -> Result<usize, Error> {
    let mut round = Round::default();
    loop {
        let most = i64::try_from(round.most()).unwrap_or(i64::MAX);
        let left = store.undelivered_notices(before, most).await?;
        // A queue that does not hear one page would not hear the next one.
        let Some(taken) = deliver(store, queue, round.page(&left)).await else { return Ok(round.delivered) };
        if !round.goes_on(left.len(), taken) {
            return Ok(round.delivered);
        }
    }
}

/// How far a round is.
///
/// What the queue would not take yet (an earlier notice of the same sync is missing, its shard is being restored) stays at
/// the head of the outbox, so each page is read together with what was passed over before it.
#[derive(Default)]
struct Round {
    passed_over: usize,
    delivered: usize,
}

impl Round {
    /// How many notices to read from the head on.
    fn most(&self) -> usize {
        self.passed_over + NOTICES_AT_ONCE
    }

    /// Those of them that were not tried.
    fn page<'a, N>(&self, left: &'a [N]) -> &'a [N] {
        left.get(self.passed_over..).unwrap_or_default()
    }

    /// Whether there may be another page, after so many were read and so many of this page taken. A page that is short tells
    /// nothing: what the ledger itself cannot read is not on it.
    fn goes_on(&mut self, read: usize, taken: usize) -> bool {
        let was_empty = read <= self.passed_over;
        self.delivered += taken;
        self.passed_over = read.saturating_sub(taken);
        !was_empty && self.passed_over <= MOST_PASSED_OVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sweeps an outbox of which the queue takes what it likes; how many it took, what is left, and how many pages that were.
    fn swept(mut outbox: Vec<usize>, takes: impl Fn(&usize) -> bool) -> (usize, Vec<usize>, usize) {
        let mut round = Round::default();
        for pages_read in 1.. {
            let left: Vec<usize> = outbox.iter().copied().take(round.most()).collect();
            let page = round.page(&left);
            assert!(page.len() <= NOTICES_AT_ONCE);
            let accepted: Vec<usize> = page.iter().copied().filter(|notice| takes(notice)).collect();
            outbox.retain(|notice| !accepted.contains(notice));
            if !round.goes_on(left.len(), accepted.len()) {
                return (round.delivered, outbox, pages_read);
            }
        }
        unreachable!("the pages end before the numbers do");
    }

    #[test]
    fn all_pages_are_delivered() {
        assert_eq!(swept((0..1_200).collect(), |_| true), (1_200, vec![], 4));
        assert_eq!(swept(vec![], |_| true), (0, vec![], 1));
    }

    #[test]
    fn a_page_of_notices_that_cannot_be_applied_does_not_starve_those_behind_it() {
        let (delivered, left, _) = swept((0..2_300).collect(), |notice| *notice >= 700);
        assert_eq!((delivered, left), (1_600, (0..700).collect()));
        let (delivered, left, _) = swept((0..2_300).collect(), |notice| notice % 2 == 0);
        assert_eq!((delivered, left.len()), (1_150, 1_150));
    }

    #[test]
    fn a_round_ends_however_many_cannot_be_applied() {
        let (delivered, left, pages) = swept((0..15_000).collect(), |_| false);
        assert_eq!((delivered, left.len()), (0, 15_000));
        assert_eq!(pages, MOST_PASSED_OVER / NOTICES_AT_ONCE + 1);
    }
}
