//! The janitor of the outbox: delivers what a crash left between the ledger's commit and the queue, and forgets
//! answers nobody will ask for again.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    clock,
    notice::{Notice, NoticeId},
};
use sincro_queue::{Delivery, Queue};
use sincro_store::{Error, Store};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    deliver::deliver,
    patience::{answered, ended},
};

/// A notice younger than this is being delivered by whoever wrote it.
const GIVEN_TO_ITS_WRITER: TimeDelta = TimeDelta::seconds(1);
const NOTICES_AT_ONCE: i64 = 500;
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
        match ended(sweep(&store, &queue, clock::now() - GIVEN_TO_ITS_WRITER)).await {
            Ok(0) => {}
            Ok(delivered) => tracing::info!(delivered, "delivered notices that were left behind"),
            Err(error) => tracing::warn!(%error, "the outbox could not be swept; trying again"),
        }
        if Instant::now() >= answers_due {
            answers_due = Instant::now() + ANSWERS_EVERY;
            if let Err(error) = answered(store.forget_old_answers()).await {
                tracing::warn!(%error, "old answers could not be forgotten; trying again");
            }
        }
    }
}

/// Goes once through the notices written before then; returns how many notices were delivered.
pub(crate) async fn sweep(store: &Store, queue: &Queue, before: DateTime<Utc>) -> Result<usize, Error> {
    let mut round = Round::default();
    loop {
        let without: Vec<String> = round.without.iter().cloned().collect();
        let page = store.undelivered_notices(before, round.after, &without, NOTICES_AT_ONCE).await?;
        let Some(last) = page.last else { return Ok(round.delivered) };
        let open = round.open(page.notices, |server| queue.shard_of(server));
        let delivery = deliver(store, queue, &open).await;
        round.note(last, &open, &delivery, |server| queue.shard_of(server));
        // All of them may take nothing: then no page is worth reading.
        if round.shut.len() >= queue.shards().len() || round.passed_over > MOST_PASSED_OVER {
            return Ok(round.delivered);
        }
    }
}

/// How far a round is.
///
/// What the queue would not take yet (an earlier notice of the same sync is missing) stays in the outbox, and is read once in a
/// round. A shard that takes nothing is asked once, and what is for its servers is read no more: it says nothing of the others.
#[derive(Default)]
struct Round {
    /// The last notice that was read.
    after: NoticeId,
    /// Shards that take nothing for now.
    shut: BTreeSet<u16>,
    /// Those of their servers that notices were read for.
    without: BTreeSet<String>,
    passed_over: usize,
    delivered: usize,
}

impl Round {
    /// Those of a page that are worth trying.
    fn open(&mut self, page: Vec<Notice>, shard_of: impl Fn(&str) -> u16) -> Vec<Notice> {
        let (open, shut): (Vec<_>, Vec<_>) =
            page.into_iter().partition(|notice| !self.shut.contains(&shard_of(&notice.channel.server)));
        self.without.extend(shut.into_iter().map(|notice| notice.channel.server));
        open
    }

    /// Takes note of what became of them.
    fn note(&mut self, last: NoticeId, tried: &[Notice], delivery: &Delivery, shard_of: impl Fn(&str) -> u16) {
        self.after = last;
        self.delivered += delivery.applied.len();
        self.shut.extend(&delivery.shut);
        let servers = tried.iter().map(|notice| &notice.channel.server);
        let (shut, open): (Vec<_>, Vec<_>) = servers.partition(|server| delivery.shut.contains(&shard_of(server)));
        self.passed_over += open.len().saturating_sub(delivery.applied.len());
        self.without.extend(shut.into_iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::{limit::Limit, notice::ChannelRule};
    use uuid::Uuid;

    use super::*;

    /// A notice of a server that is named after its shard.
    fn notice(id: NoticeId, shard: u16) -> Notice {
        let channel = ChannelRule {
            id: Uuid::nil(),
            server: shard.to_string(),
            version: 1,
            limit: Limit::default().into(),
            paused: None,
            server_limit: None,
            server_version: 0,
        };
        Notice { id, channel, lane: None }
    }

    fn shard_of(server: &str) -> u16 {
        server.parse().unwrap()
    }

    /// What one round makes of an outbox, given as the shards of its notices: how many were delivered, and how many read. Some
    /// shards take nothing; of the others' notices the queue takes what it likes.
    fn swept(outbox: &[u16], shut: &[u16], takes: impl Fn(NoticeId) -> bool) -> (usize, usize) {
        let outbox: Vec<Notice> = (1..).zip(outbox).map(|(id, shard)| notice(id, *shard)).collect();
        let (mut round, mut read) = (Round::default(), 0);
        loop {
            let left = outbox.iter().filter(|notice| notice.id > round.after);
            let left = left.filter(|notice| !round.without.contains(&notice.channel.server));
            let page: Vec<Notice> = left.take(usize::try_from(NOTICES_AT_ONCE).unwrap()).cloned().collect();
            let Some(last) = page.last().map(|notice| notice.id) else { return (round.delivered, read) };
            read += page.len();
            let tried = round.open(page, shard_of);
            let mut delivery = Delivery::default();
            for notice in &tried {
                let shard = shard_of(&notice.channel.server);
                if shut.contains(&shard) {
                    delivery.shut.insert(shard);
                } else if takes(notice.id) {
                    delivery.applied.push(notice.id);
                }
            }
            round.note(last, &tried, &delivery, shard_of);
            if round.passed_over > MOST_PASSED_OVER {
                return (round.delivered, read);
            }
        }
    }

    #[test]
    fn all_pages_are_delivered() {
        assert_eq!(swept(&[0; 1_200], &[], |_| true), (1_200, 1_200));
        assert_eq!(swept(&[], &[], |_| true), (0, 0));
    }

    #[test]
    fn notices_that_cannot_be_applied_do_not_starve_those_behind_them_and_are_read_once() {
        assert_eq!(swept(&[0; 2_300], &[], |id| id > 700), (1_600, 2_300));
        assert_eq!(swept(&[0; 2_300], &[], |id| id % 2 == 0), (1_150, 2_300));
    }

    #[test]
    fn a_shard_that_takes_nothing_does_not_starve_the_others_however_much_waits_for_it() {
        let outbox = [vec![0; 20_000], vec![1; 700], vec![0; 20_000]].concat();
        assert_eq!(swept(&outbox, &[0], |_| true), (700, 1_200), "one page of what waits for it is read, and no more");
    }

    #[test]
    fn a_round_ends_however_many_cannot_be_applied() {
        assert_eq!(swept(&vec![0; 15_000], &[], |_| false), (0, 10_500));
    }
}
