//! The janitor of what waits: jobs whose wait may be over are looked at, and free turns are given.

use std::time::Duration;

use chrono::TimeDelta;
use sincro_core::{awaiting::Waits, clock};
use sincro_providers::capabilities;
use sincro_queue::Queue;
use sincro_store::{Error, Store};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{deliver::deliver, patience::ended};

const EVERY: Duration = Duration::from_millis(500);
/// Jobs that are looked at before turns are given.
const AT_ONCE: i64 = 200;
/// When a job is looked at again that could not be.
const UNREADABLE_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// How often turns are looked for whose jobs are gone.
const FREED_EVERY: Duration = Duration::from_secs(5);

/// Looks until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue, waits: Waits, max_attempts: u32) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut free_due = Instant::now();
    loop {
        ticks.tick().await;
        let free = Instant::now() >= free_due;
        if free {
            free_due = Instant::now() + FREED_EVERY;
        }
        if let Err(error) = ended(look(&store, &queue, &waits, max_attempts, free)).await {
            tracing::warn!(%error, "what waits for deliveries could not be looked at; trying again");
        }
    }
}

/// Goes once through everything that is due.
async fn look(store: &Store, queue: &Queue, waits: &Waits, max_attempts: u32, free: bool) -> Result<(), Error> {
    let now = clock::now();
    for due in store.due_to_look_at(now, AT_ONCE).await? {
        // A newer version may know the provider, and runs beside this one.
        let Some(capabilities) = capabilities(due.provider) else { continue };
        let looked = match store.look_at(due, waits, capabilities, max_attempts, now).await {
            Ok(looked) => looked,
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => {
                // The others are looked at all the same.
                tracing::error!(job = due.job, %error, "a job that waits cannot be looked at; trying again in a minute");
                store.look_later(due.job, now + UNREADABLE_AGAIN).await?;
                continue;
            }
        };
        if let Some(state) = looked.ended {
            metrics::counter!("sincro_jobs_settled_total", "outcome" => state.as_str()).increment(1);
        }
        deliver(store, queue, &looked.notices).await;
    }
    if free {
        store.free_turns(waits, now).await?;
    }
    let (spared, notices) = store.spare_silent_phones(waits.silences).await?;
    if spared > 0 {
        tracing::warn!(jobs = spared, "a phone answers nothing; what it was still to be asked for is skipped");
        deliver(store, queue, &notices).await;
    }
    let given = store.give_turns(&waits.pace, clock::now()).await?;
    deliver(store, queue, &given).await;
    Ok(())
}
