//! How long planned work takes under the limits and beside the work that is there.
//!
//! Nothing is estimated from averages: the rules by which the queue gives out jobs run under a virtual clock.

mod run;

use chrono::{DateTime, Utc};

use self::run::Run;
use crate::{
    channel::ChannelId,
    limit::LevelLimit,
    scaling::{ServerLoad, workers_for},
    waiting::WaitsFor,
};

/// What a planned sync has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Jobs.
    pub jobs: i64,
    /// Gateway calls of all of them together, at least one each.
    pub calls: i64,
}

/// What is asked: this work, in this channel, under these limits, beside these loads.
#[derive(Debug, Clone, PartialEq)]
pub struct Question<'a> {
    /// The work.
    pub work: Work,
    /// Its channel.
    pub channel: ChannelId,
    /// The channel's server.
    pub server: &'a str,
    /// How fast the channel may be called.
    pub channel_limit: LevelLimit,
    /// How fast the server may be called; none without a limit.
    pub server_limit: Option<LevelLimit>,
    /// What keeps the channel from being called now, as far as the asker knows; what the loads say of it counts as well.
    pub blocked: Option<WaitsFor>,
    /// What is going on; other servers than this one do not matter.
    pub loads: &'a [ServerLoad],
    /// Calls that one worker process makes at once.
    pub worker_slots: u32,
    /// The time at which all of this is so.
    pub now: DateTime<Utc>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// From now to the last answer; none when the work stands still until a person acts.
    pub duration_seconds: Option<f64>,
    /// Calls per second that the work gets while it runs.
    pub calls_per_second: f64,
    /// Worker processes that the limits keep busy meanwhile, with all that goes on behind the server.
    pub useful_workers: u32,
    /// What held it back for most of the time, in the words of [`WaitsFor`]; `nothing` when all of it could start at once.
    pub limited_by: String,
}

/// Runs the work under a virtual clock, and goes on from the pace reached when there is too much of it for that.
#[must_use]
pub fn forecast(question: &Question<'_>) -> Forecast {
    let work = Work { jobs: question.work.jobs.max(0), calls: question.work.calls.max(question.work.jobs) };
    if work.jobs == 0 {
        return Forecast::standing(Some(0.0), "nothing".to_owned());
    }
    if let Some(reason) = question.blocked_by().find(|reason| needs_somebody(reason)) {
        return Forecast::standing(None, reason.to_string());
    }
    let mut run = Run::new(question, work);
    run.go();
    let duration = run.duration_seconds(question);
    Forecast {
        duration_seconds: Some(duration),
        calls_per_second: run.calls_per_second(duration),
        useful_workers: workers_for(f64::from(run.most_under_way), question.worker_slots).max(1),
        limited_by: run.limited_by(question),
    }
}

impl Forecast {
    const fn standing(duration_seconds: Option<f64>, limited_by: String) -> Self {
        Self { duration_seconds, calls_per_second: 0.0, useful_workers: 0, limited_by }
    }
}

impl Question<'_> {
    /// What keeps the planned calls from being made, longer than a rate does.
    pub(crate) fn blocked_by(&self) -> impl Iterator<Item = &WaitsFor> {
        let load = self.load();
        let channel = load.and_then(|load| load.channels.iter().find(|channel| channel.id == self.channel));
        let reasons =
            [self.blocked.as_ref(), channel.and_then(|c| c.blocked.as_ref()), load.and_then(|l| l.blocked.as_ref())];
        reasons.into_iter().flatten()
    }

    pub(crate) fn load(&self) -> Option<&ServerLoad> {
        self.loads.iter().find(|load| load.server == self.server)
    }
}

