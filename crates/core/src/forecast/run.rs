//! One run of planned work through the queue's rules, with calls that all take equally long.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::{Question, Work, needs_somebody};
use crate::{
    channel::ChannelId,
    job::JobId,
    limit::{Level, LevelLimit, Limit},
    notice::{ChannelRule, Entry, LaneNotice, LaneState},
    scaling::{ASSUMED_CALL_SECONDS, ChannelLoad},
    schedule::{FULL_PACE, Ruling, Schedule, Settlement, Why},
    sync::CALLS_PER_JOB,
    waiting::WaitsFor,
};

/// Enough for any share of a server to show, and little enough to be told at once; the rest follows from the pace.
const MOST_CALLS: u64 = 50_000;
/// Workers are not what is short here.
const NO_LIMIT: usize = 1_000;
/// Longer than any wait (µs).
const FOR_EVER: i64 = 1 << 60;
const SECOND: f64 = 1e6;

pub(super) struct Run {
    schedule: Schedule,
    channel: ChannelId,
    call_us: i64,
    /// µs since the beginning.
    now: i64,
    work: Work,
    /// Calls of its channel that come first.
    ahead: i64,
    /// Calls that the jobs under way or between two calls have made.
    made: HashMap<JobId, i64>,
    under_way: VecDeque<UnderWay>,
    pub(super) most_under_way: u32,
    calls: u64,
    calls_of_channel: i64,
    first_at: Option<i64>,
    planned_left: i64,
    /// What kept the channel from being called, and for how long (µs).
    waits: Vec<(Wait, i64)>,
}

type Wait = (Why, Level);

struct UnderWay {
    ends: i64,
    job: JobId,
    ticket: i64,
    planned: bool,
}

/// Jobs of the planned sync have the numbers from 1 on; what others wait for has numbers behind all of them.
impl Run {
    pub(super) fn new(question: &Question<'_>, work: Work) -> Self {
        let load = question.load();
        let call_seconds = load.and_then(|load| load.call_seconds).unwrap_or(ASSUMED_CALL_SECONDS);
        let mut run = Self {
            schedule: Schedule::new(),
            channel: question.channel,
            call_us: whole(call_seconds * SECOND).max(1),
            now: 0,
            work,
            ahead: 0,
            made: HashMap::new(),
            under_way: VecDeque::new(),
            most_under_way: 0,
            calls: 0,
            calls_of_channel: 0,
            first_at: None,
            planned_left: work.calls,
            waits: Vec::new(),
        };
        run.add_lanes(question);
        run.hold_back(question);
        run
    }

    fn add_lanes(&mut self, question: &Question<'_>) {
        let mut next_job = self.work.jobs + 1;
        let mut lane = |sync: u128, calls: i64| {
            next_job += calls;
            let jobs = vec![Entry::Span { first: next_job - calls, last: next_job - 1 }];
            LaneNotice { sync: Uuid::from_u128(sync), seq: 1, opens: true, urgent: false, state: LaneState::Open, jobs }
        };
        let rule = |id: ChannelId, limit: LevelLimit| ChannelRule {
            id,
            server: question.server.to_owned(),
            version: 1,
            limit,
            paused: None,
            server_limit: question.server_limit,
            server_version: 1,
        };
        let own = rule(question.channel, question.channel_limit);
        for (channel, sync) in question.load().into_iter().flat_map(|load| &load.channels).zip(1..) {
            let calls = whole(float(channel.queued + channel.running) * CALLS_PER_JOB);
            if calls == 0 || channel.blocked.as_ref().is_some_and(needs_somebody) {
                continue;
            }
            if channel.id == question.channel {
                self.ahead += calls;
                self.schedule.apply(0, &own, Some(&lane(sync, calls)));
            } else {
                self.schedule.apply(0, &rule(channel.id, limit_of(channel)), Some(&lane(sync, calls)));
            }
        }
        // Of lanes that were opened at the same time the one with the highest number comes last.
        let mut planned = lane(u128::MAX, 0);
        planned.jobs = vec![Entry::Span { first: 1, last: self.work.jobs }];
        self.schedule.apply(0, &own, Some(&planned));
    }

    /// Cooldowns that last, and rates that answers have lowered.
    fn hold_back(&mut self, question: &Question<'_>) {
        self.rest(question, Some(question.channel), question.blocked.as_ref());
        let Some(load) = question.load() else { return };
        self.rest(question, None, load.blocked.as_ref());
        for channel in &load.channels {
            self.rest(question, Some(channel.id), channel.blocked.as_ref());
        }
        if let (Some(limit), Some(rate)) = (question.server_limit, load.rate) {
            self.slow_down(question.server, None, limit, rate);
        }
        if let Some(own) = load.channels.iter().find(|channel| channel.id == question.channel) {
            self.slow_down(question.server, Some(own.id), question.channel_limit, own.rate);
        }
    }

    fn rest(&mut self, question: &Question<'_>, channel: Option<ChannelId>, reason: Option<&WaitsFor>) {
        if let Some(WaitsFor::Cooldown { level, until, .. }) = reason {
            let channel = channel.filter(|_| *level == Level::Channel);
            let until = (*until - question.now).num_microseconds().unwrap_or(FOR_EVER);
            self.schedule.rest(0, question.server, channel, until);
        }
    }

    /// Where a cap binds before the rate does, it is no matter.
    fn slow_down(&mut self, server: &str, channel: Option<ChannelId>, limit: LevelLimit, rate: f64) {
        if rate < limit.sustained_rate() {
            let pace = whole(rate / limit.limit.rate_per_second * float(FULL_PACE));
            self.schedule.slow_down(0, server, channel, pace);
        }
    }

