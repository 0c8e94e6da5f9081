//! Gateways that refuse, break and lie.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use sincro_core::{
    job::{JobLine, JobState},
    limit::Limit,
    sync::{SyncId, SyncState, SyncStatus},
};
use sincro_simulator::{Call, Fault, Faults, Outage, Population, Rule, Settings, When};

use crate::support::{
    Gateway, Stage, World, audit,
    gateway::{is_contacts, is_lookup, people},
    stage::FAST,
    world::Setting,
};

const HISTORY: &str = "/chat/history";
/// One call at a time, so that it is known which calls come after an answer.
const ONE_AT_A_TIME: Limit = Limit { concurrency: 1, ..FAST };
/// A gateway that hangs or floods is given up soon.
const IMPATIENT: [Setting<'_>; 2] = [("SINCRO_GATEWAY_TIMEOUT_SECONDS", "0.3"), ("SINCRO_GATEWAY_MAX_BODY_MB", "1")];

#[tokio::test]
async fn a_429_with_retry_after_silences_the_channel_until_then_and_costs_no_attempt() {
    let stage = Stage::with(people(10), ONE_AT_A_TIME, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let throttled = Fault::TooManyRequests { retry_after_s: Some(2) };
    stage.gateway.set_faults(Rule::new(throttled, When::Next(1)).on_path(HISTORY)).unwrap();
    let sync = stage.start().await;
    stage.api.follow(sync).await.until(|status| resting(status.limited_by.as_deref())).await;
    let channel = stage.api.channel(stage.channel).await;
    let reason = channel["effective"]["cooldown_reason"].as_str().unwrap();
    assert!(reason.starts_with("throttled: GET /chat/history: 429"), "{channel}");
    assert_eq!(channel["state"], "active");

    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed, "the only attempt was not spent");
    let rests = rests_after(&stage.gateway.calls().all(), 429);
    assert!(matches!(rests[..], [rest] if rest >= Duration::from_secs(2)), "{rests:?}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1));
}

#[tokio::test]
async fn a_429_without_retry_after_silences_the_channel_longer_each_time_and_costs_no_attempt() {
    let stage = Stage::with(people(10), ONE_AT_A_TIME, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let throttled = Fault::TooManyRequests { retry_after_s: None };
    stage.gateway.set_faults(Rule::new(throttled, When::Next(2)).on_path(HISTORY)).unwrap();
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    let rests = rests_after(&stage.gateway.calls().all(), 429);
    let doubled = |rests: &[Duration]| rests[0] >= Duration::from_secs(1) && rests[1] >= Duration::from_secs(2);
    assert!(rests.len() == 2 && doubled(&rests), "{rests:?}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_gateway_that_takes_fewer_calls_than_it_is_sent_gets_them_all_in_the_end() {
    let limit = sincro_simulator::Limit { per_second: 40.0, burst: 40, retry_after: true };
    let gateway = Settings { population: people(40), limit: Some(limit), ..Settings::default() };
    let stage = Stage::set(World::with(&[("SINCRO_MAX_ATTEMPTS", "1")]).await, gateway, FAST).await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    assert!(stage.gateway.calls().count(|call| call.status == Some(429)) > 0);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn failures_that_pass_are_tried_again_until_the_job_succeeds() {
    let stage = Stage::with(people(30), FAST, &IMPATIENT).await;
    let faults = [
        Fault::ServerError,
        Fault::Hang,
        Fault::CutConnection,
        Fault::TruncatedJson,
        Fault::HugeBody { megabytes: None },
        Fault::Garbage,
        Fault::WrongShape,
    ];
    let truth = stage.gateway.truth();
    let rules = truth
        .addresses()
        .zip(faults.iter().cycle())
        .map(|(address, fault)| Rule::new(fault.clone(), When::FirstOfEach(2)).on_path(HISTORY).on_address(address));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.collect() }).unwrap();
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 3), "two failures, one success");
    let jobs = stage.api.jobs(end.id).await;
    let read = |job: &&JobLine| job.state != JobState::Skipped;
    assert!(jobs.iter().filter(read).all(|job| job.attempts == 3 && job.last_error.is_none()), "{jobs:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again_whatever_its_status_was() {
    let stage = Stage::with(Population { share_without_lid: 0.6, ..people(20) }, FAST, &IMPATIENT).await;
    let rules = [Fault::TruncatedJson, Fault::CutConnection];
    let rules = rules.map(|fault| Rule::new(fault, When::FirstOfEach(1)).on_path("/user/lid/{jid}"));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.to_vec() }).unwrap();
    let end = stage.sync().await;
    let failures = stage.world.rows("SELECT reason, example, jobs FROM failure_reasons").await;
    assert_eq!(
        end.state,
        SyncState::Completed,
        "a 404 without its end does not say that the LID is unknown: {failures:?}"
    );
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.gateway.lookups_per_phone().values().all(|&lookups| lookups == 3), "two failures, one answer");
}

