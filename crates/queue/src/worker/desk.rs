//! What the driver remembers of one shard.

use std::time::Duration;

use sincro_core::limit::Level;
use tokio::time::Instant;

use crate::{
    Error,
    claim::{Batch, HeldBack},
    settle::{Ruling, Settlement},
    telemetry,
    worker::lease::HoldKey,
};

/// While slots are what is short, results that come within this are told together: each visit costs Redis much more than each result.
const TOGETHER: Duration = Duration::from_millis(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One shard's side of the driver.
pub(super) struct Desk {
    pub(super) shard: u16,
    /// Its life, as the last claim told it.
    pub(super) epoch: Option<i64>,
    /// Rulings that Redis has not confirmed.
    pub(super) pending: Vec<Settlement>,
    /// When they are to be told, unless there are enough before.
    tell_at: Instant,
    /// So many are enough.
    enough: usize,
    /// Whether nothing held the last claim back but what was asked for: there may be more to be had than slots.
    is_flooded: bool,
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
    /// Of a worker with so many slots.
    pub(super) fn new(shard: u16, slots: usize) -> Self {
        let now = Instant::now();
        Self {
            shard,
            epoch: None,
            pending: Vec::new(),
            tell_at: now,
            enough: slots.div_ceil(8),
            is_flooded: false,
            look_at: now,
            number: 1,
            unanswered_since: None,
            waiting: None,
            pause: Duration::ZERO,
            not_before: now,
        }
    }

    /// Takes a ruling that Redis is to hear of.
    pub(super) fn push(&mut self, ruled: Settlement) {
        let now = Instant::now();
        if self.pending.is_empty() {
            self.tell_at = now + TOGETHER;
        }
        let can_wait = self.is_flooded && matches!(ruled.ruling, Ruling::Done | Ruling::Next);
        self.pending.push(ruled);
        if !can_wait || self.pending.len() >= self.enough {
            self.tell_at = self.tell_at.min(now);
        }
    }

    /// When the shard is to be visited, if at all; `asks` when there is something to ask it for.
    pub(super) fn due_at(&self, asks: bool) -> Option<Instant> {
        let tells = (!self.pending.is_empty()).then_some(self.tell_at);
        let at = tells.into_iter().chain(asks.then_some(self.look_at)).min()?;
        Some(at.max(self.not_before))
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
        self.is_flooded = batch.held_back == HeldBack::No;
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
