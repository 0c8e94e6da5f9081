//! The janitor of files: begins media syncs for channels that are to have theirs fetched, and takes away what was left half-written.

use std::time::Duration;

use sincro_queue::Queue;
use sincro_store::{Conflict, Error, Store, media_syncs::NewMediaSync};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{deliver::deliver, patience::ended, target::Settings};

/// Channels that are looked at in one round.
const CHANNELS: i64 = 100;
/// Files of one sync.
const FILES: u32 = 1_000;
const CLEANED_EVERY: Duration = Duration::from_hours(1);

/// Looks until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue, settings: Settings, every: Duration, max_attempts: u32) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clean_due = Instant::now();
    loop {
        ticks.tick().await;
        if let Err(error) = ended(begin(&store, &queue, &settings, max_attempts)).await {
            tracing::warn!(%error, "files that are to be fetched could not be looked for; trying again");
        }
        if Instant::now() >= clean_due {
            clean_due = Instant::now() + CLEANED_EVERY;
            match settings.target.clean().await {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, "files that somebody left half-written are deleted"),
                Err(error) => tracing::warn!(%error, "what was left half-written could not be looked for"),
            }
        }
    }
}

async fn begin(store: &Store, queue: &Queue, settings: &Settings, max_attempts: u32) -> Result<(), Error> {
    let channels = store.channels_to_fetch_for(CHANNELS).await?;
    if channels.is_empty() {
        return Ok(());
    }
    if let Err(error) = settings.target.check().await {
        tracing::warn!(%error, "no files are asked for while their place cannot be written");
        return Ok(());
    }
    for channel in channels {
        let new = NewMediaSync {
            channel,
            limit: FILES,
            most_bytes: settings.most_bytes,
            by_request: false,
            max_attempts,
            idempotency: None,
        };
        match store.create_media_sync(new).await {
            Ok(created) => deliver(store, queue, &created.notices).await,
            // Another worker was faster, or the channel is gone.
            Err(Error::Conflict(Conflict::SyncRunning(_)) | Error::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}
