//! The janitor of the outbox: delivers what a crash left between the ledger's commit and the queue, and forgets
//! answers nobody will ask for again.

use std::time::Duration;

use chrono::TimeDelta;
use sincro_core::clock;
use sincro_queue::Queue;
use sincro_store::{Error, Store};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::deliver::deliver;

/// A notice younger than this is being delivered by whoever wrote it.
const GIVEN_TO_ITS_WRITER: TimeDelta = TimeDelta::seconds(1);
const NOTICES_AT_ONCE: i64 = 500;
const ANSWERS_EVERY: Duration = Duration::from_hours(1);

/// Sweeps until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers_due = Instant::now() + ANSWERS_EVERY;
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&store, &queue).await {
            tracing::warn!(%error, "the outbox could not be swept; trying again");
        }
        if Instant::now() >= answers_due {
            answers_due = Instant::now() + ANSWERS_EVERY;
            if let Err(error) = store.forget_old_answers().await {
                tracing::warn!(%error, "old answers could not be forgotten; trying again");
            }
        }
    }
}

async fn sweep(store: &Store, queue: &Queue) -> Result<(), Error> {
    loop {
        let left = store.undelivered_notices(clock::now() - GIVEN_TO_ITS_WRITER, NOTICES_AT_ONCE).await?;
        let delivered = deliver(store, queue, &left).await;
        if delivered > 0 {
            tracing::info!(delivered, "delivered notices that were left behind");
        }
        // What the queue would not take yet stays; going round again at once would change nothing.
        if delivered < left.len() || left.len() < usize::try_from(NOTICES_AT_ONCE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}
