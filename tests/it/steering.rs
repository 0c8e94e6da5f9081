//! Pause, resume, cancel, retry, and another limit, while a sync runs.
//!
//! That nothing runs any more is shown by something that runs meanwhile: a ticket sync of the same channel, or another
//! channel's sync, which the same worker serves.

use serde_json::{Value, json};
use sincro_core::{
    job::JobState,
    limit::Limit,
    sync::{JobCounts, SyncId, SyncState},
};
use sincro_simulator::{Call, Fault, Faults, Rule, Settings, When};

use crate::support::{
    Stage, World, audit,
    gateway::{is_contacts, is_history, people},
    stage::FAST,
};

/// Slow enough to be steered in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 100.0, burst: 1, concurrency: 8 };

#[tokio::test]
async fn a_paused_sync_makes_no_call_until_it_is_resumed() {
    let stage = Stage::with(people(60), UNHURRIED, &[]).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(20).await;

    let paused = stage.api.steer(sync, "pause").await;
    assert_eq!(paused.state, SyncState::Paused);
    stage.world.until_heard().await;
    let at_rest = stage.api.follow(sync).await.until(|status| status.jobs.running == 0).await;
    let made = stage.gateway.calls().count(|_| true);
    assert!(stage.api.jobs(sync).await.iter().filter(|job| job.state == JobState::Paused).count() > 0);
    let by_ticket = ticket(&stage).await;
    assert_eq!(stage.gateway.calls().count(|_| true), made + by_ticket, "only the ticket made calls");
    assert_eq!(at_rest_of(stage.api.status(sync).await.jobs), at_rest_of(at_rest.jobs));
    assert_eq!(stage.api.steer(sync, "pause").await.state, SyncState::Paused, "twice is no error");

    assert_eq!(stage.api.steer(sync, "resume").await.state, SyncState::Running);
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), 25).await;
    audit::receipt_adds_up(&stage.api.receipt(sync).await, &end);
    assert_eq!(stage.api.ask_to(sync, "pause").await.refused(409), "sync_over");
}

/// A job that was claimed before the queue heard of a pause waits for a second by itself, then with the others.
fn at_rest_of(jobs: JobCounts) -> JobCounts {
    JobCounts { queued: jobs.queued + jobs.delayed, delayed: 0, ..jobs }
}

#[tokio::test]
async fn a_sync_can_be_paused_before_it_is_planned() {
    let world = World::new().await;
    let gateway = Settings { population: people(20), ..Settings::default() };
    let stage = Stage::set(world, gateway, FAST).await;
    stage.api.steer_channel(stage.channel, "pause").await;
    stage.world.until_heard().await;
    let sync = stage.start().await;
    assert_eq!(stage.api.steer(sync, "pause").await.state, SyncState::Paused);
    stage.world.until_heard().await;
    stage.api.steer_channel(stage.channel, "resume").await;
    ticket(&stage).await;
    assert_eq!(stage.gateway.calls().count(is_contacts), 0);
    assert_eq!(stage.api.steer(sync, "resume").await.state, SyncState::Planning);
    assert_eq!(stage.api.end_of(sync).await.state, SyncState::Completed);
}

#[tokio::test]
async fn a_sync_that_the_ledger_has_paused_is_not_worked_on_though_the_queue_has_not_heard() {
    let gateway = Settings { population: people(20), ..Settings::default() };
    let stage = Stage::set(World::new().await, gateway, FAST).await;
    stage.api.steer_channel(stage.channel, "pause").await;
    stage.world.until_heard().await;
    let sync = stage.start().await;
    let turn =
        async |state: &str| stage.world.run(&format!("UPDATE syncs SET state = '{state}' WHERE id = '{sync}'")).await;
    turn("paused").await;
    stage.api.steer_channel(stage.channel, "resume").await;
    ticket(&stage).await;
    assert_eq!(stage.gateway.calls().count(is_contacts), 0);
    turn("planning").await;
    assert_eq!(stage.api.end_of(sync).await.state, SyncState::Completed);
}

