//! Running jobs: apalis runs the handlers, the driver feeds them.
//!
//! ```text
//! Redis <-> driver --claims--> ClaimBackend -> apalis: slots, span, own task, panic guard -> handler
//!              ^------------- rulings ------------------- RulingLayer <---------------------/
//! ```

mod backend;
mod desk;
mod driver;
pub(crate) mod hands;
mod lease;
mod wake;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use apalis::{
    layers::{WorkerBuilderExt as _, tracing::TraceLayer},
    prelude::{Task, WorkerBuilder},
};
use apalis_core::worker::ext::parallelize::ParallelizeLayer;
use futures::FutureExt as _;
use sincro_core::retry::RetryPolicy;
use tokio::sync::mpsc;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

pub use self::lease::Claim;
use self::{backend::ClaimBackend, driver::Driver, lease::Leases, wake::Wake};
use crate::{Error, Queue, settle::Ruling};

const SHORTEST_LEASE: Duration = Duration::from_millis(100);
/// How long handlers that were told to end may take to notice.
const LAST_POLL: Duration = Duration::from_secs(1);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// For logs.
    pub name: String,
    /// Jobs at a time, at least 1.
    pub concurrency: usize,
    /// How long a job stays with a worker that gives no sign of life, at least 100 ms. Renewed three times as often.
    pub lease: Duration,
    /// How long running jobs may take to finish after the stop.
    pub grace: Duration,
    /// When a job is tried again whose handler panicked.
    pub retry: RetryPolicy,
}

/// Runs jobs until `stop`: then nothing new is claimed, running handlers get their time of grace, what is unstarted or
/// unfinished at its end goes back with its attempt refunded, and everything is settled before this returns.
///
/// Trouble with Redis never ends a worker; it goes on when Redis does. A handler that panics has failed its attempt.
///
/// # Errors
/// [`Error::Unreachable`] when Redis could not be told of the last results: their leases run out and they are repeated.
/// [`Error::Worker`] when the machinery broke; what it held went back.
pub async fn run_worker<F, Fut>(
    queue: Queue,
    settings: WorkerSettings,
    handler: F,
    stop: CancellationToken,
) -> Result<(), Error>
where
    F: Fn(Claim) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Ruling> + Send + 'static,
{
    let WorkerSettings { name, concurrency, lease, grace, retry } = settings;
    let (concurrency, lease) = (concurrency.max(1), lease.max(SHORTEST_LEASE));
    let (claims_in, claims_out) = mpsc::unbounded_channel();
    let (outcomes_in, outcomes_out) = mpsc::unbounded_channel();
    let leases = Arc::<Leases>::default();
    let wake = Arc::new(Wake::new(&queue));
    // Ends with the caller's token, and without it when the machinery breaks.
    let end = stop.child_token();

    let _listener = spawn(listen(wake.clone(), queue.clone()));
    let _renewer = spawn(renew(leases.clone(), queue.clone(), lease));
    let driver = Driver::new(queue, concurrency, lease, leases, wake, (claims_in, outcomes_out));
    // Not bound to this future: if that is dropped, the driver sees its channels close and hands everything back.
    let driver = tokio::spawn(driver.run(end.clone()));

    // Keeps the driver from handing back what handlers are still at.
    let still_handling = outcomes_in.clone();
    let backend = ClaimBackend { claims: claims_out, outcomes: outcomes_in, retry, stop: end.clone() };
    let handlers = TaskTracker::new();
    let outcome = work(backend, name, concurrency, handler, &handlers, out_of_grace(&end, grace)).await;
    end.cancel();
    handlers.close();
    if tokio::time::timeout(LAST_POLL, handlers.wait()).await.is_err() {
        tracing::warn!(handlers = handlers.len(), "handlers do not end; their results will not count");
    }
    drop(still_handling);
    let settled = driver.await.unwrap_or_else(|error| Err(Error::Worker(Box::new(error))));
    outcome.and(settled)
}

/// Lets apalis run the handlers, each in a task of its own, until it is through or `cut_off`; what runs then is dropped.
async fn work<F, Fut>(
    backend: ClaimBackend,
    name: String,
    concurrency: usize,
    handler: F,
    handlers: &TaskTracker,
    cut_off: impl Future<Output = ()>,
) -> Result<(), Error>
where
    F: Fn(Claim) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Ruling> + Send + 'static,
{
    let span = TraceLayer::new().make_span_with(job_span).on_request(no_request_log).on_response(()).on_failure(());
    let tracker = handlers.clone();
    let worker = WorkerBuilder::new(name)
        .backend(backend)
        .concurrency(concurrency)
        .layer(ParallelizeLayer::new(move |job| AbortOnDropHandle::new(tracker.spawn(job))))
        .layer(span)
        .catch_panic()
        .build(move |claim: Claim| {
            let ruling = handler(claim);
            async move { Ok::<_, Infallible>(ruling.await) }
        });
    // Boxed, because the compiler cannot see through the whole type that the future is `Send`.
    let run = worker.run().boxed();
    tokio::select! {
        end = run => end.map_err(|error| Error::Worker(Box::new(error))),
        () = cut_off => Ok(()),
    }
}

fn job_span(task: &Task<Claim>) -> tracing::Span {
    let Claim { job, attempt, sync, channel, .. } = &task.args;
    tracing::info_span!("job", job, attempt, %sync, %channel)
}

fn no_request_log(_: &Task<Claim>, _: &tracing::Span) {}

async fn out_of_grace(end: &CancellationToken, grace: Duration) {
    end.cancelled().await;
    tokio::time::sleep(grace).await;
    tracing::info!("the time of grace is over; unfinished jobs go back");
}

async fn listen(wake: Arc<Wake>, queue: Queue) {
    wake.listen(&queue).await;
}

async fn renew(leases: Arc<Leases>, queue: Queue, lease: Duration) {
    leases.keep(&queue, lease).await;
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
