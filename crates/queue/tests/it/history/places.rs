//! Where every job is: it waits in its lane, waits for its time, is at a worker, or is over. Nowhere twice.

use std::collections::BTreeMap;

use sincro_core::{
    channel::ChannelId,
    job::JobId,
    notice::{Entry, LaneNotice, LaneState},
    sync::SyncId,
};
use sincro_queue::{Depth, steps::Ticket};

#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) lanes: BTreeMap<SyncId, Lane>,
    jobs: BTreeMap<JobId, (SyncId, Place)>,
    /// Looks at sessions included, whose numbers are below zero.
    pub(crate) held: BTreeMap<JobId, Hold>,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) channel: ChannelId,
    pub(crate) urgent: bool,
    pub(crate) state: LaneState,
    seq: i64,
    /// How many wait, wait for their time, are at workers.
    pub(crate) numbers: [i64; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its lane, after so many attempts.
    Waits(i32),
    /// After so many attempts, until then (µs).
    Later(i32, i64),
    /// At a worker.
    Held,
    /// Done, or dropped with its lane.
    Over,
}

impl Place {
    /// Which number of its lane counts it.
    const fn number(self) -> Option<usize> {
        match self {
            Self::Waits(_) => Some(0),
            Self::Later(..) => Some(1),
            Self::Held => Some(2),
            Self::Over => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) sync: Option<SyncId>,
    pub(crate) channel: ChannelId,
    pub(crate) attempt: i32,
    pub(crate) ticket: Ticket,
    pub(crate) expires: i64,
}

impl Places {
    /// The next notice of a sync. Returns what workers held of a life of the lane that is over.
    pub(crate) fn apply(&mut self, now: i64, channel: ChannelId, news: &LaneNotice) -> Vec<Hold> {
        let lane = self.lanes.entry(news.sync).or_insert(Lane {
            channel,
            urgent: news.urgent,
            state: LaneState::Closed,
            seq: 0,
            numbers: [0; 3],
        });
        if news.seq <= lane.seq {
            return Vec::new();
        }
        lane.seq = news.seq;
        let mut void = Vec::new();
        if news.opens || news.state == LaneState::Closed {
            self.drop_waiting(news.sync);
        }
        if news.opens {
            let held = self.held.extract_if(.., |_, hold| hold.sync == Some(news.sync));
            let (jobs, holds): (Vec<_>, Vec<_>) = held.unzip();
            void = holds;
            for job in jobs {
                self.put(job, news.sync, Place::Over);
            }
        }
        let lane = self.lanes.get_mut(&news.sync).unwrap();
        if !news.opens && lane.state == LaneState::Closed {
            return void;
        }
        lane.state = news.state;
        if news.state != LaneState::Closed {
            news.jobs.iter().for_each(|entry| self.add(now, news.sync, entry));
        }
        void
    }

    fn add(&mut self, now: i64, sync: SyncId, entry: &Entry) {
        match *entry {
            Entry::Span { first, last } => (first..=last).for_each(|job| self.put(job, sync, Place::Waits(0))),
            Entry::Tried { job, attempts, due_ms } => {
                let due = due_ms * 1_000;
                let place = if due > now { Place::Later(attempts, due) } else { Place::Waits(attempts) };
                self.put(job, sync, place);
            }
        }
    }

    fn drop_waiting(&mut self, sync: SyncId) {
        for job in self.jobs_of(sync) {
            if self.jobs[&job].1 != Place::Held {
                self.put(job, sync, Place::Over);
            }
        }
    }

    pub(crate) fn jobs_of(&self, sync: SyncId) -> Vec<JobId> {
        self.jobs.iter().filter(|(_, (of, _))| *of == sync).map(|(job, _)| *job).collect()
    }

    /// None for a job that nobody has heard of.
    pub(crate) fn place_of(&self, job: JobId) -> Option<(SyncId, Place)> {
        self.jobs.get(&job).copied()
    }

    /// All that are not over.
    pub(crate) fn alive(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, (_, place))| *place != Place::Over).map(|(job, _)| *job)
    }

    /// What a claim does first: jobs whose time has come wait again, and so do those whose lease ran out, which come back.
    pub(crate) fn wake_up(&mut self, now: i64) -> Vec<(JobId, Hold)> {
        let due = |place: &Place| matches!(place, Place::Later(_, due) if *due <= now);
        let woken: Vec<_> =
            self.jobs.iter().filter(|(_, (_, place))| due(place)).map(|(job, at)| (*job, *at)).collect();
        for (job, (sync, place)) in woken {
            if let Place::Later(attempts, _) = place {
                self.put(job, sync, Place::Waits(attempts));
            }
        }
        let expired: Vec<_> = self.held.extract_if(.., |_, hold| hold.expires <= now).collect();
        for (job, hold) in &expired {
            self.put_back(*job, hold, Place::Waits(hold.attempt));
        }
        expired
    }

    /// Where a job goes whose lane may be gone by now.
    pub(crate) fn put_back(&mut self, job: JobId, hold: &Hold, place: Place) {
        let Some(sync) = hold.sync else { return };
        let alive = self.lanes[&sync].state != LaneState::Closed;
        self.put(job, sync, if alive { place } else { Place::Over });
    }

    pub(crate) fn put(&mut self, job: JobId, sync: SyncId, place: Place) {
        let numbers = &mut self.lanes.get_mut(&sync).unwrap().numbers;
        let was = self.jobs.insert(job, (sync, place)).and_then(|(_, was)| was.number());
        if let Some(number) = was {
            numbers[number] -= 1;
        }
        if let Some(number) = place.number() {
            numbers[number] += 1;
        }
    }

    /// Whether a channel has something of that class to give.
    pub(crate) fn has_work(&self, channel: ChannelId, urgent: bool) -> bool {
        let gives = |lane: &Lane| lane.state == LaneState::Open && lane.numbers[0] > 0;
        self.lanes.values().any(|lane| lane.channel == channel && lane.urgent == urgent && gives(lane))
    }

    /// Whether a channel has anything left, wherever it is.
    pub(crate) fn is_at(&self, channel: ChannelId) -> bool {
        let left = |lane: &Lane| lane.channel == channel && lane.numbers != [0; 3];
        self.lanes.values().any(left) || self.held.values().any(|hold| hold.channel == channel)
    }

    pub(crate) fn depth(&self) -> Depth {
        let count = |number: usize| self.lanes.values().map(|lane| lane.numbers[number]).sum();
        Depth { queued: count(0), running: i64::try_from(self.held.len()).unwrap(), delayed: count(1) }
    }
}
