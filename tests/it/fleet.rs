//! Many channels behind one provider server, as its gateway sees them: limits, fairness, rests, sessions. Those that measure
//! run alone.

use std::time::Duration;

use serde_json::{Value, json};
use sincro_core::{
    limit::Limit,
    sync::{SyncState, SyncStatus},
};
use sincro_simulator::{Call, Fault, Latency, Rule, Settings, When};

use crate::support::{World, announce, fleet::Fleet, stage::FAST, within};

const ONE_SECOND: Duration = Duration::from_secs(1);
const LATENCY: Latency = Latency { fixed_ms: 5, jitter_ms: 20 };

fn gateway(contacts: impl Into<Vec<u32>>) -> Settings {
    Settings { latency: LATENCY, ..Settings::fleet(contacts) }
}

/// So many workers at a server limit of 100/s over four channels; calls of about four seconds.
async fn audit_of(workers: usize) {
    let fleet = Fleet::set(World::alone(&[]).await, gateway([300; 4]), FAST, workers).await;
    fleet.limit_server(100.0).await;
    fleet.start_all().await;
    within("every channel is called", fleet.gateway.calls().wait_for(100, |_| true)).await;
    fleet.fresh_calls(400).await;
    let most = fleet.gateway.calls().max_in_window(ONE_SECOND, |_| true);
    let used = fleet.used(100.0);
    announce(&format!("{workers} workers: {:.2} % of the rate used, at most {most} calls in a second", used * 100.0));
    assert!(most <= 100, "{most} calls in one second at a rate of 100");
    // What remains is 98.5 %; the bound leaves room for machines that have other things to do.
    assert!(used >= 0.9, "only {:.2} % of the rate are used", used * 100.0);
}

#[tokio::test]
async fn one_worker_keeps_to_the_limit_of_a_server_and_uses_it() {
    audit_of(1).await;
}

#[tokio::test]
async fn three_workers_keep_to_the_limit_of_a_server_and_use_it() {
    audit_of(3).await;
}

#[tokio::test]
async fn ten_workers_keep_to_the_limit_of_a_server_and_use_it() {
    audit_of(10).await;
}

#[tokio::test]
async fn channels_of_very_different_size_get_equal_shares_of_their_server() {
    let sizes: Vec<u32> = (0..20).map(|channel| 150 + channel * channel * 5).collect();
    let fleet = Fleet::set(World::alone(&[]).await, gateway(sizes), FAST, 3).await;
    fleet.limit_server(200.0).await;
    for sync in fleet.start_all().await {
        fleet.api.follow(sync).await.until(|status| status.jobs.total > 2).await;
    }
    let from = fleet.gateway.calls().now_us();
    within("calls", fleet.gateway.calls().wait_for(1_200, |call| call.at_us >= from)).await;
    let range = from..fleet.gateway.calls().now_us();
    let jain = fleet.gateway.calls().fairness_within(&range, 0..20);
    announce(&format!("Jain's index over 20 channels: {jain:.4}"));
    assert!(jain >= 0.99, "{jain} {:?}", fleet.gateway.calls().calls_per_channel_within(&range));
}

#[tokio::test]
async fn a_channel_that_is_told_to_wait_is_left_alone_by_three_workers_while_the_others_go_on() {
    let fleet =
        Fleet::set(World::alone(&[]).await, gateway([200; 3]), Limit { rate_per_second: 40.0, ..FAST }, 3).await;
    let syncs = fleet.start_all().await;
    within("calls", fleet.gateway.calls().wait_for(60, |_| true)).await;
    let throttled = Fault::TooManyRequests { retry_after_s: Some(2) };
    fleet.gateway.set_faults(Rule::new(throttled, When::Next(1)).on_channel(0)).unwrap();
    let status = resting(&fleet, syncs[0]).await;
    assert!(!status.limited_by.as_deref().unwrap().contains("server"), "{status:?}");
    let channel = fleet.api.channel(fleet.channels[0]).await;
    let effective = &channel["effective"]["channel"];
    assert_eq!(
        (&effective["configured_rate"], &effective["effective_rate"]),
        (&json!(40.0), &json!(20.0)),
        "{channel}"
    );

    let gone_on = |call: &Call| call.is_of(0) && call.status == Some(200);
    fleet.gateway.calls().clear();
    within("the channel goes on", fleet.gateway.calls().wait_for(5, gone_on)).await;
    let others = fleet.gateway.calls().calls_per_channel();
    assert!(others[&1] >= 30 && others[&2] >= 30, "{others:?}");
    assert!(fleet.gateway.calls().calls_in_rests(Duration::ZERO).is_empty(), "a call before the rest was over");
}

