//! Hearing at once that there is something to claim.
//!
//! Scripts publish to their shard's wake channel; one subscription per worker listens to all shards. It is opened again
//! whenever it breaks, and whatever was published meanwhile is made up for by looking everywhere once. A message that is
//! lost all the same costs a second or two: the driver looks by itself that often. In a cluster every node hears what any
//! other publishes, so one node will do, another each time; behind Sentinels it is the master.

use std::{
    collections::HashMap,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use redis::Value;
use tokio::sync::Notify;

use crate::{Error, Queue, keys};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a subscription that hears nothing is asked whether it still stands.
const QUIET_FOR: Duration = Duration::from_secs(10);

/// Which shards called since they were last looked at.
#[derive(Debug)]
pub(super) struct Wake {
    called: Vec<AtomicBool>,
    news: Notify,
}

impl Wake {
    pub(super) fn new(queue: &Queue) -> Self {
        Self { called: queue.shards().map(|_| AtomicBool::new(false)).collect(), news: Notify::new() }
    }

    /// Until a shard calls.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether the shard called, which is then forgotten.
    pub(super) fn take(&self, shard: u16) -> bool {
        self.called.get(usize::from(shard)).is_some_and(|called| called.swap(false, Ordering::Relaxed))
    }

    /// Listens for as long as it is polled.
    pub(super) async fn listen(&self, queue: &Queue) {
        let mut pause = FIRST_PAUSE;
        for turn in 0.. {
            let heard = self.subscription(queue, turn, || pause = FIRST_PAUSE).await;
            if let Err(error) = heard {
                if matches!(error, Error::Refused(_)) && pause == FIRST_PAUSE {
                    tracing::warn!(%error, "redis allows no subscription; jobs start a second or two late");
                } else {
                    tracing::debug!(%error, "no word from the wake channel");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One subscription, until it breaks or the queue is at other servers.
    async fn subscription(&self, queue: &Queue, turn: usize, subscribed: impl FnOnce()) -> Result<(), Error> {
        let shards: HashMap<String, u16> =
            queue.shards().map(|shard| (keys::wake(queue.namespace(), shard), shard)).collect();
        let mut moved = pin!(queue.link.moved());
        let open = async {
            let mut pubsub = queue.link.pubsub(turn).await?;
            pubsub.subscribe(shards.keys().collect::<Vec<_>>()).await?;
            Ok::<_, Error>(pubsub)
        };
        let timeout = |elapsed| Error::Unreachable(Box::new(elapsed));
        let pubsub = tokio::time::timeout(SUBSCRIBE_TIMEOUT, open).await.map_err(timeout)??;
        subscribed();
        for &shard in shards.values() {
            self.call(shard);
        }
        let (mut asker, mut messages) = pubsub.split();
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = &mut moved => return Ok(()),
                () = tokio::time::sleep(QUIET_FOR) => {
                    tokio::time::timeout(SUBSCRIBE_TIMEOUT, asker.ping::<Value>()).await.map_err(timeout)??;
                    continue;
                }
            };
            let Some(message) = message else { return Ok(()) };
            if let Some(&shard) = shards.get(message.get_channel_name()) {
                self.call(shard);
            }
        }
    }

    fn call(&self, shard: u16) {
        if let Some(called) = self.called.get(usize::from(shard)) {
            called.store(true, Ordering::Relaxed);
            self.news.notify_one();
        }
    }
}
