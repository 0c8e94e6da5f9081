//! Jobs that may be what kills their workers.
//!
//! A worker that dies takes an attempt of everything it held. If one job is the cause, those beside it would come back with it
//! and be lost with it, attempt for attempt, until all of them have failed. So a job that was lost several times is run only
//! while no other such job runs in this process, and the ledger knows that it was; the others wait without losing an attempt.
//! Those that were claimed together with the one may be lost with it all the same, before the queue has heard that they wait. So a
//! suspect fails for its lost attempts only after it has run alone.

use chrono::TimeDelta;
use sincro_core::job::Job;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long one waits for its turn before it asks again.
pub(crate) const ASKS_AGAIN: TimeDelta = TimeDelta::milliseconds(200);
/// So many losses in a row are more than bad luck.
const LOSSES: i32 = 2;

/// Whether something is held against a job that is claimed as this attempt. Attempts that the ledger has not heard of were lost.
pub(crate) const fn suspected(job: &Job, attempt: i32) -> bool {
    attempt - job.attempts > LOSSES || attempt > job.attempt_limit
}

/// Whose turn it is.
pub(crate) struct Suspects(Semaphore);

impl Default for Suspects {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Suspects {
    /// Leave to run as the only suspect, until it is dropped; none while another one runs.
    pub(crate) fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}
