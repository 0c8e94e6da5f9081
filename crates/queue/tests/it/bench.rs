//! A queue under a virtual clock, and short words for what the tests do to it.

use std::time::Duration;

use secrecy::SecretString;
use sincro_core::{
    channel::ChannelId,
    job::JobId,
    limit::{LevelLimit, Limit},
    notice::{ChannelRule, Entry, LaneNotice, LaneState, Notice, NoticeId},
    sync::SyncId,
};
use sincro_queue::{
    Depth, Queue, QueueSettings, Ruling,
    steps::{self, Ask, Batch, Claimed, ClaimedJob, Settlement, Ticket},
};
use uuid::Uuid;

use crate::server::Place;

pub(crate) const SERVER: &str = "wuzapi/gateway.test";
pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) struct Bench {
    pub(crate) place: Place,
    /// Runs on the clock of Redis.
    pub(crate) queue: Queue,
    /// µs since the Unix epoch.
    pub(crate) now: i64,
    number: u64,
}

/// A claimed job with what its settlement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) job: JobId,
    pub(crate) attempt: i32,
    pub(crate) sync: SyncId,
    pub(crate) channel: ChannelId,
    pub(crate) ticket: Ticket,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::at(Place::new()).await
    }

    pub(crate) async fn at(place: Place) -> Self {
        let bench = Self::emptied(place).await;
        open_first(&bench.queue, 0).await;
        bench
    }

    /// Restores the shard under that epoch, without lanes.
    pub(crate) async fn reopen(&self, epoch: i64) {
        let restoration = self.clock().begin_restore(0).await.unwrap().unwrap();
        restoration.open_epoch(epoch, false).await.unwrap();
    }

    /// Whether the lane was put back.
    pub(crate) async fn put_back(&self, epoch: i64, lane: &Notice) -> bool {
        self.clock().put_back(0, epoch, lane).await.unwrap()
    }

    /// Without an epoch.
    pub(crate) async fn emptied(place: Place) -> Self {
        let queue = connect(&place, 1).await;
        Self { place, queue, now: 1_800_000_000_000_000, number: 0 }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += i64::try_from(time.as_micros()).unwrap();
    }

    pub(crate) fn clock(&self) -> Queue {
        self.queue.at(self.now)
    }

    pub(crate) async fn apply(&self, notices: &[Notice]) -> Vec<NoticeId> {
        self.clock().apply(notices).await.unwrap()
    }

    pub(crate) async fn ask(&mut self, max: usize) -> Batch {
        self.ask_for(max, max).await
    }

    /// At most so many, and at most so many of them bulk.
    pub(crate) async fn ask_for(&mut self, max: usize, max_bulk: usize) -> Batch {
        self.number += 1;
        let ask = Ask { shard: 0, max, max_bulk, lease: LEASE, asker: "test", number: self.number, again: false };
        match steps::claim(&self.clock(), &ask).await.unwrap() {
            Claimed::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn claim(&mut self, max: usize) -> Vec<Held> {
        held(&self.ask(max).await)
    }

    pub(crate) async fn claim_one(&mut self) -> Held {
        let mut jobs = self.claim(1).await;
        assert_eq!(jobs.len(), 1, "nothing was claimed");
        jobs.remove(0)
    }

    /// The stale ones come back.
    pub(crate) async fn settle(&self, jobs: &[Held], ruling: &Ruling) -> Vec<JobId> {
        self.settle_used(jobs, ruling, Some(Duration::ZERO)).await
    }

    /// The same for claims under which a call was made, perhaps late, or none was.
    pub(crate) async fn settle_used(&self, jobs: &[Held], ruling: &Ruling, used: Option<Duration>) -> Vec<JobId> {
        let settled = |held: &Held| Settlement { job: held.job, ticket: held.ticket, ruling: ruling.clone(), used };
        let settlements: Vec<_> = jobs.iter().map(settled).collect();
        steps::settle(&self.clock(), 0, &settlements).await.unwrap()
    }

    /// Whether the job was still held under its ticket.
    pub(crate) async fn move_permit(&self, held: &Held, to_call: bool) -> bool {
        let shortest = Duration::from_millis(5);
        steps::move_permit(&self.clock(), 0, (held.job, held.ticket), shortest, to_call).await.unwrap()
    }

    pub(crate) async fn depth(&self) -> Depth {
        self.queue.depth().await.unwrap()
    }

    pub(crate) fn due_in(&self, time: Duration) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp_micros(self.now).unwrap() + time
    }
}

/// Begins the first life of a shard.
pub(crate) async fn open_first(queue: &Queue, shard: u16) {
    queue.begin_restore(shard).await.unwrap().unwrap().open_epoch(1, true).await.unwrap();
    queue.finish_restore(shard, 1).await.unwrap();
}

pub(crate) async fn connect(place: &Place, shards: u16) -> Queue {
    let redis_url = SecretString::from(place.url.clone());
    Queue::connect(QueueSettings { redis_url, namespace: place.namespace.clone(), shards }).await.unwrap()
}

pub(crate) fn held(batch: &Batch) -> Vec<Held> {
    let row = |job: &ClaimedJob| {
        let &ClaimedJob { job, attempt, sync, channel, .. } = job;
        Held { job, attempt, sync: sync.unwrap_or_default(), channel, ticket: batch.ticket }
    };
    batch.jobs.iter().map(row).collect()
}

pub(crate) fn ids(jobs: &[Held]) -> Vec<JobId> {
    jobs.iter().map(|held| held.job).collect()
}

/// So fast and wide that it never binds.
pub(crate) const WIDE: Limit = Limit { rate_per_second: 10_000.0, burst: 1_000, concurrency: 1_000 };

pub(crate) fn rule(limit: Limit) -> ChannelRule {
    ruled(limit.into())
}

/// A channel at [`SERVER`] with a limit of its own; the server has none.
pub(crate) fn ruled(limit: LevelLimit) -> ChannelRule {
    ChannelRule {
        id: Uuid::now_v7(),
        server: SERVER.to_owned(),
        version: 1,
        limit,
        paused: None,
        server_limit: None,
        server_version: 0,
    }
}

/// The notice that opens a lane with the jobs `first..=last`.
pub(crate) fn opens(channel: &ChannelRule, first: JobId, last: JobId) -> Notice {
    let lane = LaneNotice {
        sync: Uuid::now_v7(),
        seq: 1,
        opens: true,
        urgent: false,
        state: LaneState::Open,
        jobs: vec![Entry::Span { first, last }],
    };
    Notice { id: first, channel: channel.clone(), lane: Some(lane) }
}

pub(crate) fn urgent(mut notice: Notice) -> Notice {
    lane(&mut notice).urgent = true;
    notice
}

/// The notice that follows `before`, without jobs.
pub(crate) fn follows(before: &Notice, state: LaneState) -> Notice {
    let mut notice = before.clone();
    notice.id += 1_000_000;
    let lane = lane(&mut notice);
    *lane = LaneNotice { seq: lane.seq + 1, opens: false, state, jobs: Vec::new(), ..lane.clone() };
    notice
}

pub(crate) fn lane(notice: &mut Notice) -> &mut LaneNotice {
    notice.lane.as_mut().unwrap()
}

pub(crate) fn sync_of(notice: &Notice) -> SyncId {
    notice.lane.as_ref().unwrap().sync
}