#[tokio::test]
async fn a_paused_channel_makes_no_call_and_other_channels_go_on() {
    let tokens = vec!["first".to_owned(), "second".to_owned()];
    let gateway = Settings { population: people(60), tokens, ..Settings::default() };
    let stage = Stage::set(World::new().await, gateway, UNHURRIED).await;
    let other = stage.api.create_channel_with(&stage.gateway, "second", FAST).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(20).await;

    let path = format!("/v1/channels/{}/pause", stage.channel);
    let channel: Value = stage.api.post_json(&path, &json!({"reason": "the phone is being replaced"})).await.ok();
    assert_eq!((&channel["state"], &channel["reason"]), (&"paused".into(), &"the phone is being replaced".into()));
    stage.world.until_heard().await;
    let at_rest = stage.api.follow(sync).await.until(|status| status.jobs.running == 0).await;
    let of_first = |call: &Call| call.channel == Some(0);
    let made = stage.gateway.calls().count(of_first);
    let meanwhile = stage.api.start_sync(other, 25).await.id;
    assert_eq!(stage.api.end_of(meanwhile).await.state, SyncState::Completed);
    assert_eq!(stage.gateway.calls().count(of_first), made);
    let status = stage.api.status(sync).await;
    assert_eq!((status.state, at_rest_of(status.jobs)), (SyncState::Running, at_rest_of(at_rest.jobs)));
    assert_eq!(status.limited_by.as_deref(), Some("paused by operator: the phone is being replaced"));
    let job = &stage.api.jobs(sync).await[119];
    assert_eq!((job.state, job.waiting_for.as_deref()), (JobState::Paused, status.limited_by.as_deref()));

    assert_eq!(stage.api.steer_channel(stage.channel, "resume").await["state"], "active");
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth_of("first").unwrap(), 25).await;
    audit::receipt_adds_up(&stage.api.receipt(sync).await, &end);
}

#[tokio::test]
async fn a_cancelled_sync_keeps_what_it_has_and_makes_no_further_call() {
    let stage = Stage::with(people(60), UNHURRIED, &[]).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(20).await;

    let end = stage.api.steer(sync, "cancel").await;
    assert_eq!(end.state, SyncState::Cancelled);
    stage.world.until_heard().await;
    assert_eq!((end.jobs.settled(), end.jobs.open()), (120, 0));
    assert!(end.jobs.cancelled > 0 && end.finished_at.is_some());
    // Calls under way may still arrive; with the ticket's end they are over, as they went before it.
    ticket(&stage).await;
    let made = stage.gateway.calls().count(|_| true);
    let by_ticket = ticket(&stage).await;
    assert_eq!(stage.gateway.calls().count(|_| true), made + by_ticket);
    assert_eq!(stage.api.status(sync).await, end, "what came late changed nothing");
    let receipt = stage.api.receipt(sync).await;
    audit::receipt_adds_up(&receipt, &end);
    for verb in ["pause", "resume", "retry"] {
        assert_eq!(stage.api.ask_to(sync, verb).await.refused(409), "sync_over", "{verb}");
    }
    assert_eq!(stage.api.steer(sync, "cancel").await.state, SyncState::Cancelled, "twice is no error");

    let again = stage.sync().await;
    assert_eq!(again.state, SyncState::Completed);
    assert!(again.messages.duplicate >= end.messages.stored, "nothing that was stored is lost");
    audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), 25).await;
}

