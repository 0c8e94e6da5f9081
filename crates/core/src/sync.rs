//! One request: a whole channel, one contact, one message, files, or a look at the set-up.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{channel::ChannelId, waiting::WaitsFor, word::words};

/// A sync's public id.
pub type SyncId = Uuid;

words! {
    /// What was asked for.
    pub enum SyncKind {
        /// Every contact of a channel.
        Channel = "channel",
        /// One contact, urgent: an agent waits for it (a "ticket" sync).
        Contact = "contact",
        /// One message that is missing, urgent.
        Message = "message",
        /// A look at the channel's set-up, urgent: somebody waits for it.
        Check = "check",
        /// The files of messages that are stored.
        Media = "media",
    }
}

impl SyncKind {
    /// Whether one of a channel can be open at a time.
    #[must_use]
    pub const fn is_alone(self) -> bool {
        matches!(self, Self::Channel | Self::Check | Self::Media)
    }

    /// Whether somebody waits for it: it goes ahead of bulk work.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Contact | Self::Message | Self::Check)
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
    /// Older than was asked for: neither read nor stored.
    #[serde(default)]
    pub left_out: i64,
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
    /// Messages that were older than so many days when it was asked for are left out.
    #[serde(default)]
    pub window_days: Option<u16>,
    /// What its awaiting jobs wait for, and how far that is: `delivery: phase 1, chunk 3, 55 %`, `turn`, `initial sync`; none when
    /// none waits.
    #[serde(default)]
    pub delivery: Option<String>,
    /// Settled jobs over all jobs, 0 to 1. A job for a whole number counts by the percentage that its gateway tells.
    pub progress: f64,
    /// Seconds until the end as far as it can be told, none when it cannot.
    pub eta_seconds: Option<f64>,
    /// What holds it back now: `rate: channel`, `rate: server`, `concurrency: ...`, `cooldown until ...`, `session lost: ...`,
    /// `paused by ...`, `behind N jobs`, `retry at ...`.
    pub limited_by: Option<String>,
    /// When its next job can start as far as it can be told, while something holds it back.
    #[serde(default)]
    pub next_at: Option<DateTime<Utc>>,
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
    /// `eta_seconds` comes from the limiter: the calls that are left over the calls per second that the sync gets under
    /// all limits and beside all others, after the wait for its next turn. A job makes as many calls as those of this sync
    /// made so far. Where the gateway answers too slowly for the limits to bind, the pace so far says more, if it is slower.
    pub fn show(&mut self, live: &Live, now: DateTime<Utc>) {
        if self.state.is_terminal() {
            return;
        }
        // The ledger's delayed jobs may be due or at a worker by now; the two are read one after the other, hence the bounds.
        let waiting = self.jobs.queued + self.jobs.delayed;
        self.jobs.running = live.running.clamp(0, waiting);
        self.jobs.delayed = live.delayed.clamp(0, waiting - self.jobs.running);
        self.jobs.queued = waiting - self.jobs.running - self.jobs.delayed;
        let delivery = self.delivery.clone().filter(|_| waiting == 0);
        self.limited_by = live.waits_for.as_ref().map(ToString::to_string).or(delivery);
        self.next_at = live.next_at.filter(|at| *at > now);
        self.eta_seconds = match self.state {
            SyncState::Running => self.eta(live, now),
            _ => None,
        };
    }

    fn eta(&self, live: &Live, now: DateTime<Utc>) -> Option<f64> {
        let open = float(self.jobs.open());
        let rate = live.calls_per_second.filter(|rate| *rate > 0.0)?;
        // How long a gateway takes to deliver, nobody knows.
        if open == 0.0 || self.jobs.awaiting > 0 {
            return None;
        }
        let settled = float(self.jobs.settled());
        let calls_per_job =
            if settled >= ENOUGH_TO_TELL { (float(live.calls_made) / settled).max(1.0) } else { CALLS_PER_JOB };
        let by_limits = open * calls_per_job / rate;
        let by_pace = self.started_at.filter(|_| live.waits_for_worker() && settled >= ENOUGH_TO_TELL).map(|started| {
            let elapsed = float((now - started).num_milliseconds()) / 1_000.0;
            open * elapsed / settled
        });
        let wait = live.next_at.map_or(0.0, |at| float((at - now).num_milliseconds()).max(0.0) / 1_000.0);
        Some(wait + by_pace.map_or(by_limits, |pace| pace.max(by_limits)))
    }
}

