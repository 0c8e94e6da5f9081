//! What a job does, from its claim to its settlement, and the janitors beside it.
//!
//! | module | its one task |
//! |---|---|
//! | `execute` | one claimed job: load, call the gateway, settle |
//! | `awaiter` | jobs that wait for a delivery, a turn or a time |
//! | `ingest` | webhooks that were kept are read |
//! | `fetcher` | files are fetched for channels that want theirs |
//! | [`target`] | where files are kept |
//! | `outcome` | a gateway's answer -> what the job came to |
//! | `ledger` | the ledger in batches: loads and settlements of many jobs at once |
//! | `batch` | many callers, one call |
//! | `connections` | the channels' credentials, opened once per version |
//! | `patience` | how long the ledger may be silent |
//! | `punctual` | a call that comes late has its permit moved |
//! | `suspects` | jobs that may be what kills their workers |
//! | `probe` | a look at a lost session |
//! | `rest` | pauses and cooldowns, written down |
//! | `deliver` | notices -> queue |
//! | `sweep` | what a crash left undelivered |
//! | `restore` | a queue that was emptied is filled from the ledger |
//! | `prune` | what is over long enough is deleted |
//! | `reconcile` | what the queue lost of single lanes is put back, and what is over is closed |
//! | `report` | what only the queue knows, written down for the views |
//! | `trouble` | why a janitor has to try again |
//!
//! The queue decides when a job runs, `core` decides what a refusal means; here is only what to do while a server is away or a
//! call is late.

mod awaiter;
mod batch;
mod connections;
mod deliver;
mod execute;
mod fetcher;
mod ingest;
mod ledger;
mod outcome;
mod patience;
mod probe;
mod prune;
mod punctual;
mod reconcile;
mod report;
mod rest;
mod restore;
#[doc(hidden)]
pub mod steps;
mod suspects;
mod sweep;
pub mod target;
mod trouble;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures::FutureExt as _;
use sincro_core::{awaiting::Waits, retry::RetryPolicy};
use sincro_providers::Gateways;
use sincro_queue::{Queue, WorkerSettings};
use sincro_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    execute::{Executor, Ways},
    ledger::Ledger,
};

/// Why a worker ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue could not be told of the last results, or its machinery broke.
    #[error(transparent)]
    Queue(#[from] sincro_queue::Error),
    /// A task beside the jobs (settling, sweeping, restoring, reporting) panicked: a bug. Start the worker again.
    #[error("a task beside the jobs ended")]
    Beside(#[source] tokio::task::JoinError),
}

/// How a worker process works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Unique among all workers; appears in logs.
    pub name: String,
    /// Jobs under way at once.
    pub concurrency: usize,
    /// How long a claimed job stays ours without a renewal.
    pub lease: Duration,
    /// How long running jobs may take to finish when the worker is asked to stop.
    pub grace: Duration,
    /// When a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// Most jobs in one ledger transaction.
    pub settle_batch: usize,
    /// How often undelivered notices and lost lanes are looked for.
    pub sweep_every: Duration,
    /// How long is waited for what gateways deliver later.
    pub waits: Waits,
    /// The base of our own addresses for webhooks.
    pub public_url: String,
    /// How long the jobs of a sync are kept after its end; none: for ever.
    pub retention: Option<TimeDelta>,
    /// How long webhooks are kept after they came, once they are read; none: for ever.
    pub hook_retention: Option<TimeDelta>,
    /// Where the files of messages go; none: they are not fetched.
    pub media: Option<target::Settings>,
}

/// Works until `stop`; then finishes or hands back what runs. Where Redis is away by then, the leases run out instead.
pub async fn run(
    store: Store,
    queue: Queue,
    gateways: Gateways,
    settings: Settings,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut beside = JoinSet::new();
    beside.spawn(sweep::run(store.clone(), queue.clone(), settings.sweep_every));
    beside.spawn(prune::run(store.clone(), settings.retention, settings.hook_retention));
    beside.spawn(restore::run(store.clone(), queue.clone()));
    beside.spawn(reconcile::run(store.clone(), queue.clone(), settings.sweep_every));
    beside.spawn(report::run(store.clone(), queue.clone()));
    beside.spawn(awaiter::run(store.clone(), queue.clone(), settings.waits, settings.retry.max_attempts));
    beside.spawn(ingest::run(store.clone(), queue.clone()));
    if let Some(media) = &settings.media {
        let max_attempts = settings.retry.max_attempts;
        beside.spawn(fetcher::run(store.clone(), queue.clone(), media.clone(), settings.sweep_every, max_attempts));
    }
    let (ledger, serving) = Ledger::new(&store, settings.settle_batch, settings.concurrency);
    for serving in serving {
        beside.spawn(serving);
    }

    let ways =
        Ways { retry: settings.retry, waits: settings.waits, public_url: settings.public_url, media: settings.media };
    let executor = Arc::new(Executor::new(store, queue.clone(), gateways, ledger, ways));
    let worker = WorkerSettings {
        name: settings.name,
        concurrency: settings.concurrency,
        lease: settings.lease,
        grace: settings.grace,
        retry: settings.retry,
    };
    let handler = move |claim| {
        let executor = executor.clone();
        // Boxed here, for every layer between this and the task moves it once more.
        async move { executor.execute(claim).await }.boxed()
    };
    let working = sincro_queue::run_worker(queue, worker, handler, stop.clone());
    tokio::pin!(working);
    loop {
        tokio::select! {
            ended = &mut working => {
                beside.shutdown().await;
                return good_end(ended, &stop);
            }
            // Those that serve the handlers end with the last of them. Without one that panicked the worker would call
            // gateways and record nothing.
            Some(ended) = beside.join_next() => if let Err(panic) = ended {
                stop.cancel();
                working.await?;
                return Err(Error::Beside(panic));
            }
        }
    }
}

/// A worker that was asked to stop has ended well without Redis, too: nothing of what it could not say is lost.
fn good_end(ended: Result<(), sincro_queue::Error>, stop: &CancellationToken) -> Result<(), Error> {
    match ended {
        Err(error @ sincro_queue::Error::Unreachable(_)) if stop.is_cancelled() => {
            tracing::warn!(%error, "ended without telling the queue; what was claimed comes back when its leases run out");
            Ok(())
        }
        ended => Ok(ended?),
    }
}

/// Names and units of this crate's metrics.
pub fn describe_metrics() {
    ledger::describe_metrics();
    execute::describe_metrics();
    ingest::describe_metrics();
    probe::describe_metrics();
    reconcile::describe_metrics();
}
