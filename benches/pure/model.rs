//! A model of the queue with many jobs in it, for those who time it and those who count what it does.

use std::hint::black_box;

use sincro_core::{
    limit::Limit,
    notice::{ChannelRule, Entry, LaneNotice, LaneState},
    schedule::{Ruling, Schedule, Settlement},
};
use uuid::Uuid;

const NOW: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;
const AT_ONCE: usize = 64;

/// A queue that is filled again when it is empty.
pub(crate) struct Model {
    schedule: Schedule,
    rules: Vec<ChannelRule>,
    now: i64,
    jobs_each: i64,
    lanes: u128,
}

impl Model {
    pub(crate) fn of(channels: u128, jobs_each: i64) -> Self {
        let mut model = Self { schedule: Schedule::new(), rules: rules(channels), now: NOW, jobs_each, lanes: 0 };
        model.fill();
        model
    }

    fn fill(&mut self) {
        for rule in &self.rules {
            self.lanes += 1;
            let first = i64::try_from(self.lanes).unwrap_or(i64::MAX) * 10_000_000;
            let jobs = vec![Entry::Span { first, last: first + self.jobs_each - 1 }];
            let sync = Uuid::from_u128(self.lanes);
            let lane = LaneNotice { sync, seq: 1, opens: true, urgent: false, state: LaneState::Open, jobs };
            self.schedule.apply(self.now, rule, Some(&lane));
        }
    }

    /// Claims 64 jobs and settles them, a second later, so that the limits admit as much again.
    pub(crate) fn round(&mut self) {
        self.now += SECOND;
        let batch = self.schedule.claim(self.now, AT_ONCE, AT_ONCE, 30 * SECOND);
        if batch.jobs.len() < AT_ONCE {
            self.fill();
        }
        let settlement = |job: i64| Settlement { job, ticket: batch.ticket, ruling: Ruling::Done, used: true };
        let settlements: Vec<Settlement> = batch.jobs.iter().map(|given| settlement(given.job)).collect();
        black_box(self.schedule.settle(self.now, &settlements));
    }
}

/// Channels behind one server, none of which a limit slows down.
fn rules(channels: u128) -> Vec<ChannelRule> {
    let limit = Limit { rate_per_second: 10_000.0, burst: 1_000, concurrency: 1_000 };
    let rule = |channel: u128| ChannelRule {
        id: Uuid::from_u128(channel + 1),
        server: "wuzapi/gateway.test".to_owned(),
        version: 1,
        limit: limit.into(),
        paused: None,
        server_limit: None,
        server_version: 0,
    };
    (0..channels).map(rule).collect()
}
