//! A queue that loses something in the middle of a sync: single keys, its last seconds, or everything.
//!
//! Nobody does anything about it. Nothing is left out or stored twice, and the limits and rests hold as the gateway saw them.

use std::time::Duration;

use serde_json::json;
use sincro_core::{
    limit::Limit,
    sync::{SyncState, SyncStatus},
};
use sincro_simulator::{Fault, Latency, Rule, Settings, When};

use crate::support::{
    Stage, World, announce, audit, gateway::people, private::redis::Redis, stage::FAST, within, world::Setting,
};

const ONE_SECOND: Duration = Duration::from_secs(1);
/// A second, less what calls may take from their permit to the gateway while other tests run.
const NEARLY_A_SECOND: Duration = Duration::from_millis(900);
/// Slow enough that a sync of some hundred jobs is caught in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 16 };
/// Calls take a while, so that some are always under way.
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 10, jitter_ms: 20 };
/// What is lost is looked for often.
const WATCHFUL: [Setting<'_>; 1] = [("SINCRO_SWEEP_SECONDS", "0.1")];

/// Deletes keys in the middle of a sync, one kind after the other: all that begin like one of a kind.
async fn loses(kinds: &[&[&str]]) {
    let stage = Stage::with(people(400), UNHURRIED, &WATCHFUL).await;
    let _second = stage.world.worker().await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    let step = 700 / i64::try_from(kinds.len()).unwrap();
    let mut settled = 20;
    for kind in kinds {
        events.until_settled(settled).await;
        // A line is there only while somebody stands in it.
        let lose = || kind.iter().map(|beginning| stage.world.queue.lose(beginning)).sum::<usize>();
        within(&format!("one of {kind:?}"), async {
            while lose() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        settled += step;
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 800));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "a loss costs no attempt");
}

#[tokio::test]
async fn keys_of_a_channel_that_are_deleted_are_put_back_while_its_sync_goes_on() {
    loses(&[
        &["channel:"],
        &["calls:"],
        &["running:"],
        &["lanes:"],
        &["lane:"],
        &["sync:"],
        &["channel:", "calls:", "running:", "lanes:", "lane:", "sync:", "later:"],
    ])
    .await;
}

#[tokio::test]
async fn keys_of_a_server_that_are_deleted_are_put_back_while_its_syncs_go_on() {
    loses(&[&["server:"], &["servers"], &["working:"], &["ready:", "round:", "due:"]]).await;
}

#[tokio::test]
async fn keys_of_a_shard_that_are_deleted_have_it_restored_while_its_syncs_go_on() {
    loses(&[&["held"], &["leases"], &["queued"], &["ticket"], &["home"], &["epoch2"]]).await;
}

/// Writes into keys of the queue in the middle of a sync, one after the other, what is of another type or cannot be read.
/// `{channel}`, `{sync}` and `{server}` stand for those of the sync.
async fn is_written_into(keys: &[&str]) {
    let stage = Stage::with(people(400), UNHURRIED, &WATCHFUL).await;
    let second = stage.world.worker().await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    let server = format!("wuzapi/{}", stage.gateway.base_url().trim_start_matches("http://"));
    let step = 700 / i64::try_from(keys.len()).unwrap();
    let mut settled = 20;
    for key in keys {
        events.until_settled(settled).await;
        let key = key.replace("{channel}", &stage.channel.to_string()).replace("{sync}", &sync.to_string());
        stage.world.queue.spoil(&key.replace("{server}", &server));
        settled = events.until_settled(settled).await.jobs.settled() + step;
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 800));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "it costs no attempt");
    let most = stage.gateway.calls().max_in_window(NEARLY_A_SECOND, |_| true);
    assert!(most <= 300, "{most} calls in one second at a rate of 300");
    let times = |said: &str| stage.worker.times_said(said) + second.times_said(said);
    let restored = times("the queue is restored from the ledger");
    // Right after another restoration, what a script that failed has left half-done may be mended by a comparison.
    let mended = times("lanes that the queue had lost are back from the ledger");
    let least = 1 + keys.len();
    assert!(
        restored + mended >= least,
        "restored {restored} times, mended {mended} times: once at first and for each key"
    );
    assert!(restored <= 2 * keys.len(), "restored {restored} times for {} keys", keys.len());
}

#[tokio::test]
async fn keys_of_a_channel_that_somebody_writes_into_cost_a_restoration_and_no_job() {
    let of_channel = ["channel:{channel}", "calls:{channel}", "running:{channel}", "lanes:{channel}", "lane:{sync}"];
    is_written_into(&of_channel).await;
}

#[tokio::test]
async fn keys_of_a_server_that_somebody_writes_into_cost_a_restoration_and_no_job() {
    is_written_into(&[
        "server:{server}",
        "servers",
        "working:{server}",
        "ready:b",
        "due:b:{server}",
        "round:b:{server}",
    ])
    .await;
}

