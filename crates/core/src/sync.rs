//! One request: a whole channel, one contact, or (later) one message.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{channel::ChannelId, word::words};

/// A sync's public id.
pub type SyncId = Uuid;

words! {
    /// What was asked for.
    pub enum SyncKind {
        /// Every contact of a channel.
        Channel = "channel",
        /// One contact, urgent: an agent waits for it (a "ticket" sync).
        Contact = "contact",
    }
}

words! {
    /// Where a sync is in its life.
    pub enum SyncState {
        /// Its jobs are being written.
        Planning = "planning",
        /// Its jobs run.
        Running = "running",
        /// Nothing new starts until somebody resumes it.
        Paused = "paused",
        /// Every job ended well.
        Completed = "completed",
        /// Every job ended, some failed; they can be retried.
        CompletedWithFailures = "completed_with_failures",
        /// Stopped by somebody.
        Cancelled = "cancelled",
        /// Planning failed for good.
        Failed = "failed",
    }
}

impl SyncState {
    /// Whether the sync is over (a retry can open it again).
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::CompletedWithFailures | Self::Cancelled | Self::Failed)
    }
}

/// How many jobs of a sync are in each state; the states add up to `total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobCounts {
    /// All jobs.
    pub total: i64,
    /// Waiting for their turn.
    pub queued: i64,
    /// At a worker now.
    pub running: i64,
    /// Waiting for their next attempt.
    pub delayed: i64,
    /// Accepted by the gateway, not yet delivered.
    pub awaiting: i64,
    /// Ended with messages.
    pub succeeded: i64,
    /// Ended with nothing to store.
    pub empty: i64,
    /// Ended without a call.
    pub skipped: i64,
    /// Given up.
    pub failed: i64,
    /// Stopped with their sync.
    pub cancelled: i64,
}

impl JobCounts {
    /// Jobs that are not over.
    #[must_use]
    pub const fn open(&self) -> i64 {
        self.total - self.settled()
    }

    /// Jobs that are over.
    #[must_use]
    pub const fn settled(&self) -> i64 {
        self.succeeded + self.empty + self.skipped + self.failed + self.cancelled
    }
}

/// How many messages a sync brought; `fetched = stored + duplicate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MessageCounts {
    /// Read from the gateway.
    pub fetched: i64,
    /// New rows.
    pub stored: i64,
    /// Already there.
    pub duplicate: i64,
}

/// A sync as the API, the event stream and the command line show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SyncStatus {
    /// Public id.
    #[cfg_attr(feature = "schema", schema(value_type = Uuid))]
    pub id: SyncId,
    /// The channel it reads.
    #[cfg_attr(feature = "schema", schema(value_type = Uuid))]
    pub channel_id: ChannelId,
    /// What was asked for.
    pub kind: SyncKind,
    /// Where it is.
    pub state: SyncState,
    /// Grows with every change; the `id:` of its events.
    pub revision: i64,
    /// Its jobs by state.
    pub jobs: JobCounts,
    /// Its messages.
    pub messages: MessageCounts,
    /// Settled jobs over all jobs, 0 to 1.
    pub progress: f64,
    /// Seconds until the end as far as it can be told, none when it cannot.
    pub eta_seconds: Option<f64>,
    /// What holds it back now: `rate: channel`, `concurrency: channel`, `cooldown until ...`, `paused: ...`.
    pub limited_by: Option<String>,
    /// Why it failed, when it did.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its jobs could first run.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last job ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl SyncStatus {
    /// Puts what only the queue knows into what the ledger says.
    ///
    /// `eta_seconds` is the larger of two readings: the jobs left over the pace so far, and the jobs left
    /// over the channel's rate. The second keeps the estimate honest while there is no pace yet.
    pub fn show(&mut self, live: &Live, now: DateTime<Utc>) {
        if self.state.is_terminal() {
            return;
        }
        // The ledger's delayed jobs may be due or at a worker by now; the two are read one after the other, hence the bounds.
        let waiting = self.jobs.queued + self.jobs.delayed;
        self.jobs.running = live.running.clamp(0, waiting);
        self.jobs.delayed = live.delayed.clamp(0, waiting - self.jobs.running);
        self.jobs.queued = waiting - self.jobs.running - self.jobs.delayed;
        self.limited_by.clone_from(&live.limited_by);
        let open = self.jobs.open();
        if self.state != SyncState::Running || open == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate in seconds")]
        let (open, settled) = (open as f64, self.jobs.settled() as f64);
        let by_rate = (live.rate_per_second > 0.0).then(|| open / live.rate_per_second);
        let by_pace = self.started_at.filter(|_| settled >= 10.0).map(|started| {
            #[expect(clippy::cast_precision_loss, reason = "an estimate in seconds")]
            let elapsed = (now - started).num_milliseconds() as f64 / 1_000.0;
            open * elapsed / settled
        });
        self.eta_seconds = match (by_rate, by_pace) {
            (Some(rate), Some(pace)) => Some(rate.max(pace)),
            (rate, pace) => rate.or(pace),
        };
    }
}

/// What only the queue knows of a sync, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// Jobs at a worker now.
    pub running: i64,
    /// Jobs that wait for their next attempt.
    pub delayed: i64,
    /// Why nothing more of it runs, when something binds.
    pub limited_by: Option<String>,
    /// The channel's rate, calls per second.
    pub rate_per_second: f64,
}