#[tokio::test]
async fn a_server_that_is_told_to_wait_is_left_alone_on_all_its_channels() {
    let fleet = Fleet::set(World::alone(&[]).await, gateway([60; 3]), Limit { rate_per_second: 40.0, ..FAST }, 3).await;
    let syncs = fleet.start_all().await;
    within("calls", fleet.gateway.calls().wait_for(60, |_| true)).await;
    let unavailable = Fault::Unavailable { retry_after_s: Some(2) };
    fleet.gateway.set_faults(Rule::new(unavailable, When::Next(1))).unwrap();
    let status = resting(&fleet, syncs[1]).await;
    assert!(status.limited_by.as_deref().unwrap().ends_with(": server throttled"), "{status:?}");
    for sync in syncs {
        assert_eq!(fleet.api.end_of(sync).await.state, SyncState::Completed);
    }
    // What was under way when the answer came is not held against anybody.
    let early = fleet.gateway.calls().calls_in_rests(Duration::from_millis(100));
    assert!(early.is_empty(), "{early:?}");
    assert_eq!(fleet.world.number("SELECT count(*) FROM jobs WHERE attempts > 1").await, 0, "and it cost no attempt");
}

#[tokio::test]
async fn ten_channels_without_a_session_do_not_slow_the_others_and_go_on_by_themselves() {
    let fleet = Fleet::set(World::new().await, gateway([10; 12]), Limit { rate_per_second: 50.0, ..FAST }, 2).await;
    let tokens: Vec<String> = fleet.gateway.tokens().map(str::to_owned).collect();
    for token in &tokens[..10] {
        fleet.gateway.lose_session_of(token).unwrap();
    }
    let syncs = fleet.start_all().await;
    for sync in &syncs[10..] {
        assert_eq!(fleet.api.end_of(*sync).await.state, SyncState::Completed);
    }
    let status = fleet.api.status(syncs[0]).await;
    assert!(status.limited_by.as_deref().unwrap().starts_with("session lost: "), "{status:?}");
    assert_eq!(fleet.api.channel(fleet.channels[0]).await["paused_by"], "session");
    for token in &tokens[..10] {
        fleet.gateway.set_session_of(token, true).unwrap();
    }
    for sync in &syncs[..10] {
        assert_eq!(fleet.api.end_of(*sync).await.state, SyncState::Completed, "nobody had to resume it");
    }
    assert_eq!(fleet.world.number("SELECT count(*) FROM jobs WHERE attempts > 1").await, 0, "and it cost no attempt");
    let probes = fleet.gateway.calls().count(Call::is_status);
    assert!((10..=40).contains(&probes), "{probes} looks at sessions");
}

#[tokio::test]
async fn a_rule_changed_while_running_holds_within_a_second_and_is_remembered_with_who_when_and_what_before() {
    let fleet = Fleet::set(World::alone(&[]).await, gateway([800; 2]), FAST, 3).await;
    fleet.put_limits(json!([{"match": "wuzapi/*", "rate_per_second": 200.0}])).await;
    fleet.start_all().await;
    fleet.fresh_calls(200).await;
    fleet.put_limits(json!([{"match": "wuzapi/*", "rate_per_second": 20.0}])).await;
    let changed = fleet.gateway.calls().now_us();
    fleet.fresh_calls(30).await;
    let after = changed + 1_000_000;
    let most = fleet.gateway.calls().max_in_window(ONE_SECOND, |call| call.at_us > after);
    assert!((15..=20).contains(&most), "{most} calls in one second at a rate of 20");

    let status = fleet.api.get("/v1/limits").await.ok::<Value>();
    assert_eq!(status["rules"][0]["rate_per_second"], 20.0);
    let history = fleet.api.get("/v1/limits/changes").await.ok::<Value>();
    let newest = &history["items"][0];
    assert_eq!((&newest["match"], &newest["by"]), (&"wuzapi/*".into(), &"test".into()), "{history}");
    assert_eq!(newest["before"]["rate_per_second"], 200.0);
    assert_eq!(newest["after"]["rate_per_second"], 20.0);
    fleet.put_limits(json!([])).await;
    fleet.fresh_calls(200).await;
}