#[tokio::test]
async fn a_gateway_that_answers_nonsense_fails_the_job_with_an_error_that_names_the_call_and_the_cause() {
    let settings = [IMPATIENT[0], IMPATIENT[1], ("SINCRO_MAX_ATTEMPTS", "2")];
    let stage = Stage::with(Population { share_empty: 0.0, ..people(12) }, FAST, &settings).await;
    let lookup = "/user/lid/{jid}";
    let expected = [
        (Fault::ServerError, HISTORY, 2, "gateway_error", "GET /chat/history: 500"),
        (Fault::Hang, HISTORY, 2, "timeout", "GET /chat/history: no complete answer within 300ms"),
        (Fault::CutConnection, HISTORY, 2, "connection", "GET /chat/history: the answer broke off after "),
        (Fault::TruncatedJson, HISTORY, 2, "unreadable_answer", "GET /chat/history: the answer is "),
        (
            Fault::HugeBody { megabytes: Some(2) },
            HISTORY,
            2,
            "body_too_large",
            "GET /chat/history: the answer is longer than 1048576 bytes",
        ),
        (Fault::Garbage, HISTORY, 2, "unreadable_answer", "GET /chat/history: the answer is "),
        (Fault::WrongShape, HISTORY, 2, "unreadable_answer", "GET /chat/history: the answer is a history that is "),
        (Fault::HistoryDisabled, HISTORY, 1, "history_disabled", "GET /chat/history: 501"),
        (
            Fault::Redirect { location: None },
            HISTORY,
            1,
            "redirect",
            "GET /chat/history: 302 redirects to elsewhere.invalid",
        ),
        (Fault::Garbage, lookup, 2, "unreadable_answer", "GET /user/lid/"),
        (Fault::ServerError, lookup, 2, "gateway_error", "GET /user/lid/"),
    ];
    let phones: Vec<String> =
        stage.gateway.truth().persons().iter().filter_map(|person| person.phone_jid.clone()).collect();
    let rules = expected
        .iter()
        .zip(&phones)
        .map(|((fault, path, ..), phone)| Rule::new(fault.clone(), When::Always).on_path(path).on_address(phone));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.collect() }).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 11));
    let jobs = stage.api.jobs(end.id).await;
    for ((fault, path, attempts, reason, error), phone) in expected.iter().zip(&phones) {
        let of_person = |job: &&JobLine| job.contact_id == contact_of(&jobs, phone);
        let failed: Vec<_> = jobs.iter().filter(of_person).filter(|job| job.state == JobState::Failed).collect();
        let [job] = failed[..] else { panic!("{fault:?} on {path}: {failed:?}") };
        assert_eq!((job.reason.as_deref(), job.attempts), (Some(*reason), *attempts), "{fault:?}: {job:?}");
        assert!(job.last_error.as_deref().is_some_and(|said| said.starts_with(error)), "{fault:?}: {job:?}");
    }
    let receipt = stage.api.receipt(end.id).await;
    audit::receipt_adds_up(&receipt, &end);
    let explained =
        receipt.lines.iter().filter(|line| line.last_error.as_deref().is_some_and(|e| e.starts_with("GET /")));
    assert_eq!(explained.count(), 11, "the receipt says it too");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_holds_the_channel_up_until_it_is() {
    let world = World::with(&[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let (api, _worker) = tokio::join!(world.api(), world.worker());
    let somewhere = Gateway::of(people(1)).await;
    let channel = api.create_channel(&somewhere, FAST).await;
    // A port that nobody listens on: it was ours a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let change = json!({"base_url": format!("http://{closed}")});
    let _: Value = api.patch(&format!("/v1/channels/{channel}"), &change).await.ok();
    let sync = api.start_sync(channel, 25).await.id;
    let mut events = api.follow(sync).await;
    events.until(|status| resting(status.limited_by.as_deref())).await;
    let shown = api.channel(channel).await;
    let reason = shown["effective"]["cooldown_reason"].as_str().unwrap();
    assert!(reason.starts_with("unreachable: GET /user/contacts: no connection: "), "{shown}");

    let settings = Settings { port: closed.port(), population: people(20), ..Settings::default() };
    let gateway = Gateway::start(settings).await;
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 40), "the only attempt was not spent");
    audit::messages_are_the_truth(&api, channel, &gateway.truth(), 25).await;
}