/// Settled jobs from which on the calls and the pace of a sync tell something.
const ENOUGH_TO_TELL: f64 = 10.0;
/// Before: a phone job makes one call; a LID job one, or two when it has to look its LID up.
pub const CALLS_PER_JOB: f64 = 1.4;

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(number: i64) -> f64 {
    number as f64
}

/// What only the queue knows of a sync, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// Jobs at a worker now.
    pub running: i64,
    /// Jobs that wait for their next attempt.
    pub delayed: i64,
    /// Why nothing more of it runs, when something binds.
    pub waits_for: Option<WaitsFor>,
    /// When its next job can start; none when that depends on somebody.
    pub next_at: Option<DateTime<Utc>>,
    /// Calls that were permitted to it so far.
    pub calls_made: i64,
    /// Calls per second that it can get, under all limits and beside all others; none while nothing can run.
    pub calls_per_second: Option<f64>,
}

impl Live {
    /// Whether no limit binds: what it waits for are answers or workers.
    const fn waits_for_worker(&self) -> bool {
        matches!(self.waits_for, None | Some(WaitsFor::Worker | WaitsFor::Concurrency { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Level;

    fn running(queued: i64, settled: i64) -> SyncStatus {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        SyncStatus {
            id: Uuid::from_u128(1),
            channel_id: Uuid::from_u128(2),
            kind: SyncKind::Channel,
            state: SyncState::Running,
            revision: 1,
            jobs: JobCounts { total: queued + settled, queued, succeeded: settled, ..JobCounts::default() },
            messages: MessageCounts::default(),
            window_days: None,
            delivery: None,
            progress: 0.0,
            eta_seconds: None,
            limited_by: None,
            next_at: None,
            error: None,
            created_at: now,
            started_at: Some(now),
            finished_at: None,
        }
    }

    fn eta(status: &mut SyncStatus, live: &Live, after: i64) -> f64 {
        let now = status.created_at + chrono::TimeDelta::seconds(after);
        status.show(live, now);
        status.eta_seconds.unwrap()
    }

    #[test]
    fn the_estimate_follows_the_limits_and_not_the_pace_while_a_rate_binds() {
        let bound = Live {
            waits_for: Some(WaitsFor::Rate { level: Level::Server, per: None }),
            calls_made: 150,
            calls_per_second: Some(5.0),
            ..Live::default()
        };
        assert!((eta(&mut running(100, 100), &bound, 1_000) - 30.0).abs() < 1e-9, "1.5 calls a job, 5 a second");
        let unbound = Live { waits_for: None, ..bound };
        assert!((eta(&mut running(100, 100), &unbound, 1_000) - 1_000.0).abs() < 1e-9, "answers that come slowly");
    }

    #[test]
    fn the_wait_for_the_next_turn_comes_first() {
        let mut status = running(100, 0);
        let until = status.created_at + chrono::TimeDelta::seconds(60);
        let cooldown = WaitsFor::Cooldown { level: Level::Channel, until, reason: "throttled".into() };
        let live =
            Live { waits_for: Some(cooldown), next_at: Some(until), calls_per_second: Some(14.0), ..Live::default() };
        assert!((eta(&mut status, &live, 0) - 70.0).abs() < 1e-9);
        assert_eq!(status.next_at, Some(until));
    }

    #[test]
    fn nothing_is_estimated_while_it_depends_on_a_person() {
        let mut status = running(100, 0);
        let live = Live { waits_for: Some(WaitsFor::SyncPaused), ..Live::default() };
        status.show(&live, status.created_at);
        assert_eq!((status.eta_seconds, status.limited_by.as_deref()), (None, Some("paused by operator: sync")));
    }
}