#[tokio::test]
async fn a_retry_asks_again_for_what_has_failed_and_for_nothing_else() {
    let stage = Stage::with(people(40), FAST, &[("SINCRO_MAX_ATTEMPTS", "2")]).await;
    let truth = stage.gateway.truth();
    let failing: Vec<&str> = truth.addresses().step_by(7).collect();
    let rule =
        |address: &&str| Rule::new(Fault::ServerError, When::Always).on_address(address).on_path("/chat/history");
    stage.gateway.set_faults(Faults { seed: 0, rules: failing.iter().map(rule).collect() }).unwrap();
    let failed = stage.sync().await;
    assert_eq!(failed.state, SyncState::CompletedWithFailures);
    assert_eq!(failed.jobs.failed, audit::count(failing.len()));
    audit::receipt_adds_up(&stage.api.receipt(failed.id).await, &failed);
    for job in stage.api.jobs(failed.id).await.iter().filter(|job| job.state == JobState::Failed) {
        assert_eq!((job.attempts, job.reason.as_deref()), (2, Some("gateway_error")));
        assert!(job.last_error.as_deref().unwrap().starts_with("GET /chat/history: 500"), "{job:?}");
    }

    stage.gateway.set_faults(Faults::default()).unwrap();
    stage.gateway.calls().clear();
    let again = stage.api.steer(failed.id, "retry").await;
    assert_eq!((again.state, again.jobs.failed, again.finished_at), (SyncState::Running, 0, None));
    let end = stage.api.end_of(failed.id).await;
    assert_eq!(end.state, SyncState::Completed);
    assert!(end.revision > failed.revision);
    let asked: Vec<String> = stage.gateway.reads_per_address().into_keys().collect();
    let mut expected: Vec<String> = failing.iter().map(|&address| address.to_owned()).collect();
    expected.sort_unstable();
    assert_eq!(asked, expected);
    assert_eq!(stage.gateway.calls().count(|call| !is_history(call)), 0);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert_eq!(stage.api.steer(failed.id, "retry").await, end, "without failures there is nothing to do");
}

#[tokio::test]
async fn jobs_that_failed_can_be_retried_while_the_others_still_run() {
    let stage = Stage::with(people(60), UNHURRIED, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    stage.gateway.set_faults(Rule::new(Fault::ServerError, When::Next(5)).on_path("/chat/history")).unwrap();
    let sync = stage.start().await;
    stage.api.follow(sync).await.until(|status| status.jobs.failed == 5).await;
    let again = stage.api.steer(sync, "retry").await;
    assert_eq!((again.state, again.jobs.failed), (SyncState::Running, 0));
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_second_channel_sync_is_refused_and_told_which_one_runs() {
    let stage = Stage::with(people(60), UNHURRIED, &[]).await;
    let running = stage.start().await;
    let body = json!({"messages_per_contact": 25});
    let refused = stage.api.ask_for_sync(stage.channel, &body).await;
    assert_eq!(refused.refused(409), "sync_running");
    assert_eq!(refused.json::<Value>()["running_sync"], running.to_string());
    stage.api.steer(running, "pause").await;
    assert_eq!(stage.api.ask_for_sync(stage.channel, &body).await.refused(409), "sync_running", "a paused one as well");
    assert_eq!(stage.api.delete(&format!("/v1/channels/{}", stage.channel)).await.refused(409), "sync_open");
    stage.api.steer(running, "cancel").await;
    assert_eq!(stage.api.ask_for_sync(stage.channel, &body).await.status, 202);
}

#[tokio::test]
async fn a_higher_limit_takes_effect_while_a_sync_runs() {
    let crawling = Limit { rate_per_second: 0.2, burst: 1, concurrency: 8 };
    let stage = Stage::with(people(60), crawling, &[]).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until(|status| status.limited_by.as_deref() == Some("rate: channel")).await;
    let change = json!({"limit": {"rate_per_second": 1_000.0}});
    let changed: Value = stage.api.patch(&format!("/v1/channels/{}", stage.channel), &change).await.ok();
    assert_eq!(changed["limit"], json!({"rate_per_second": 1_000.0, "burst": 1, "concurrency": 8}));
    // At the old limit it would take a quarter of an hour, and its next slot would open in five seconds.
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    let took = end.finished_at.unwrap() - end.created_at;
    assert!(took.num_seconds() < 60, "it took {took}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

/// A ticket sync from request to end; gives the number of calls that it made.
async fn ticket(stage: &Stage) -> usize {
    // Somebody the bulk sync comes to last, so that the calls can be told apart.
    let person = stage.gateway.truth_of(stage.gateway.token()).unwrap().persons().last().unwrap().clone();
    let of_ticket = |call: &Call| person.addresses().any(|address| call.address.as_deref() == Some(address));
    let before = stage.gateway.calls().count(of_ticket);
    let sync: SyncId = stage.api.start_ticket(stage.channel, person.phone_jid.as_deref().unwrap(), 25).await.id;
    assert_eq!(stage.api.end_of(sync).await.state, SyncState::Completed);
    stage.gateway.calls().count(of_ticket) - before
}