    pub(super) fn go(&mut self) {
        while self.planned_left > 0 || self.under_way.iter().any(|call| call.planned) {
            let wait = self.start_calls();
            if self.planned_left > 0 && self.calls >= MOST_CALLS {
                return;
            }
            let answer = self.under_way.front().map(|call| call.ends);
            let Some(next) = wait.map(|wait| self.now + wait).into_iter().chain(answer).min() else { return };
            self.note_wait(next.max(self.now + 1));
            self.now = next.max(self.now + 1);
            self.end_calls();
        }
    }

    /// Everything that can start now; how long until more can.
    fn start_calls(&mut self) -> Option<i64> {
        loop {
            let wait = self.schedule.wait(self.now);
            if wait != Some(0) {
                return wait;
            }
            let batch = self.schedule.claim(self.now, NO_LIMIT, NO_LIMIT, FOR_EVER);
            for given in &batch.jobs {
                let planned = given.job <= self.work.jobs;
                self.calls += 1;
                self.calls_of_channel += i64::from(given.channel == self.channel);
                if planned {
                    self.planned_left -= 1;
                    self.first_at.get_or_insert(self.now);
                }
                let ends = self.now + self.call_us;
                self.under_way.push_back(UnderWay { ends, job: given.job, ticket: batch.ticket, planned });
            }
            let under_way = u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
            self.most_under_way = self.most_under_way.max(under_way);
            if batch.jobs.len() < NO_LIMIT || self.calls >= MOST_CALLS {
                return batch.wait;
            }
        }
    }

    fn end_calls(&mut self) {
        let mut settlements = Vec::new();
        while let Some(call) = self.under_way.pop_front_if(|call| call.ends <= self.now) {
            let ruling = if call.planned { self.next_of(call.job) } else { Ruling::Done };
            settlements.push(Settlement { job: call.job, ticket: call.ticket, ruling, used: true });
        }
        self.schedule.settle(self.now, &settlements);
    }

    /// The calls of the sync are spread over its jobs as evenly as they can be.
    fn next_of(&mut self, job: JobId) -> Ruling {
        let Work { jobs, calls } = self.work;
        let needs = calls / jobs + i64::from(job <= calls % jobs);
        let made = self.made.entry(job).or_default();
        *made += 1;
        if *made < needs {
            return Ruling::Next;
        }
        self.made.remove(&job);
        Ruling::Done
    }

    /// What it is that the planned work waits for until then.
    fn note_wait(&mut self, until: i64) {
        if self.planned_left == 0 {
            return;
        }
        let Some((slot, level)) = self.schedule.next_slot(self.channel, false, self.now) else { return };
        let wait = (slot.why, level);
        match self.waits.iter_mut().find(|(known, _)| *known == wait) {
            Some((_, total)) => *total += until - self.now,
            None => self.waits.push((wait, until - self.now)),
        }
    }

    /// From the beginning to the last answer.
    pub(super) fn duration_seconds(&self, question: &Question<'_>) -> f64 {
        let mut so_far = float(self.now) / SECOND;
        if self.planned_left == 0 {
            return so_far;
        }
        if self.first_at.is_none() {
            so_far = so_far.max(rest_left(question));
        }
        let left = float(self.work.calls + self.ahead - self.calls_of_channel);
        so_far + left / self.pace(question) + float(self.call_us) / SECOND
    }

    /// What the channel came to since its first call, but not more than caps leave it in the long run. One that rested all the
    /// time while others were called is taken at its limits.
    fn pace(&self, question: &Question<'_>) -> f64 {
        let reached = self.first_at.map_or(f64::INFINITY, |first| {
            float(self.calls_of_channel.max(1)) / (float((self.now - first).max(1)) / SECOND)
        });
        let limits = [Some(question.channel_limit), question.server_limit];
        limits.into_iter().flatten().map(|limit| limit.sustained_rate()).fold(reached, f64::min)
    }

    /// From the first call of the planned work on.
    pub(super) fn calls_per_second(&self, duration_seconds: f64) -> f64 {
        let waited = float(self.first_at.unwrap_or(0)) / SECOND;
        float(self.work.calls) / (duration_seconds - waited)
    }

    pub(super) fn limited_by(&self, question: &Question<'_>) -> String {
        let longest = self.waits.iter().max_by_key(|(_, time)| *time);
        let reason = longest.and_then(|((why, level), _)| match *why {
            Why::Rate(per) => Some(WaitsFor::Rate { level: *level, per }),
            Why::Concurrency => Some(WaitsFor::Concurrency { level: *level }),
            // No other rests come up in a run than those that it began with.
            Why::Cooldown => question.blocked_by().find(|reason| matches!(reason, WaitsFor::Cooldown { .. })).cloned(),
            Why::Session | Why::Paused | Why::Idle => None,
        });
        reason.map_or_else(|| "nothing".to_owned(), |reason| reason.to_string())
    }
}

/// How long what keeps the planned calls from being made rests (s).
fn rest_left(question: &Question<'_>) -> f64 {
    let ends = question.blocked_by().filter_map(|reason| match reason {
        WaitsFor::Cooldown { until, .. } => Some(*until),
        _ => None,
    });
    ends.max().map_or(0.0, |until| float((until - question.now).num_milliseconds().max(0)) / 1_000.0)
}

/// The limit of a channel of which only the load is known.
fn limit_of(channel: &ChannelLoad) -> LevelLimit {
    let limit = Limit { rate_per_second: channel.rate, burst: 1, concurrency: channel.concurrency };
    LevelLimit { weight: channel.weight, ..limit.into() }
}

#[expect(clippy::cast_possible_truncation, reason = "`as` clamps")]
const fn whole(number: f64) -> i64 {
    number.ceil() as i64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
const fn float(number: i64) -> f64 {
    number as f64
}