/// Whether no time can be told at which it is over.
pub(crate) const fn needs_somebody(reason: &WaitsFor) -> bool {
    matches!(reason, WaitsFor::ChannelPaused { .. } | WaitsFor::SessionLost { .. })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use uuid::Uuid;

    use super::*;
    use crate::{
        channel::PausedBy,
        limit::{Level, Limit},
        scaling::ChannelLoad,
    };

    const SERVER: &str = "wuzapi/gateway.test";
    const CHANNEL: ChannelId = Uuid::from_u128(1);

    fn limit(rate_per_second: f64, concurrency: u32) -> LevelLimit {
        Limit { rate_per_second, burst: 1, concurrency }.into()
    }

    fn asked(jobs: i64, calls: i64, channel_limit: LevelLimit) -> Question<'static> {
        Question {
            work: Work { jobs, calls },
            channel: CHANNEL,
            server: SERVER,
            channel_limit,
            server_limit: None,
            blocked: None,
            loads: &[],
            worker_slots: 64,
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        }
    }

    fn load(channels: Vec<ChannelLoad>) -> ServerLoad {
        ServerLoad {
            server: SERVER.to_owned(),
            rate: None,
            concurrency: None,
            running: 0,
            call_seconds: Some(0.2),
            blocked: None,
            channels,
        }
    }

    fn busy(id: u128, rate: f64, queued: i64) -> ChannelLoad {
        let id = Uuid::from_u128(id);
        ChannelLoad { id, rate, concurrency: 8, weight: 1, queued, running: 0, blocked: None }
    }

    fn cooldown(question: &Question<'_>, level: Level, seconds: u64) -> WaitsFor {
        let until = question.now + Duration::from_secs(seconds);
        WaitsFor::Cooldown { level, until, reason: "throttled".into() }
    }

    #[track_caller]
    fn assert_near(told: f64, expected: f64) {
        assert!((told / expected - 1.0).abs() < 0.02, "{told} instead of {expected}");
    }

    #[test]
    fn a_quiet_channel_is_done_at_its_rate() {
        let told = forecast(&asked(2_000, 2_800, limit(20.0, 100)));
        assert_near(told.duration_seconds.unwrap(), 2_800.0 / 20.0);
        assert_near(told.calls_per_second, 20.0);
        assert_eq!((told.useful_workers, told.limited_by.as_str()), (1, "rate: channel"));
    }

    #[test]
    fn slow_answers_bind_by_concurrency_and_more_workers_than_that_are_of_no_use() {
        let told = forecast(&Question { worker_slots: 5, ..asked(100, 100, limit(100.0, 8)) });
        assert_near(told.duration_seconds.unwrap(), 13.0 * 0.5);
        assert_eq!((told.useful_workers, told.limited_by.as_str()), (2, "concurrency: channel"));
    }

    #[test]
    fn the_others_behind_a_server_take_their_shares() {
        let three = [busy(2, 50.0, 10_000), ChannelLoad { weight: 2, ..busy(3, 50.0, 10_000) }];
        let loads = [load(three.to_vec())];
        let question =
            Question { server_limit: Some(limit(40.0, 100)), loads: &loads, ..asked(500, 500, limit(50.0, 100)) };
        let told = forecast(&question);
        assert_near(told.duration_seconds.unwrap(), 50.0);
        assert_eq!(told.limited_by, "rate: server");
    }

    #[test]
    fn what_is_queued_in_the_channel_comes_first() {
        let loads = [load(vec![busy(1, 10.0, 100)])];
        let told = forecast(&Question { loads: &loads, ..asked(500, 500, limit(10.0, 8)) });
        assert_near(told.duration_seconds.unwrap(), 64.0);
        assert_near(told.calls_per_second, 10.0);
    }

    #[test]
    fn a_rest_is_waited_for() {
        let question = asked(100, 100, limit(10.0, 8));
        for level in [Level::Channel, Level::Server] {
            let told = forecast(&Question { blocked: Some(cooldown(&question, level, 60)), ..question.clone() });
            assert_near(told.duration_seconds.unwrap(), 70.5);
            assert!(told.limited_by.starts_with("cooldown until 2027-01-15T08:01:00Z"), "{}", told.limited_by);
        }
    }

    #[test]
    fn a_long_rest_beside_busy_neighbours_is_waited_for_and_no_more() {
        let busy_ones = (2..6).map(|id| busy(id, 50.0, 1_000_000)).collect();
        let loads = [load(busy_ones)];
        let question = Question { loads: &loads, ..asked(1_000, 1_000, limit(10.0, 8)) };
        let told =
            forecast(&Question { blocked: Some(cooldown(&question, Level::Channel, 7_200)), ..question.clone() });
        let seconds = told.duration_seconds.unwrap();
        assert!((7_200.0..7_600.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_rate_that_was_lowered_climbs_back_meanwhile() {
        let loads = [load(vec![busy(1, 5.0, 0)])];
        let told = forecast(&Question { loads: &loads, ..asked(1_000, 1_000, limit(10.0, 8)) });
        // From half of it by 2 % a second: 25 seconds, in which a quarter is lost.
        assert_near(told.duration_seconds.unwrap(), 100.0 + 25.0 / 4.0);
    }

    #[test]
    fn a_cap_makes_it_wait_for_the_next_day() {
        let capped = LevelLimit { per_day: Some(1_000), ..limit(10.0, 8) };
        let told = forecast(&asked(2_500, 2_500, capped));
        assert_near(told.duration_seconds.unwrap(), 2.0 * 86_400.0 + 50.0);
        assert_eq!(told.limited_by, "rate: channel per day");
    }

    #[test]
    fn nothing_is_told_of_a_channel_that_waits_for_somebody() {
        let paused = WaitsFor::ChannelPaused { by: PausedBy::Operator, reason: "new phone".into() };
        let told = forecast(&Question { blocked: Some(paused.clone()), ..asked(10, 10, limit(10.0, 8)) });
        let expected = Forecast {
            duration_seconds: None,
            calls_per_second: 0.0,
            useful_workers: 0,
            limited_by: "paused by operator: new phone".to_owned(),
        };
        assert_eq!(told, expected);
        let loads = [load(vec![ChannelLoad { blocked: Some(paused), ..busy(1, 10.0, 3) }])];
        assert_eq!(forecast(&Question { loads: &loads, ..asked(10, 10, limit(10.0, 8)) }), expected);
    }

    #[test]
    fn nothing_to_do_takes_no_time_and_one_call_takes_one_call() {
        assert_eq!(forecast(&asked(0, 0, limit(10.0, 8))).duration_seconds, Some(0.0));
        let told = forecast(&asked(1, 1, limit(10.0, 8)));
        assert_eq!((told.duration_seconds, told.limited_by.as_str()), (Some(0.5), "nothing"));
    }

    #[test]
    fn a_million_jobs_beside_a_thousand_channels_are_told_at_once() {
        let loads = [load((2..1_002).map(|id| busy(id, 5.0, 20_000)).collect())];
        let question = Question {
            server_limit: Some(limit(1_000.0, 1_000)),
            loads: &loads,
            ..asked(1_000_000, 1_400_000, limit(20.0, 8))
        };
        let begun = Instant::now();
        let told = forecast(&question);
        let took = begun.elapsed();
        println!("took {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_near(told.duration_seconds.unwrap(), 1_400_000.0 * 1_001.0 / 1_000.0);
    }
}
