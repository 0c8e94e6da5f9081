//! The rate and the concurrency of a channel, as its gateway sees them. Each of these tests runs alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sincro_core::{limit::Limit, sync::SyncState};
use sincro_simulator::{Call, Latency, Settings};

use crate::support::{Stage, World, announce, audit, gateway::people, stage::FAST, within};

const ONE_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn three_workers_share_a_channel_without_exceeding_its_rate_in_any_second_and_use_it_well() {
    let rate = 100_u32;
    let limit = Limit { rate_per_second: rate.into(), burst: 1, concurrency: 32 };
    let gateway =
        Settings { population: people(180), latency: Latency { fixed_ms: 5, jitter_ms: 20 }, ..Settings::default() };
    let stage = Stage::set(World::alone(&[]).await, gateway, limit).await;
    let _second = stage.world.worker().await;
    let _third = stage.world.worker().await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;

    let calls = stage.gateway.calls();
    let most = calls.max_in_window(ONE_SECOND, |_| true);
    let (total, took) = span(&calls.all());
    let used = (total - 1.0) / took.as_secs_f64() / f64::from(rate);
    announce(&format!("{total} calls in {took:?}: {:.1} % of the rate, at most {most} in one second", used * 100.0));
    assert!(most <= usize::try_from(rate).unwrap(), "{most} calls in one second at a rate of {rate}");
    assert!(used >= 0.9, "only {:.1} % of the rate are used", used * 100.0);
    assert!(
        stage.world.number("SELECT count(*) FROM jobs WHERE attempts > 1").await == 0,
        "and nothing was tried twice"
    );
}

#[tokio::test]
async fn no_more_calls_are_under_way_at_once_than_the_channel_allows() {
    let limit = Limit { rate_per_second: 2_000.0, burst: 1, concurrency: 5 };
    let latency = Latency { fixed_ms: 10, jitter_ms: 30 };
    let gateway = Settings { population: people(100), latency, ..Settings::default() };
    let stage = Stage::set(World::alone(&[]).await, gateway, limit).await;
    let _second = stage.world.worker().await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    assert_eq!(stage.gateway.calls().max_in_flight(|_| true), 5, "never more, and all that is allowed");
}

#[tokio::test]
async fn a_lower_limit_takes_effect_while_a_sync_runs() {
    let gateway = Settings { population: people(400), ..Settings::default() };
    let stage = Stage::set(World::alone(&[]).await, gateway, Limit { rate_per_second: 400.0, ..FAST }).await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    events.until_settled(200).await;
    let change = json!({"limit": {"rate_per_second": 20.0}});
    let channel: Value = stage.api.patch(&format!("/v1/channels/{}", stage.channel), &change).await.ok();
    assert_eq!(channel["effective"]["rate_per_second"], 20.0);
    // What was claimed under the old limit is on its way or there.
    events.until(|status| status.jobs.running <= 1).await;
    stage.gateway.calls().clear();
    // The last call under the old limit and the first one under the new stand as close as the old one allowed.
    within("the change of limits", stage.gateway.calls().wait_for(2, |_| true)).await;
    stage.gateway.calls().clear();
    within("calls at the new rate", stage.gateway.calls().wait_for(40, |_| true)).await;
    stage.api.steer(sync, "cancel").await;
    let most = stage.gateway.calls().max_in_window(ONE_SECOND, |_| true);
    assert!((15..=20).contains(&most), "{most} calls in one second at a rate of 20");
}

#[tokio::test]
async fn an_idle_worker_calls_the_gateway_at_once_when_a_sync_is_asked_for() {
    let gateway = Settings { population: people(8), ..Settings::default() };
    let stage = Stage::set(World::alone(&[]).await, gateway, FAST).await;
    let mut latencies = Vec::new();
    for person in stage.gateway.truth().persons() {
        stage.gateway.calls().clear();
        let ticket = stage.api.start_ticket(stage.channel, person.phone_jid.as_deref().unwrap(), 25).await;
        let answered = Instant::now();
        within("the first call", stage.gateway.calls().wait_for(1, |_| true)).await;
        latencies.push(answered.elapsed());
        assert_eq!(stage.api.end_of(ticket.id).await.state, SyncState::Completed);
    }
    announce(&format!("from the 202 to the gateway's first byte: {latencies:?}"));
    assert!(latencies.iter().all(|latency| *latency < Duration::from_millis(250)), "{latencies:?}");
}

/// How many calls, and how long from the first to the last.
fn span(calls: &[Call]) -> (f64, Duration) {
    let first = calls.iter().map(|call| call.at_us).min().unwrap();
    let last = calls.iter().map(|call| call.at_us).max().unwrap();
    (f64::from(u32::try_from(calls.len()).unwrap()), Duration::from_micros(last - first))
}
