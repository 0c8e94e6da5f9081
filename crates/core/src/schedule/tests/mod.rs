//! The rules, in sentences.

mod fairness;
mod limits;
mod pauses;

use std::time::Duration;

use uuid::Uuid;

use super::{Batch, Given, Ruling, Schedule, Settlement};
use crate::{
    channel::{ChannelId, PausedBy},
    job::JobId,
    limit::{LevelLimit, Limit},
    notice::{ChannelRule, Entry, LaneNotice, LaneState},
    verdict::Rest,
};

const SECOND: i64 = 1_000_000;
const LEASE: i64 = 30 * SECOND;
const SERVER: &str = "wuzapi/gateway.test";
/// So fast and wide that it never binds.
const WIDE: Limit = Limit { rate_per_second: 10_000.0, burst: 1_000, concurrency: 1_000 };

/// One server, its channels by small numbers, and a clock.
struct Bench {
    schedule: Schedule,
    now: i64,
    server_limit: Option<LevelLimit>,
    version: i64,
    syncs: u128,
    next_job: JobId,
}

impl Bench {
    fn new(server_limit: Option<LevelLimit>) -> Self {
        Self { schedule: Schedule::new(), now: 1_000 * SECOND, server_limit, version: 0, syncs: 0, next_job: 1 }
    }

    fn rule(&mut self, channel: u128, limit: impl Into<LevelLimit>) -> ChannelRule {
        self.version += 1;
        ChannelRule {
            id: id(channel),
            server: SERVER.to_owned(),
            version: self.version,
            limit: limit.into(),
            paused: None,
            server_limit: self.server_limit,
            server_version: self.version,
        }
    }

    /// Gives a channel a limit and a lane of so many new jobs.
    fn fill(&mut self, channel: u128, limit: impl Into<LevelLimit>, jobs: i64) {
        let rule = self.rule(channel, limit);
        self.open(&rule, jobs, false);
    }

    fn open(&mut self, rule: &ChannelRule, jobs: i64, urgent: bool) {
        self.syncs += 1;
        let first = self.next_job;
        self.next_job += jobs;
        let jobs = vec![Entry::Span { first, last: self.next_job - 1 }];
        let sync = Uuid::from_u128(self.syncs);
        let news = LaneNotice { sync, seq: 1, opens: true, urgent, state: LaneState::Open, jobs };
        assert!(self.schedule.apply(self.now, rule, Some(&news)));
    }

    fn claim(&mut self, max: usize) -> Batch {
        self.schedule.claim(self.now, max, max, LEASE)
    }

    fn settle(&mut self, batch: &Batch, ruling: &Ruling, used: bool) {
        let one = |given: &Given| Settlement { job: given.job, ticket: batch.ticket, ruling: ruling.clone(), used };
        let settlements: Vec<Settlement> = batch.jobs.iter().map(one).collect();
        assert!(self.schedule.settle(self.now, &settlements).is_empty());
    }

    /// Claims and answers at once, jumping from one time at which something can be claimed to the next.
    fn run_until(&mut self, end: i64, max: usize) -> Vec<(i64, Given)> {
        let mut calls = Vec::new();
        while self.now < end {
            let batch = self.claim(max);
            calls.extend(batch.jobs.iter().map(|given| (batch.ticket, *given)));
            self.settle(&batch, &Ruling::Done, true);
            match self.schedule.wait(self.now) {
                Some(wait) if !batch.jobs.is_empty() || wait > 0 => self.now += wait.max(1),
                _ => break,
            }
        }
        calls
    }
}

fn id(channel: u128) -> ChannelId {
    Uuid::from_u128(channel)
}

fn limit(rate_per_second: f64, burst: u32, concurrency: u32) -> Limit {
    Limit { rate_per_second, burst, concurrency }
}

fn jobs(batch: &Batch) -> Vec<JobId> {
    batch.jobs.iter().map(|given| given.job).collect()
}

fn cooldown(level: crate::limit::Level, seconds: u64, grows: bool) -> Ruling {
    Ruling::Rest(Rest::Cooldown {
        level,
        wait: Duration::from_secs(seconds),
        grows,
        slower: true,
        reason: "throttled",
        detail: String::new(),
    })
}

fn pause(by: PausedBy) -> Ruling {
    Ruling::Rest(Rest::Pause(crate::channel::Pause::new(by, "test")))
}
