//! The queue as the API may use it: tell it something, ask it something, and never wait long for either.
//!
//! The only file of this crate that calls the queue. While Redis is away every answer is "unknown"; nothing that the ledger
//! can answer depends on it.

use std::{future::Future, time::Duration};

use sincro_core::{
    channel::{Channel, ChannelId},
    job::JobId,
    notice::{Notice, NoticeId},
    scaling::ServerLoad,
    sync::{Live, SyncId},
};
use sincro_queue::{ChannelView, Depth, Error, LevelView, Queue, Turns};
use tokio::time::{Instant, timeout, timeout_at};

/// The longest that an answer to a client waits for what the queue knows.
const PATIENCE: Duration = Duration::from_millis(700);
/// The longest that the queue is given to take news; nobody waits for it so long.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(5);

/// A moment until which the queue may be asked; shared by all questions of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// From now on, for as long as a request may wait.
    pub(crate) fn start() -> Self {
        Self(Instant::now() + PATIENCE)
    }
}

/// The queue, asked with patience that ends.
#[derive(Debug)]
pub(crate) struct QueueView(Queue);

impl QueueView {
    pub(crate) fn new(queue: Queue) -> Self {
        Self(queue)
    }

    /// Tells the queue what changed and gives the notices it has applied; the sweeper tells it the others.
    pub(crate) async fn apply(&self, notices: &[Notice]) -> Vec<NoticeId> {
        match timeout(DELIVERY_PATIENCE, self.0.apply(notices)).await {
            Ok(Ok(applied)) => applied,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the queue could not be told; the sweeper will tell it");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("the queue did not listen in time; the sweeper will tell it");
                Vec::new()
            }
        }
    }

    /// What is going on in a sync now.
    pub(crate) async fn live(
        &self,
        deadline: Deadline,
        server: &str,
        channel: ChannelId,
        sync: SyncId,
    ) -> Option<Live> {
        known(deadline, self.0.live(server, channel, sync)).await
    }

    /// The jobs of a sync that are at a worker now.
    pub(crate) async fn held_jobs(&self, deadline: Deadline, server: &str, sync: SyncId) -> Option<Vec<JobId>> {
        known(deadline, self.0.held_jobs(server, sync)).await
    }

    /// Which jobs of a sync come before which.
    pub(crate) async fn turns(
        &self,
        deadline: Deadline,
        server: &str,
        channel: ChannelId,
        sync: SyncId,
    ) -> Option<Turns> {
        known(deadline, self.0.turns(server, channel, sync)).await
    }

    /// A channel's limiter and cooldown; inside, none where the queue has not heard of the channel yet.
    pub(crate) async fn channel(&self, deadline: Deadline, channel: &Channel) -> Option<Option<ChannelView>> {
        known(deadline, self.0.channel_view(&channel.server(), channel.id)).await
    }

    /// A provider server's limiter and cooldown; all idle where the queue has not heard of the server yet.
    pub(crate) async fn server(&self, deadline: Deadline, server: &str) -> Option<LevelView> {
        known(deadline, self.0.server_view(server)).await
    }

    /// What is going on behind the provider servers that have work.
    pub(crate) async fn loads(&self, deadline: Deadline) -> Option<Vec<ServerLoad>> {
        known(deadline, self.0.loads()).await
    }

    /// How many jobs the queue holds.
    pub(crate) async fn depth(&self, deadline: Deadline) -> Option<Depth> {
        known(deadline, self.0.depth()).await
    }

    /// Whether Redis takes what it is told.
    pub(crate) async fn health(&self) -> Health {
        match timeout(PATIENCE, self.0.try_writing()).await {
            Ok(Ok(())) => Health::Well,
            Ok(Err(error @ (Error::Refused(_) | Error::Unusable(_)))) => {
                tracing::warn!(%error, "redis takes nothing");
                Health::Refuses
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "redis does not answer");
                Health::Away
            }
            Err(_) => {
                tracing::warn!("redis does not answer in time");
                Health::Away
            }
        }
    }
}

/// What can be expected of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It takes what it is told.
    Well,
    /// It answers and takes nothing: out of memory, a replica, a disk that is full.
    Refuses,
    /// It does not answer.
    Away,
}

async fn known<T>(deadline: Deadline, question: impl Future<Output = Result<T, Error>>) -> Option<T> {
    match timeout_at(deadline.0, question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the queue could not be asked");
            None
        }
        Err(_) => {
            tracing::debug!("the queue did not answer in time");
            None
        }
    }
}
