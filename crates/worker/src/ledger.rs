//! The ledger as a single job sees it: one load, one settlement; underneath, many at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sincro_core::job::{Ending, Failure, Job, JobId, Outcome};
use sincro_store::{
    Error, Store,
    settle::{Recorded, Settled, Settlement},
    unreadable::UnreadableJob,
};
use tokio::time::Instant;

use crate::{
    batch::{Batcher, Gathering, Serving},
    patience::{answered, offered},
};

/// What a single settlement came to: what was recorded, and what the queue must hear of it.
pub(crate) type Settling = Result<(Recorded, Vec<sincro_core::notice::Notice>), Arc<Error>>;

/// An open job as far as it can be read; none when it is over.
pub(crate) type Loading = Result<Option<Result<Job, UnreadableJob>>, Arc<Error>>;

/// Settle transactions under way at once. More of them wait for the same processors, and for each other's rows.
const SETTLE_LANES: usize = 2;

/// Under load, what is settled together comes within this.
const SETTLED_WITHIN: Duration = Duration::from_millis(15);
/// The same of loads: claims that came together ask for their jobs at about the same time.
const LOADED_WITHIN: Duration = Duration::from_millis(2);
/// More than this in one batch save little more.
const ENOUGH: usize = 256;

/// Loads and settles jobs.
pub(crate) struct Ledger {
    loads: Batcher<JobId, Loading>,
    /// The results of a sync all go along one of them: two transactions for one sync would wait for each other.
    settlements: Vec<Batcher<Settlement, Settling>>,
}

impl Ledger {
    /// The ledger and the futures that serve it, for a worker with so many jobs at a time. Results are settled in batches of at most
    /// `most`.
    pub(crate) fn new(store: &Store, most: usize, concurrency: usize) -> (Self, Vec<Serving>) {
        // The others must be able to go on meanwhile.
        let enough = (concurrency * 3 / 8).min(ENOUGH);
        let loading = store.clone();
        let (loads, serve_loads) =
            Batcher::new(most, Gathering { enough, within: LOADED_WITHIN }, move |ids| load(loading.clone(), ids));
        let lanes = (0..SETTLE_LANES).map(|_| {
            let settling = store.clone();
            let gathering = Gathering { enough, within: SETTLED_WITHIN };
            Batcher::new(most, gathering, move |batch| settle(settling.clone(), batch))
        });
        let (settlements, mut serving): (Vec<_>, Vec<_>) = lanes.unzip();
        serving.push(serve_loads);
        (Self { loads, settlements }, serving)
    }

    /// Loads a job.
    pub(crate) async fn load(&self, id: JobId) -> Loading {
        self.loads.ask(id).await.unwrap_or_else(|| Err(Arc::new(stopping())))
    }

    /// Records what a job came to.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Settling {
        // The last byte of a sync's id is drawn at random.
        let lane = usize::from(settlement.job.sync.as_bytes()[15]) % self.settlements.len();
        self.settlements[lane].ask(settlement).await.unwrap_or_else(|| Err(Arc::new(stopping())))
    }
}

/// What whoever asks hears after a serving task has panicked. It counts as an attempt: what made the task panic must run out of them.
fn stopping() -> Error {
    Error::Unreadable("the worker is stopping".to_owned())
}

async fn load(store: Store, ids: Vec<JobId>) -> Vec<Loading> {
    match answered(store.open_jobs(&ids)).await {
        Ok(jobs) => {
            let id = |job: &Result<Job, UnreadableJob>| job.as_ref().map_or_else(|job| job.id, |job| job.id);
            let mut jobs: HashMap<_, _> = jobs.into_iter().map(|job| (id(&job), job)).collect();
            ids.iter().map(|id| Ok(jobs.remove(id))).collect()
        }
        Err(error) => {
            let error = Arc::new(error);
            ids.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

async fn settle(store: Store, batch: Vec<Settlement>) -> Vec<Settling> {
    match record(&store, &batch).await {
        Ok(settled) => answers(settled),
        // One of them cannot be stored: find out which, so that the others do not suffer.
        Err(Error::Unreadable(_)) => {
            let mut single = Vec::with_capacity(batch.len());
            for settlement in batch {
                single.push(settle_alone(&store, settlement).await);
            }
            single
        }
        Err(error) => {
            let error = Arc::new(error);
            batch.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

/// A settlement the database cannot take at all ends its job with that reason.
async fn settle_alone(store: &Store, settlement: Settlement) -> Settling {
    let attempt = record(store, std::slice::from_ref(&settlement)).await;
    let settled = match attempt {
        Err(Error::Unreadable(cause)) => {
            tracing::error!(job = settlement.job.id, %cause, "what the gateway sent cannot be stored");
            let failure = Failure::new("unstorable", format!("what the gateway sent cannot be stored: {cause}"));
            let outcome = Outcome::Ended(Ending::Failed(failure));
            let failed = Settlement { outcome, messages: Vec::new(), learned: None, ..settlement };
            record(store, std::slice::from_ref(&failed)).await
        }
        other => other,
    };
    settled.map_err(Arc::new).and_then(|settled| {
        answers(settled).pop().unwrap_or_else(|| Err(Arc::new(Error::Unreadable("no answer".to_owned()))))
    })
}

/// Records a batch.
async fn record(store: &Store, batch: &[Settlement]) -> Result<Settled, Error> {
    let begun = Instant::now();
    let settled = offered(|| store.settle(batch)).await;
    metrics::histogram!("sincro_settle_seconds").record(begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    metrics::histogram!("sincro_settle_batch_size").record(batch.len() as f64);
    settled
}

/// Every settlement its own answer; the notices go with the last one of the batch, which delivers them.
fn answers(settled: Settled) -> Vec<Settling> {
    let mut notices = settled.notices;
    let mut answers: Vec<Settling> =
        settled.recorded.into_iter().rev().map(|recorded| Ok((recorded, std::mem::take(&mut notices)))).collect();
    answers.reverse();
    answers
}

pub(crate) fn describe_metrics() {
    metrics::describe_histogram!(
        "sincro_settle_seconds",
        metrics::Unit::Seconds,
        "Time of one settle transaction, tries included"
    );
    metrics::describe_histogram!("sincro_settle_batch_size", "Jobs settled in one transaction");
}
