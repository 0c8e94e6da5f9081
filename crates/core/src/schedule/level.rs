//! The limiter of one level: when it admits the next call, and what calls and answers make of it.
//!
//! Channels and provider servers have the same limiter; only a server can be without a rule, and then admits whatever
//! its channels do. A call that comes late does not slow its level down: the times of the slots run on for a while
//! without it, and the windows alone decide how fast it catches up.

use std::collections::VecDeque;

use crate::limit::{LevelLimit, Period};

/// A level that was not slowed down (ppm of its configured rate).
pub const FULL_PACE: i64 = 1_000_000;
const SLOWEST_PACE: i64 = 10_000;
/// What good answers win back in a second (ppm).
const CLIMB_PER_SECOND: i64 = 20_000;
/// Slots that were not used are caught up with when they are not older than this (µs).
const CATCH_UP_US: i64 = 200_000;
/// What a doubling rest can come to (µs); a gateway that asks for more gets more.
const LONGEST_GROWN_US: i64 = 300_000_000;

/// What keeps a channel or a server from being called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The next slot of the rate, or of the cap over that period.
    Rate(Option<Period>),
    /// As many calls are under way as may be.
    Concurrency,
    /// A rest that the gateway asked for.
    Cooldown,
    /// A lost session, and the time of the next look at it.
    Session,
    /// Somebody has to act.
    Paused,
    /// There is nothing to call for.
    Idle,
}

/// When the next call may be made, if it depends on time alone, and what decides that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The time (µs); none while something else has to happen first.
    pub at: Option<i64>,
    /// What decides it.
    pub why: Why,
}

impl Slot {
    pub(super) const fn never(why: Why) -> Self {
        Self { at: None, why }
    }

    /// Whether it has come.
    #[must_use]
    pub fn is_open(&self, now: i64) -> bool {
        self.at.is_some_and(|at| at <= now)
    }
}

/// One level's rule and limiter.
#[derive(Debug, Clone)]
pub struct Level {
    rule: Option<Rule>,
    /// When every slot that was taken is over (µs).
    pub tat: i64,
    /// Since when somebody has waited for permits (µs).
    pub(super) wanted_at: i64,
    /// The times of earlier permits, newest first.
    pub calls: VecDeque<i64>,
    /// What is left of the configured rate (ppm).
    pub pace: i64,
    paced_at: i64,
    /// Nothing is called before then (µs).
    pub cooldown_until: i64,
    strikes: u32,
    /// After a cooldown: one call alone, until an answer is good.
    pub trial: bool,
    /// Calls under way.
    pub running: u32,
    /// Urgent calls in a row.
    pub(super) urgent_run: u32,
}

#[derive(Debug, Clone)]
struct Rule {
    interval_us: i64,
    windows: Vec<Window>,
    burst: i64,
    concurrency: u32,
    weight: i64,
}

#[derive(Debug, Clone)]
struct Window {
    period: Option<Period>,
    calls: usize,
    micros: i64,
}

impl From<&LevelLimit> for Rule {
    fn from(limit: &LevelLimit) -> Self {
        let spacing = limit.spacing();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let window = |window: &crate::limit::Window| Window {
            period: window.period,
            calls: usize::try_from(window.calls).unwrap_or(usize::MAX),
            micros: signed(window.micros),
        };
        Self {
            interval_us: signed(spacing.interval_us),
            windows: spacing.windows.iter().map(window).collect(),
            burst: i64::from(limit.limit.burst),
            concurrency: limit.limit.concurrency,
            weight: i64::from(limit.weight),
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self {
            rule: None,
            tat: 0,
            wanted_at: 0,
            calls: VecDeque::new(),
            pace: FULL_PACE,
            paced_at: 0,
            cooldown_until: 0,
            strikes: 0,
            trial: false,
            running: 0,
            urgent_run: 0,
        }
    }
}

impl Level {
    /// A rule that speeds a level up does so now, not when the slots of the slow one are over.
    pub(super) fn set_rule(&mut self, limit: Option<&LevelLimit>, now: i64) {
        self.rule = limit.map(Rule::from);
        if let Some(rule) = &self.rule {
            self.tat = self.tat.min(now + rule.interval_us * rule.burst);
        } else {
            self.calls.clear();
        }
    }

    /// The share among its like.
    pub(super) fn weight(&self) -> i64 {
        self.rule.as_ref().map_or(1, |rule| rule.weight)
    }

