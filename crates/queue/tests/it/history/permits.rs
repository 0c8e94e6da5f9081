//! What one level, a channel or a server, may have given out: reckoned from the calls that were made, not from the
//! limiter's own figures.
//!
//! Where the limiter knows a time exactly, this only knows bounds of it, and judges by the one that is surely right.

use std::collections::VecDeque;

use sincro_core::limit::{LevelLimit, Spacing};

/// No pace is slower than this part of the rate.
const SLOWEST: i64 = 100;
/// What doubling a rest can come to (µs).
const LONGEST_GROWN_US: i64 = 300_000_000;

#[derive(Debug, Default)]
pub(crate) struct Permits {
    limit: Option<LevelLimit>,
    /// The times of its calls, newest first; so many of them surely count, whatever rule held when they were made.
    taken: VecDeque<i64>,
    counted: usize,
    /// Jobs at workers.
    pub(crate) out: usize,
    /// A rest ends not before and not after these.
    rests_until: (i64, i64),
    /// After a rest one call alone tries the gateway: surely, perhaps.
    trial: (bool, bool),
    slowed: bool,
    /// When all its slots are over, at the latest.
    tat: i64,
}

impl Permits {
    pub(crate) fn rule(&mut self, limit: Option<&LevelLimit>, now: i64) {
        let kept = self.windows().iter().map(|(calls, _)| *calls).max().unwrap_or(0);
        self.counted = self.counted.min(kept);
        self.limit = limit.copied();
        if let Some(limit) = limit {
            self.tat = self.tat.min(now + interval(limit) * i64::from(limit.limit.burst));
        } else {
            (self.counted, self.taken) = (0, VecDeque::new());
        }
    }

    pub(crate) fn weight(&self) -> i64 {
        self.limit.map_or(1, |limit| i64::from(limit.weight))
    }

    /// A call is allowed; what that exceeds, if anything.
    pub(crate) fn take(&mut self, now: i64, ticket: i64) -> Option<String> {
        self.out += 1;
        if now < self.rests_until.0 {
            return Some(format!("a call {} µs before its rest ends", self.rests_until.0 - now));
        }
        if self.out > self.concurrency(self.trial.0) {
            return Some(format!("{} calls under way of {}", self.out, self.concurrency(self.trial.0)));
        }
        let limit = self.limit?;
        self.taken.push_front(ticket);
        self.counted += 1;
        let pace = if self.slowed { SLOWEST } else { 1 };
        self.tat = self.tat.max(now) + interval(&limit) * pace;
        self.windows().into_iter().find_map(|(calls, micros)| {
            let within = self.taken.iter().take(self.counted).take_while(|at| **at > ticket - micros).count();
            (within > calls).then(|| format!("{within} calls within {micros} µs that hold {calls}"))
        })
    }

    /// No call was made.
    pub(crate) fn give_back(&mut self, ticket: i64) {
        if let Some(at) = self.taken.iter().position(|taken| *taken == ticket) {
            self.taken.remove(at);
            self.counted -= usize::from(at < self.counted);
        }
    }

    pub(crate) fn answer_well(&mut self, ticket: i64) {
        self.trial.0 = false;
        if ticket >= self.rests_until.1 {
            self.trial.1 = false;
        }
    }

    pub(crate) fn rest(&mut self, now: i64, wait_us: i64, grows: bool, slower: bool) {
        let longest = if grows { LONGEST_GROWN_US.max(wait_us) } else { wait_us };
        self.rests_until = (self.rests_until.0.max(now + wait_us), self.rests_until.1.max(now + longest));
        self.trial = (true, true);
        self.slowed |= slower;
        self.tat = self.tat.max(self.rests_until.1);
    }

    /// What another gateway asked for does not count here.
    pub(crate) fn forget_rest(&mut self) {
        (self.rests_until, self.trial, self.slowed) = ((0, 0), (false, false), false);
    }

    /// Whether it surely admits a call now.
    pub(crate) fn surely_opens(&self, now: i64) -> bool {
        let rested = self.rests_until.1 <= now && self.out < self.concurrency(self.trial.1);
        let Some(limit) = self.limit else { return rested };
        let slot = self.tat - interval(&limit) * (i64::from(limit.limit.burst) - 1);
        let pace = if self.slowed { SLOWEST } else { 1 };
        let windows = self.windows();
        let mut free = windows.iter().enumerate().map(|(i, (calls, micros))| {
            let stretched = if i == 0 { micros * pace } else { *micros };
            self.taken.get(calls - 1).is_none_or(|at| at + stretched <= now)
        });
        rested && slot <= now && free.all(|free| free)
    }

    fn concurrency(&self, trial: bool) -> usize {
        let limit = self.limit.map_or(usize::MAX, |limit| limit.limit.concurrency as usize);
        if trial { 1 } else { limit }
    }

    /// The windows of the rate and of the caps: calls, and length (µs).
    fn windows(&self) -> Vec<(usize, i64)> {
        let spacing = self.limit.as_ref().map(LevelLimit::spacing);
        let windows = spacing.map(|Spacing { windows, .. }| windows).unwrap_or_default();
        windows
            .iter()
            .map(|window| (usize::try_from(window.calls).unwrap(), i64::try_from(window.micros).unwrap()))
            .collect()
    }
}

fn interval(limit: &LevelLimit) -> i64 {
    i64::try_from(limit.spacing().interval_us).unwrap()
}
