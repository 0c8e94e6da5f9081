//! The janitor of what is over: jobs of old syncs, pieces of contact lists that nobody will plan, webhooks that were read.

use std::time::Duration;

use chrono::TimeDelta;
use sincro_core::clock;
use sincro_store::{Error, Store, prune::Pruned};
use tokio::time::{MissedTickBehavior, interval};

use crate::patience::ended;

const EVERY: Duration = Duration::from_mins(10);
/// No webhook takes as long as that to arrive.
const HOOK_ARRIVES: TimeDelta = TimeDelta::hours(1);
/// Jobs in one transaction: a fraction of a second of the database's time.
const AT_ONCE: i64 = 5_000;
/// Webhooks in one transaction: each can be large.
const HOOKS_AT_ONCE: i64 = 100;
/// Between two of them, so that whoever waits for the database is not kept waiting by this.
const PAUSE: Duration = Duration::from_millis(100);

/// Prunes until the future is dropped: at once, then every ten minutes. Without a retention jobs are kept for ever.
pub(crate) async fn run(store: Store, retention: Option<TimeDelta>, hook_retention: Option<TimeDelta>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ended(prune(&store, retention, hook_retention)).await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "jobs of old syncs are deleted"),
            Err(error) => tracing::warn!(%error, "what is over could not be deleted; trying again"),
        }
    }
}

/// How many jobs went.
async fn prune(store: &Store, retention: Option<TimeDelta>, hook_retention: Option<TimeDelta>) -> Result<u64, Error> {
    store.forget_listings().await?;
    store.forget_broken_hooks(clock::now() - HOOK_ARRIVES).await?;
    if let Some(before) = hook_retention.and_then(|kept| clock::now().checked_sub_signed(kept)) {
        while store.forget_read_hooks(before, HOOKS_AT_ONCE).await? > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let Some(before) = retention.and_then(|kept| clock::now().checked_sub_signed(kept)) else { return Ok(0) };
    let mut jobs = 0;
    while let Pruned::Jobs(deleted) = store.prune(before, AT_ONCE).await? {
        jobs += deleted;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(jobs)
}
