//! Hearing at once that there is something to claim.
//!
//! Scripts publish to their shard's wake channel; one subscription per worker listens to all shards. It is opened again
//! whenever it breaks, and whatever was published meanwhile is made up for by looking everywhere once. A message that is
//! lost all the same costs a second or two: the driver looks by itself that often.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::StreamExt as _;
use tokio::sync::Notify;

use crate::{Error, Queue, keys};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

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
        loop {
            let heard = self.subscription(queue, || pause = FIRST_PAUSE).await;
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

    /// One subscription, until it breaks.
    async fn subscription(&self, queue: &Queue, subscribed: impl FnOnce()) -> Result<(), Error> {
        let shards: HashMap<String, u16> =
            queue.shards().map(|shard| (keys::wake(queue.namespace(), shard), shard)).collect();
        let open = async {
            let mut pubsub = queue.link.client.get_async_pubsub().await?;
            pubsub.subscribe(shards.keys().collect::<Vec<_>>()).await?;
            Ok::<_, Error>(pubsub)
        };
        let timeout = |elapsed| Error::Unreachable(Box::new(elapsed));
        let mut pubsub = tokio::time::timeout(SUBSCRIBE_TIMEOUT, open).await.map_err(timeout)??;
        subscribed();
        for &shard in shards.values() {
            self.call(shard);
        }
        let mut messages = pubsub.on_message();
        while let Some(message) = messages.next().await {
            if let Some(&shard) = shards.get(message.get_channel_name()) {
                self.call(shard);
            }
        }
        Ok(())
    }

    fn call(&self, shard: u16) {
        if let Some(called) = self.called.get(usize::from(shard)) {
            called.store(true, Ordering::Relaxed);
            self.news.notify_one();
        }
    }
}