#[tokio::test]
async fn a_sync_says_the_same_in_its_status_its_events_and_the_view() {
    let fleet = Fleet::set(World::new().await, gateway([300; 2]), FAST, 1).await;
    fleet.limit_server(20.0).await;
    let syncs = fleet.start_all().await;
    let by_server =
        |status: &SyncStatus| status.limited_by.as_deref() == Some("rate: server") && status.eta_seconds.is_some();
    let event = fleet.api.follow(syncs[0]).await.until(by_server).await;
    let status = fleet.api.status(syncs[0]).await;
    assert_eq!((event.state, status.limited_by.as_deref()), (SyncState::Running, Some("rate: server")));
    let view = within("the view says it too", async {
        loop {
            let rows = fleet
                .world
                .rows("SELECT sync_id, limited_by, eta_seconds FROM sync_status WHERE limited_by = 'rate: server'")
                .await;
            if rows.len() == 2 {
                break rows;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let eta = fleet.api.status(syncs[0]).await.eta_seconds.unwrap();
    let in_view = view.iter().find(|row| row["sync_id"] == json!(syncs[0])).unwrap()["eta_seconds"].as_f64().unwrap();
    // 600 jobs of 1.4 calls or a little less at half of 20 a second.
    assert!((55.0..100.0).contains(&eta) && (in_view - eta).abs() < 8.0, "{eta} and {in_view}");

    let jobs: Vec<Value> = fleet.api.pages(&format!("/v1/syncs/{}/jobs?state=queued&limit=500", syncs[0])).await;
    let last = jobs.last().unwrap();
    assert!(last["waiting_for"].as_str().unwrap().starts_with("behind "), "{last}");
    assert!(last["next_at"].is_string(), "{last}");
}

#[tokio::test]
async fn a_plan_says_beforehand_what_a_sync_will_take_and_calls_and_enqueues_nothing() {
    let fleet = Fleet::set(World::alone(&[]).await, gateway([120]), Limit { rate_per_second: 50.0, ..FAST }, 1).await;
    let first = fleet.start_all().await[0];
    let end = fleet.api.end_of(first).await;
    fleet.gateway.calls().clear();
    let path = format!("/v1/channels/{}/syncs/plan", fleet.channels[0]);
    let plan: Value = fleet.api.post_json(&path, &json!({"messages_per_contact": 5})).await.ok();
    assert_eq!(fleet.gateway.calls().count(|_| true), 0);
    assert_eq!(fleet.world.number("SELECT count(*) FROM syncs").await, 1);
    assert_eq!((&plan["jobs"], &plan["contacts"]), (&json!(240), &json!(120)), "{plan}");
    assert_eq!((&plan["useful_workers"], &plan["limited_by"]), (&json!(1), &"rate: channel".into()), "{plan}");

    let begun = std::time::Instant::now();
    let again = fleet.start_all().await[0];
    assert_eq!(fleet.api.end_of(again).await.jobs.total, end.jobs.total);
    let (took, planned) = (begun.elapsed().as_secs_f64(), plan["duration_seconds"].as_f64().unwrap());
    announce(&format!("planned {planned:.1} s, took {took:.1} s: {plan}"));
    assert!((took / planned - 1.0).abs() < 0.25, "planned {planned} s, took {took} s");
}

#[tokio::test]
async fn the_scaling_signal_is_what_the_limits_admit_and_nothing_while_nothing_can_run() {
    let fleet = Fleet::set(World::new().await, gateway([500; 2]), FAST, 1).await;
    let scaling = async || fleet.api.get("/v1/scaling").await.ok::<Value>();
    assert_eq!(scaling().await["useful_workers"], 0, "nothing is queued");
    fleet.limit_server(10.0).await;
    let syncs = fleet.start_all().await;
    for sync in &syncs {
        fleet.api.follow(*sync).await.until(|status| status.state == SyncState::Running).await;
    }
    let signal = scaling().await;
    assert_eq!((&signal["useful_workers"], &signal["admissible_rate"]), (&json!(1), &json!(10.0)), "{signal}");
    assert!(signal["runnable_jobs"].as_i64().unwrap() > 900, "{signal}");
    for channel in &fleet.channels {
        fleet.api.steer_channel(*channel, "pause").await;
    }
    fleet.world.until_heard().await;
    let signal = scaling().await;
    assert_eq!((&signal["useful_workers"], &signal["runnable_jobs"]), (&json!(0), &json!(0)), "{signal}");
    let metrics = fleet.api.get("/metrics").await.body;
    assert!(metrics.contains("sincro_useful_workers 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_ticket_starts_at_once_while_a_hundred_thousand_bulk_jobs_wait() {
    let fleet = Fleet::set(World::alone(&[]).await, gateway([1_000, 40]), Limit { concurrency: 64, ..FAST }, 1).await;
    // Bulk calls that take their time fill whatever slots they get.
    fleet.gateway.set_latency(Latency { fixed_ms: 300, jitter_ms: 200 });
    let persons: Vec<Value> =
        (0..50_000_u64).map(|n| json!({"phone_jid": format!("{}@s.whatsapp.net", 5_511_900_000_000 + n)})).collect();
    let reply = fleet.api.ask_for_sync(fleet.channels[0], &json!({"contacts": persons})).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    within("bulk work runs", fleet.gateway.calls().wait_for(60, |_| true)).await;
    let mut waits = Vec::new();
    let truth = fleet.gateway.truth_of("simulated-token-1").unwrap();
    for person in truth.persons().iter().filter_map(|person| person.phone_jid.as_deref()).take(20) {
        let before = fleet.gateway.calls().count(|call| call.is_of(1));
        let asked = std::time::Instant::now();
        let ticket = fleet.api.start_ticket(fleet.channels[1], person, 5).await.id;
        within("the ticket starts", fleet.gateway.calls().wait_for(before + 1, |call| call.is_of(1))).await;
        waits.push(asked.elapsed());
        assert_eq!(fleet.api.end_of(ticket).await.state, SyncState::Completed);
    }
    waits.sort_unstable();
    announce(&format!(
        "from the request to the gateway behind 100,000 jobs: median {:?}, worst {:?}",
        waits[10], waits[19]
    ));
    assert!(waits[10] < Duration::from_millis(50) && waits[19] < Duration::from_millis(250), "{waits:?}");
}

async fn resting(fleet: &Fleet, sync: uuid::Uuid) -> SyncStatus {
    let rests = |status: &SyncStatus| status.limited_by.as_deref().is_some_and(|by| by.starts_with("cooldown until "));
    fleet.api.follow(sync).await.until(rests).await
}