#[tokio::test]
async fn keys_of_a_shard_that_somebody_writes_into_cost_a_restoration_and_no_job() {
    is_written_into(&["queued", "held", "leases", "ticket", "home", "epoch2", "delayed", "opened"]).await;
}

#[tokio::test]
async fn a_sync_that_the_queue_hears_of_after_its_end_makes_no_call_and_leaves_nothing_behind() {
    let stage = Stage::with(people(5), FAST, &WATCHFUL).await;
    stage.api.steer_channel(stage.channel, "pause").await;
    stage.world.until_heard().await;
    let sync = stage.start().await;
    stage.world.until_heard().await;
    let queue = &stage.world.queue;
    assert_eq!(queue.waiting(), 1, "its plan job");
    // As somebody leaves it who tells of its beginning when the queue has forgotten its end.
    let late = ["sync:", "lane:", "lanes:", "queued", "alive"].map(|kind| queue.copy(kind)).concat();
    stage.api.steer(sync, "cancel").await;
    stage.world.until_heard().await;
    for (times, channel) in [(1, "pause"), (2, "resume")] {
        queue.bring_back(&late);
        stage.api.steer_channel(stage.channel, channel).await;
        within("the end of its lane", async {
            while stage.worker.times_said("lanes of syncs that are over are closed") < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(queue.waiting(), 0);
    }
    assert_eq!(stage.gateway.calls().count(|_| true), 0);
    assert_eq!(stage.api.status(sync).await.state, SyncState::Cancelled);
}

#[tokio::test]
async fn a_channel_whose_session_is_lost_is_looked_at_after_a_flush_though_nothing_of_it_waits() {
    let stage = Stage::with(people(5), FAST, &WATCHFUL).await;
    stage.gateway.set_session(false);
    let sync = stage.start().await;
    let lost = |status: &SyncStatus| status.limited_by.as_ref().is_some_and(|why| why.starts_with("session lost"));
    stage.api.follow(sync).await.until(lost).await;
    stage.api.steer(sync, "cancel").await;
    stage.world.until_heard().await;
    stage.world.queue.flush();
    stage.gateway.set_session(true);
    within("a look at the session", async {
        while stage.api.channel(stage.channel).await["state"] != "active" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stage.worker.times_said("the queue is restored from the ledger"), 2);
}

#[tokio::test]
async fn a_redis_that_comes_back_without_its_last_seconds_is_noticed_and_no_limit_exceeded() {
    let mut redis = Redis::alone().await;
    let limit = Limit { rate_per_second: 60.0, burst: 1, concurrency: 16 };
    let world = World::alone(&[("REDIS_URL", &redis.url()), ("SINCRO_SWEEP_SECONDS", "0.1")]).await;
    let gateway = Settings { population: people(150), latency: SLOW_ANSWERS, ..Settings::default() };
    let stage = Stage::set(world, gateway, limit).await;
    let second = stage.world.worker().await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    let mut losses = Vec::new();
    for settled in [30, 100, 170] {
        events.until_settled(settled).await;
        let _: () = redis.ask(&["SAVE"]).await.unwrap();
        events.until_settled(settled + 30).await;
        losses.push(stage.gateway.calls().now_us());
        redis.start_again().await;
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 300));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let restored = "the queue is restored from the ledger";
    assert!(stage.worker.times_said(restored) + second.times_said(restored) >= 4, "once at first, and after each loss");
    let mut calls: Vec<u64> = stage.gateway.calls().all().iter().map(|call| call.at_us).collect();
    calls.sort_unstable();
    for lost in losses {
        // So no second holds calls from before that nobody remembers, and calls from after.
        let around = calls.windows(2).filter(|pair| pair[1] > lost && pair[0] < lost + 1_000_000);
        let pause = around.map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(pause >= 1_000_000, "only {pause} µs without a call after a loss");
    }
    let most = stage.gateway.calls().max_in_window(ONE_SECOND, |_| true);
    assert!(most <= 60, "{most} calls in one second at a rate of 60");
}

#[tokio::test]
async fn a_queue_whose_keys_only_a_newer_version_knows_is_left_to_that() {
    let stage = Stage::with(people(20), FAST, &WATCHFUL).await;
    stage.worker.said("the queue is restored from the ledger").await;
    let raised = sqlx::query("UPDATE queue_epochs SET layout = layout + 1").execute(&stage.world.sql).await.unwrap();
    assert_eq!(raised.rows_affected(), 1);
    stage.world.queue.flush();
    stage.worker.said("a newer version of sincro runs this queue; this one waits until it does no longer").await;
    let sync = stage.start().await;
    assert!(stage.world.queue.keys().is_empty(), "nobody has touched it");

    sqlx::query("UPDATE queue_epochs SET layout = layout - 1").execute(&stage.world.sql).await.unwrap();
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_flush_in_the_middle_of_a_rest_does_not_end_it() {
    let stage = Stage::with(people(60), Limit { rate_per_second: 100.0, burst: 1, concurrency: 8 }, &WATCHFUL).await;
    let sync = stage.start().await;
    within("calls", stage.gateway.calls().wait_for(20, |_| true)).await;
    let unavailable = Fault::Unavailable { retry_after_s: Some(4) };
    stage.gateway.set_faults(Rule::new(unavailable, When::Next(1))).unwrap();
    let mut events = stage.api.follow(sync).await;
    events.until(|status| status.limited_by.as_deref().is_some_and(|why| why.ends_with(": server throttled"))).await;
    let noted = async { while stage.world.number("SELECT count(*) FROM cooldowns").await == 0 {} };
    within("the note of the rest", noted).await;
    stage.world.queue.flush();
    let end = events.end().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let early = stage.gateway.calls().calls_in_rests(Duration::from_millis(100));
    assert!(early.is_empty(), "{early:?}");
}

#[tokio::test]
async fn a_cap_counts_on_through_a_flush() {
    let stage = Stage::set(
        World::alone(&WATCHFUL).await,
        Settings { population: people(100), latency: SLOW_ANSWERS, ..Settings::default() },
        FAST,
    )
    .await;
    let rule = json!({"match": stage.channel, "rate_per_second": 20.0, "per_minute": 60});
    let request = stage.api.request(reqwest::Method::PUT, "/v1/limits").json(&json!({ "rules": [rule] }));
    let _: serde_json::Value = stage.api.send(request).await.ok();
    let sync = stage.start().await;
    within("calls", stage.gateway.calls().wait_for(30, |_| true)).await;
    let noted =
        async { while stage.world.number("SELECT coalesce(sum(calls), 0)::bigint FROM call_counts").await < 20 {} };
    within("the count of calls", noted).await;
    stage.world.queue.flush();
    stage.worker.said("the queue is restored from the ledger").await;
    let mut events = stage.api.follow(sync).await;
    events.until(|status| status.limited_by.as_deref().is_some_and(|why| why.contains("minute"))).await;
    let calls = stage.gateway.calls().count(|_| true);
    assert!((30..=60).contains(&calls), "{calls} calls in the first minute at a cap of 60");
}

#[tokio::test]
async fn a_hundred_thousand_open_jobs_are_back_in_under_five_seconds() {
    let mut stage = Stage::set(World::alone(&[]).await, Settings::fleet([1; 10]), FAST).await;
    let mut channels = vec![stage.channel];
    for token in stage.gateway.tokens().skip(1) {
        channels.push(stage.api.create_channel_with(&stage.gateway, token, FAST).await);
    }
    for channel in &channels {
        stage.api.steer_channel(*channel, "pause").await;
        stage.world.until_heard().await;
        stage.api.start_sync(*channel, 25).await;
    }
    stage.worker.terminate();
    assert!(stage.worker.exit().await.success());
    fill(&stage).await;
    stage.world.queue.flush();

    stage.worker = stage.world.worker().await;
    let line = stage.worker.said("the queue is restored from the ledger").await;
    let (open_ms, took_ms) = (line["open_ms"].as_u64().unwrap(), line["took_ms"].as_u64().unwrap());
    announce(&format!("100,000 open jobs: open after {open_ms} ms, all back after {took_ms} ms"));
    assert_eq!(line["lanes"], 10);
    assert!(took_ms < 5_000, "{took_ms} ms");
    // Each channel's plan job is among them.
    assert_eq!(stage.world.queue.waiting(), 100_010);
}

/// Gives every open sync 10,000 jobs, of which every fifth was attempted and every tenth waits for its time.
async fn fill(stage: &Stage) {
    for statement in [
        "INSERT INTO contacts (channel_id, phone_jid, created_at)
         SELECT s.channel_id, n || '@s.whatsapp.net', now() FROM syncs s, generate_series(5511900000001, 5511900005000) n",
        "INSERT INTO jobs (sync_id, channel_id, contact_id, kind, address_kind, state, step, attempts, attempt_limit, next_at, created_at)
         SELECT s.id, s.channel_id, c.id, 'history', k.kind, CASE WHEN c.id % 10 = 0 THEN 'delayed' ELSE 'queued' END, '{}',
                CASE WHEN c.id % 5 = 0 THEN 1 ELSE 0 END, 5, CASE WHEN c.id % 10 = 0 THEN now() + interval '1 hour' END, now()
         FROM syncs s JOIN contacts c ON c.channel_id = s.channel_id, (VALUES ('phone'), ('lid')) AS k (kind)",
        "UPDATE syncs s SET jobs_total = 10000, jobs_delayed = j.delayed, jobs_queued = 10000 - j.delayed
         FROM (SELECT sync_id, count(*) FILTER (WHERE state = 'delayed') AS delayed FROM jobs GROUP BY 1) j WHERE j.sync_id = s.id",
    ] {
        sqlx::query(statement).execute(&stage.world.sql).await.unwrap();
    }
}