#[tokio::test]
async fn a_contact_list_that_never_comes_fails_the_sync_and_a_retry_plans_it_again() {
    let stage = Stage::with(people(20), FAST, &[("SINCRO_MAX_ATTEMPTS", "3")]).await;
    stage.gateway.set_faults(Rule::new(Fault::ServerError, When::Always).on_path("/user/contacts")).unwrap();
    let failed = stage.sync().await;
    assert_eq!((failed.state, failed.jobs.total), (SyncState::Failed, 0));
    let error = failed.error.unwrap();
    assert!(error.starts_with("GET /user/contacts: 500 pq: sorry, too many clients already"), "{error}");
    assert_eq!(stage.gateway.calls().count(is_contacts), 3);

    stage.gateway.set_faults(Faults::default()).unwrap();
    assert_eq!(stage.api.steer(failed.id, "retry").await.state, SyncState::Planning);
    let end = stage.api.end_of(failed.id).await;
    assert_eq!((end.state, end.error.clone()), (SyncState::Completed, None));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_contact_list_that_cannot_be_read_is_tried_again() {
    let stage = Stage::with(people(20), FAST, &IMPATIENT).await;
    let rules = [Fault::Garbage, Fault::TruncatedJson, Fault::Hang, Fault::ServerError];
    let rules = rules.map(|fault| Rule::new(fault, When::Next(1)).on_path("/user/contacts"));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.to_vec() }).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.error.clone()), (SyncState::Completed, None));
    assert_eq!(stage.gateway.calls().count(is_contacts), 5);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_channel_that_keeps_no_history_says_so_on_every_line() {
    let gateway = Settings { population: people(10), history: false, ..Settings::default() };
    let stage = Stage::set(World::new().await, gateway, FAST).await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::CompletedWithFailures);
    assert_eq!(end.jobs.failed, audit::count(stage.gateway.truth().addresses().count()));
    for job in stage.api.jobs(end.id).await.iter().filter(|job| job.state != JobState::Skipped) {
        assert_eq!((job.reason.as_deref(), job.attempts), (Some("history_disabled"), 1), "asked once: {job:?}");
    }

    stage.gateway.set_history(true);
    stage.api.steer(end.id, "retry").await;
    let end = stage.api.end_of(end.id).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn refused_credentials_pause_the_channel_and_the_sync_goes_on_with_good_ones() {
    let world = World::with(&[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let gateway = Gateway::of(people(20)).await;
    let api = world.api().await;
    let channel = api.create_channel_with(&gateway, "an old token", FAST).await;
    let worker = world.worker().await;
    let stage = Stage { worker, api, channel, gateway, world };
    let sync = stage.start().await;
    let paused = paused(&stage, sync).await;
    assert!(paused.starts_with("paused by gateway: unauthorized: GET /user/contacts: 401"), "{paused}");
    let shown = stage.api.channel(stage.channel).await;
    assert_eq!(shown["state"], "paused");
    assert!(shown["reason"].as_str().unwrap().starts_with("unauthorized: GET /user/contacts: 401"), "{shown}");
    assert_eq!(stage.gateway.calls().count(|_| true), 1, "a token that is refused is not tried again");

    let path = format!("/v1/channels/{}", stage.channel);
    let _: Value = stage.api.patch(&path, &json!({"credentials": {"token": stage.gateway.token()}})).await.ok();
    assert_eq!(stage.api.steer_channel(stage.channel, "resume").await["state"], "active");
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed, "the only attempt was not spent");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let said = [stage.worker.whole_log(), stage.api.process.whole_log()].concat();
    assert!(!said.contains("an old token") && !said.contains(stage.gateway.token()), "a token is in the log");
}

#[tokio::test]
async fn credentials_that_are_refused_in_the_middle_cost_no_attempt() {
    let stage = Stage::with(people(40), FAST, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    stage.gateway.set_faults(Rule::new(Fault::Unauthorized, When::Share(0.2)).on_path(HISTORY)).unwrap();
    let sync = stage.start().await;
    let paused = paused(&stage, sync).await;
    assert!(paused.starts_with("paused by gateway: unauthorized: GET /chat/history: 401"), "{paused}");
    stage.gateway.set_faults(Faults::default()).unwrap();
    stage.api.steer_channel(stage.channel, "resume").await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_session_that_is_lost_and_back_costs_no_attempt() {
    let gateway = Settings {
        population: people(60),
        outage: Some(Outage { after_calls: 50, for_ms: 1_000 }),
        ..Settings::default()
    };
    let world = World::with(&[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let stage = Stage::set(world, gateway, ONE_AT_A_TIME).await;
    let sync = stage.start().await;
    let lost = |status: &SyncStatus| status.limited_by.as_deref().is_some_and(|by| by.starts_with("session lost: "));
    stage.api.follow(sync).await.until(lost).await;
    let channel = stage.api.channel(stage.channel).await;
    assert_eq!((&channel["state"], &channel["paused_by"]), (&"paused".into(), &"session".into()));
    assert!(channel["reason"].as_str().unwrap().starts_with("GET /user/lid/"), "{channel}");

    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed, "no attempt was spent");
    let refused = stage.gateway.calls().count(|call| is_lookup(call) && call.status == Some(500));
    assert_eq!(refused, 1, "a lost session is looked at, not stormed");
    assert_eq!(stage.gateway.calls().count(|call| call.path == "/session/status"), 1);
    assert_eq!(stage.api.channel(stage.channel).await["state"], "active", "nobody had to resume it");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_job_whose_calls_alone_find_the_session_lost_fails_alone() {
    let stage = Stage::with(people(10), ONE_AT_A_TIME, &[("SINCRO_MAX_ATTEMPTS", "2")]).await;
    let of_both = |person: &&sincro_simulator::Person| person.phone_jid.is_some() && person.lid.is_some();
    let jid = stage.gateway.truth().persons().iter().find(of_both).unwrap().phone_jid.clone().unwrap();
    let rule = Rule::new(Fault::NoSession, When::Always).on_path("/user/lid/{jid}").on_address(&jid);
    stage.gateway.set_faults(rule).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.total, end.jobs.failed), (SyncState::CompletedWithFailures, 20, 1));
    let reasons = stage.world.rows("SELECT reason, jobs FROM failure_reasons").await;
    assert_eq!(reasons, [json!({"reason": "session_lost", "jobs": 1})]);
    assert_eq!(stage.gateway.calls().count(|call| call.path == "/session/status"), 1, "looked at once, and found");
    assert_eq!(stage.api.channel(stage.channel).await["state"], "active");
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_token_goes_nowhere_else() {
    let elsewhere = Gateway::of(people(1)).await;
    let stage = Stage::of(people(5)).await;
    let location = Some(format!("{}/chat/history", elsewhere.base_url()));
    stage.gateway.set_faults(Rule::new(Fault::Redirect { location }, When::Always).on_path(HISTORY)).unwrap();
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::CompletedWithFailures);
    assert_eq!(elsewhere.calls().count(|_| true), 0);
    let reasons = stage.world.rows("SELECT reason FROM failure_reasons").await;
    assert_eq!(reasons, [json!({"reason": "redirect"})]);
}

#[tokio::test]
async fn everything_that_can_pass_at_once_still_ends_with_what_the_gateway_holds() {
    let settings = [IMPATIENT[0], IMPATIENT[1], ("SINCRO_MAX_ATTEMPTS", "20")];
    let stage = Stage::with(people(150), FAST, &settings).await;
    let faults = "seed=20260403,500=0.04,hang=0.01,cut=0.03,truncated=0.03,huge=0.01,garbage=0.03,shape=0.03,\
                  429:1@/chat/history=x1,429=x1";
    let faults: Faults = faults.parse().unwrap();
    stage.gateway.set_faults(faults).unwrap();
    let end = stage.sync().await;
    let failures = stage.world.rows("SELECT reason, example, jobs FROM failure_reasons").await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 300), "{failures:?}");
    let struck: BTreeMap<String, usize> =
        stage.gateway.calls().all().iter().fold(BTreeMap::new(), |mut struck, call| {
            if let Some(fault) = &call.fault {
                *struck.entry(fault.to_string()).or_default() += 1;
            }
            struck
        });
    assert_eq!(struck.len(), 8, "every kind has struck: {struck:?}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

/// How long nothing was called after each answer of this status.
fn rests_after(calls: &[Call], status: u16) -> Vec<Duration> {
    let pairs = calls.windows(2).filter(|pair| pair[0].status == Some(status));
    pairs.map(|pair| Duration::from_micros(pair[1].at_us - pair[0].ended_us.expect("it was answered"))).collect()
}

/// Whether that is what holds the sync up.
fn resting(limited_by: Option<&str>) -> bool {
    limited_by.is_some_and(|limited_by| limited_by.starts_with("cooldown until "))
}

/// The contact that an address belongs to.
fn contact_of(jobs: &[JobLine], address: &str) -> Option<i64> {
    jobs.iter().find(|job| job.address.as_deref() == Some(address)).and_then(|job| job.contact_id)
}

/// Waits until the sync's channel is paused and nothing of it runs; gives the reason as the sync shows it.
async fn paused(stage: &Stage, sync: SyncId) -> String {
    let paused = |limited_by: &str| limited_by.starts_with("paused by gateway: ");
    let mut events = stage.api.follow(sync).await;
    let status =
        events.until(|status| status.jobs.running == 0 && status.limited_by.as_deref().is_some_and(paused)).await;
    status.limited_by.unwrap()
}
