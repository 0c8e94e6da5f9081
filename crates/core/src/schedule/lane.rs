//! The jobs of one sync that wait: in their order, and those that are not due yet.

use std::collections::{BTreeMap, VecDeque};

use crate::{job::JobId, notice::LaneState, sync::SyncId};

/// Some of what waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Jobs that were never attempted.
    Span { first: JobId, last: JobId },
    /// One job that was.
    One { job: JobId, attempts: i32, going_on: bool },
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) sync: SyncId,
    pub(super) channel: usize,
    pub(super) state: LaneState,
    pub(super) urgent: bool,
    pub(super) opened: i64,
    /// The last notice that was applied; none before the first.
    pub(super) seq: Option<i64>,
    pub(super) entries: VecDeque<Entry>,
    /// By due time, then by `job:attempts` as text.
    pub(super) later: BTreeMap<(i64, String), (JobId, i32)>,
    /// Under which time it is among the lanes with delayed jobs.
    pub(super) delayed_at: Option<i64>,
    /// Its place among the lanes of its channel.
    pub(super) order: Option<Order>,
    pub(super) queued: i64,
}

/// Urgent lanes first; in each class those whose first job is between two of its calls, then by time of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) bulk: bool,
    pub(super) starts: bool,
    pub(super) opened: i64,
    pub(super) sync: SyncId,
}

impl Lane {
    /// One of which nothing is known.
    pub(super) const fn unknown(sync: SyncId, channel: usize) -> Self {
        Self {
            sync,
            channel,
            state: LaneState::Closed,
            urgent: false,
            opened: 0,
            seq: None,
            entries: VecDeque::new(),
            later: BTreeMap::new(),
            delayed_at: None,
            order: None,
            queued: 0,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.state != LaneState::Closed
    }

    /// Where it belongs now; nowhere while nothing can be taken from it.
    pub(super) fn wanted_order(&self) -> Option<Order> {
        let front = self.entries.front().filter(|_| self.state == LaneState::Open)?;
        let starts = !matches!(front, Entry::One { going_on: true, .. });
        Some(Order { bulk: !self.urgent, starts, opened: self.opened, sync: self.sync })
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.queued += match entry {
            Entry::Span { first, last } => last - first + 1,
            Entry::One { .. } => 1,
        };
        self.entries.push_back(entry);
    }

    pub(super) fn put_back(&mut self, job: JobId, attempts: i32, going_on: bool) {
        self.queued += 1;
        self.entries.push_front(Entry::One { job, attempts, going_on });
    }

    /// The job in front and how often it was attempted.
    pub(super) fn pop(&mut self) -> Option<(JobId, i32)> {
        let taken = match self.entries.front_mut()? {
            Entry::Span { first, last } => {
                let job = *first;
                *first += 1;
                if *first > *last {
                    self.entries.pop_front();
                }
                (job, 0)
            }
            &mut Entry::One { job, attempts, .. } => {
                self.entries.pop_front();
                (job, attempts)
            }
        };
        self.queued -= 1;
        Some(taken)
    }

    pub(super) fn delay(&mut self, job: JobId, attempts: i32, due: i64) {
        self.later.insert((due, format!("{job}:{attempts}")), (job, attempts));
    }

    /// Takes out what is due, at most `most`, in the order of the times.
    pub(super) fn take_due(&mut self, now: i64, most: usize) -> Vec<(JobId, i32)> {
        let mut due = Vec::new();
        while due.len() < most {
            let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) else { break };
            due.push(first.remove());
        }
        due
    }
}
