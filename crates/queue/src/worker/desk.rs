//! What the driver remembers of one shard.

use std::time::Duration;

use sincro_core::limit::Level;
use tokio::time::Instant;

use crate::{
    Error,
    claim::{Batch, HeldBack},
    settle::Settlement,
    telemetry,
    worker::lease::HoldKey,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One shard's side of the driver.
pub(super) struct Desk {
    pub(super) shard: u16,
    /// Its life, as the last claim told it.
    pub(super) epoch: Option<i64>,
    /// Rulings that Redis has not confirmed.
    pub(super) pending: Vec<Settlement>,
    /// When a claim may succeed.
    pub(super) look_at: Instant,
    /// Counts the claims that were answered.
    pub(super) number: u64,
    /// When the claim that was not answered yet was first sent.
    pub(super) unanswered_since: Option<Instant>,
    /// Since when free slots have waited for a permit while work was queued, and whose limit bound last.
    waiting: Option<(Instant, Level)>,
    /// How long to leave Redis alone after a failure; zero when there was none.
    pause: Duration,
    not_before: Instant,
}

impl Desk {
    pub(super) fn new(shard: u16) -> Self {
        let now = Instant::now();
        Self {
            shard,
            epoch: None,
            pending: Vec::new(),
            look_at: now,
            number: 1,
            unanswered_since: None,
            waiting: None,
            pause: Duration::ZERO,
            not_before: now,
        }
    }

    /// When the shard is to be visited, if at all; `asks` when there is something to ask it for.
    pub(super) fn due_at(&self, asks: bool) -> Option<Instant> {
        if !self.pending.is_empty() {
            Some(self.not_before)
        } else if asks {
            Some(self.look_at.max(self.not_before))
        } else {
            None
        }
    }

    /// What the pending rulings are about, in their order.
    pub(super) fn pending_keys(&self) -> impl Iterator<Item = HoldKey> {
        self.pending.iter().map(|ruled| HoldKey { shard: self.shard, job: ruled.job, ticket: ruled.ticket })
    }

    pub(super) const fn in_trouble(&self) -> bool {
        !self.pause.is_zero()
    }

    pub(super) fn note_asked(&mut self, at: Instant) {
        self.unanswered_since.get_or_insert(at);
    }

    /// The moment from which the leases of the answer count.
    pub(super) fn note_answered(&mut self) -> Instant {
        self.number += 1;
        self.unanswered_since.take().unwrap_or_else(Instant::now)
    }

    /// When to look again, and how long slots were kept waiting. The wait is reckoned from the question, which was under way
    /// for about as long as the next one will be.
    pub(super) fn note_batch(&mut self, batch: &Batch, asked: Instant, asked_for: usize, safety_look: Duration) {
        let now = Instant::now();
        let got = batch.jobs.len();
        self.look_at = if got < asked_for { asked + batch.wait.unwrap_or(safety_look).min(safety_look) } else { now };
        if got > 0
            && let Some((since, level)) = self.waiting.take()
        {
            metrics::histogram!(telemetry::LIMITER_WAIT, "level" => level.as_str()).record((now - since).as_secs_f64());
        }
        self.waiting = match (batch.held_back, batch.binds) {
            (HeldBack::Rate | HeldBack::Cooldown, Some(level)) => {
                Some((self.waiting.map_or(now, |(since, _)| since), level))
            }
            _ => None,
        };
    }

    /// Logged when it begins; the pauses grow while it lasts.
    pub(super) fn note_trouble(&mut self, error: &Error) {
        if !self.in_trouble() {
            tracing::warn!(shard = self.shard, %error, "redis failed; the worker holds what it has and tries again");
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.not_before = Instant::now() + self.pause;
    }

    pub(super) fn note_peace(&mut self) {
        if self.in_trouble() {
            tracing::info!(shard = self.shard, "redis answers again");
            self.pause = Duration::ZERO;
        }
    }
}