    /// From one call to the next at the pace that holds (µs); 0 without a rule.
    pub(super) fn effective_interval_us(&self) -> i64 {
        self.rule.as_ref().map_or(0, |rule| self.stretched(rule.interval_us))
    }

    /// When the next call may be made as far as this level goes.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let concurrency = if self.trial { 1 } else { self.rule.as_ref().map_or(u32::MAX, |rule| rule.concurrency) };
        if self.running >= concurrency {
            return Slot::never(Why::Concurrency);
        }
        let (mut at, mut why) = (0, Why::Rate(None));
        if let Some(rule) = &self.rule {
            at = self.tat - self.stretched(rule.interval_us) * (rule.burst - 1);
            for window in &rule.windows {
                let Some(before) = self.calls.get(window.calls - 1) else { continue };
                let length = if window.period.is_none() { self.stretched(window.micros) } else { window.micros };
                if before + length > at {
                    (at, why) = (before + length, Why::Rate(window.period));
                }
            }
        }
        if self.cooldown_until > 0 && self.cooldown_until >= at {
            (at, why) = (self.cooldown_until, Why::Cooldown);
        }
        Slot { at: Some(at), why }
    }

    /// What the gateway's answers have made of a length of time between calls.
    fn stretched(&self, micros: i64) -> i64 {
        if self.pace == FULL_PACE {
            return micros;
        }
        let longer = i128::from(micros) * i128::from(FULL_PACE) / i128::from(self.pace);
        i64::try_from(longer).unwrap_or(i64::MAX)
    }

    /// Takes the permit that [`Level::slot`] found. What was left unused before anybody wanted one is not
    /// caught up with.
    pub(super) fn spend(&mut self, now: i64, ticket: i64) {
        self.running += 1;
        let Some(rule) = &self.rule else { return };
        self.tat = self.tat.max(self.wanted_at).max(now - CATCH_UP_US) + self.stretched(rule.interval_us);
        self.calls.push_front(ticket);
        self.calls.truncate(rule.windows.iter().map(|window| window.calls).max().unwrap_or(0));
    }

    /// Gives a permit back that no call was made with.
    pub(super) fn give_back(&mut self, ticket: i64) {
        let Some(rule) = &self.rule else { return };
        if let Some(n) = self.calls.iter().position(|taken| *taken == ticket) {
            self.calls.remove(n);
            self.tat -= self.stretched(rule.interval_us);
        }
    }

    /// A call that was claimed before the last cooldown ended says nothing new.
    pub(super) const fn tells_news(&self, ticket: i64) -> bool {
        ticket >= self.cooldown_until
    }

    /// Ends a trial, and lets a rate that was lowered climb.
    pub(super) fn good_answer(&mut self, now: i64, ticket: i64) {
        if !self.tells_news(ticket) {
            return;
        }
        (self.strikes, self.trial) = (0, false);
        let since = (now - self.paced_at).min(1_000_000);
        if self.pace < FULL_PACE && since > 0 {
            self.pace = FULL_PACE.min(self.pace + CLIMB_PER_SECOND * since / 1_000_000);
            self.paced_at = now;
        }
    }

    /// The gateway asked for a rest; `grows`: longer each time that it asks again, `slower`: it was called too fast.
    pub(super) fn cool_down(&mut self, now: i64, ticket: i64, wait_us: i64, grows: bool, slower: bool) {
        let news = self.tells_news(ticket);
        if news {
            self.strikes += 1;
        }
        let wait_us = if grows {
            let doubled = wait_us.saturating_mul(1 << self.strikes.saturating_sub(1).min(40));
            doubled.min(LONGEST_GROWN_US.max(wait_us))
        } else {
            wait_us
        };
        if news && slower {
            self.slow_down(self.pace / 2, now + wait_us);
        }
        self.rest(now + wait_us);
    }

    /// Its rate is lowered to that pace; good answers after `from` win it back.
    pub(crate) fn slow_down(&mut self, pace: i64, from: i64) {
        (self.pace, self.paced_at) = (pace.clamp(SLOWEST_PACE, FULL_PACE), from);
    }

    /// What another gateway asked for is no concern of this one.
    pub(super) fn forget_rest(&mut self) {
        (self.cooldown_until, self.strikes, self.trial) = (0, 0, false);
        (self.pace, self.paced_at) = (FULL_PACE, 0);
    }

    pub(crate) fn rest(&mut self, until: i64) {
        self.trial = true;
        if until > self.cooldown_until {
            self.cooldown_until = until;
            self.tat = self.tat.max(until);
        }
    }
}
