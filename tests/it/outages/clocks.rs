//! Workers whose clocks are a minute apart: Redis measures limits, leases and waits, and it alone.

use std::time::{Duration, Instant};

use sincro_core::limit::Limit;
use sincro_simulator::{Call, Fault, Faults, Latency, Rule, Settings, When};

use super::ends_complete;
use crate::support::{Gateway, Stage, World, people};

/// A lease that no working worker loses, and that is shorter than the clocks are wrong.
const SETTINGS: [(&str, &str); 2] = [("SINCRO_LEASE_SECONDS", "5"), ("SINCRO_MAX_ATTEMPTS", "100")];
const RATE: u32 = 100;
const REST: Duration = Duration::from_secs(2);
/// What is claimed already when a 429 arrives is called all the same.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// Who reckons with a wrong clock waits for longer.
const WITHOUT_A_WRONG_WAIT: Duration = Duration::from_secs(25);

#[tokio::test]
async fn clocks_that_are_wrong_by_half_a_minute_exceed_no_limit_lose_no_lease_and_stretch_no_wait() {
    let world = World::alone(&SETTINGS).await;
    let limit = Limit { rate_per_second: RATE.into(), burst: 1, concurrency: 32 };
    let latency = Latency { fixed_ms: 5, jitter_ms: 20 };
    let gateway = Gateway::start(Settings { population: people(150), latency, ..Settings::default() }).await;
    let throttled = Fault::TooManyRequests { retry_after_s: Some(REST.as_secs()) };
    let rules = [
        Rule::new(throttled, When::Next(1)).on_path("/chat/history"),
        Rule::new(Fault::ServerError, When::Share(0.1)).on_path("/chat/history"),
    ];
    gateway.set_faults(Faults { seed: 0, rules: rules.to_vec() }).unwrap();
    let fast = [("SINCRO_DRILL", "clock=30")];
    let slow = [("SINCRO_DRILL", "clock=-30")];
    let api = world.listening("api", &fast).await;
    let channel = api.create_channel(&gateway, limit).await;
    let (worker, other) = (world.worker_with(&fast).await, world.worker_with(&slow).await);
    let stage = Stage { worker, api, channel, gateway, world };

    let begun = Instant::now();
    let sync = stage.start().await;
    ends_complete(&stage, channel, sync).await;
    assert!(begun.elapsed() < WITHOUT_A_WRONG_WAIT, "it took {:?}", begun.elapsed());
    let most = stage.gateway.calls().max_in_window(Duration::from_secs(1), |_| true);
    assert!(most <= usize::try_from(RATE).unwrap(), "{most} calls in one second at a rate of {RATE}");
    for worker in [&stage.worker, &other] {
        for loss in [
            "leases were lost; what their jobs come to will not count",
            "results came after their lease was lost",
            "the result came after the lease had run out; dropped",
        ] {
            worker.never_said(loss);
        }
    }
    let apart = "SELECT extract(epoch FROM max(settled_at) - min(settled_at))::bigint FROM jobs";
    assert!(stage.world.number(apart).await > 45, "both worked, each by its own clock");
    assert_eq!(calls_in_a_rest(&stage.gateway.calls().all()), 0, "the channel rested as long as it was told to");
    let spent = stage.world.number("SELECT sum(attempts) FROM jobs").await;
    let failures = stage.gateway.calls().count(|call| call.status == Some(500));
    let jobs = stage.world.number("SELECT count(*) FROM jobs").await;
    assert_eq!(spent, jobs + i64::try_from(failures).unwrap(), "an attempt for each job, and one for each failure");
}

/// Calls while the gateway had asked for a rest.
fn calls_in_a_rest(calls: &[Call]) -> usize {
    let asked = calls.iter().find(|call| call.status == Some(429)).expect("a 429");
    let asked = Duration::from_micros(asked.ended_us.expect("it was answered"));
    let rest = (asked + ON_ITS_WAY)..(asked + REST);
    calls.iter().filter(|call| rest.contains(&Duration::from_micros(call.at_us))).count()
}
