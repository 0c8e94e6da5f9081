//! Jobs that may be what kills their workers.
//!
//! A worker that dies takes an attempt of everything it held. If one job is the cause, those beside it would come back with it
//! and be lost with it, attempt for attempt, until all of them have failed. So a job that was lost twice is run only
//! while no other such job runs in this process; the others wait without losing an attempt.

use chrono::TimeDelta;
use sincro_core::job::Job;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long one waits for its turn before it asks again.
pub(crate) const ASKS_AGAIN: TimeDelta = TimeDelta::milliseconds(200);
/// So many losses in a row are more than bad luck.
const LOSSES: i32 = 2;

/// Whose turn it is.
pub(crate) struct Suspects(Semaphore);

/// Leave to run a job.
pub(crate) enum Turn<'a> {
    /// Nothing is held against it.
    Free,
    /// It is the one suspect that may run, until this is dropped.
    Alone { _place: SemaphorePermit<'a> },
    /// Another one runs.
    Later,
}

impl Default for Suspects {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Suspects {
    /// Whether a job may run as this attempt. Attempts that the ledger has not heard of were lost.
    pub(crate) fn turn(&self, job: &Job, attempt: i32) -> Turn<'_> {
        if attempt - job.attempts <= LOSSES {
            return Turn::Free;
        }
        self.0.try_acquire().map_or(Turn::Later, |place| Turn::Alone { _place: place })
    }
}
