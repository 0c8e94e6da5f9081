//! Whapi.Cloud from request to receipt: pages, the open points of its contract either way, and the states of a channel. What
//! is the same for every provider is in the other modules.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use sincro_core::{
    job::JobState,
    limit::Limit,
    sync::{SyncKind, SyncState, SyncStatus},
};
use sincro_simulator::{
    Call, Fault, Faults, Outage, Population, Provider, Readings, Rule, Settings, UnknownChat, When,
};

use crate::support::{
    Stage, World, audit,
    audit::count,
    gateway::{is_contacts, is_history, is_lookup, people},
    stage::FAST,
    within,
    world::Setting,
};

const CHAT: &str = "/messages/list/{jid}";
/// One call at a time, so that it is known which calls come after an answer.
const ONE_AT_A_TIME: Limit = Limit { concurrency: 1, ..FAST };
/// What costs an attempt fails the job.
const ONE_ATTEMPT: [Setting<'_>; 1] = [("SINCRO_MAX_ATTEMPTS", "1")];

fn whapi(population: Population) -> Settings {
    Settings { provider: Provider::Whapi, population, ..Settings::default() }
}

async fn stage_of(gateway: Settings, limit: Limit, settings: &[Setting<'_>]) -> Stage {
    Stage::set(World::with(settings).await, gateway, limit).await
}

#[tokio::test]
async fn a_whapi_channel_is_synced_through_all_pages_of_its_contacts_each_address_asked_once() {
    let stage = stage_of(whapi(people(620)), FAST, &[]).await;
    let end = stage.sync().await;
    assert_eq!((end.state, end.kind), (SyncState::Completed, SyncKind::Channel));
    assert_eq!((end.jobs.total, end.jobs.settled(), end.jobs.failed), (1_240, 1_240, 0));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;

    let calls = stage.gateway.calls();
    assert_eq!(calls.count(is_contacts), 2, "500 contacts and 120");
    assert_eq!(calls.count(|call| !is_contacts(call) && !is_lookup(call) && !is_history(call)), 0);
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 1));
    assert_eq!(stage.gateway.reads_per_address().len(), stage.gateway.truth().addresses().count());
    assert!(stage.gateway.lookups_per_phone().values().all(|&lookups| lookups == 1));

    let again = stage.sync().await;
    assert_eq!((again.state, again.messages.stored), (SyncState::Completed, 0));
    assert_eq!(again.messages.duplicate, end.messages.fetched);
    audit::receipt_adds_up(&stage.api.receipt(again.id).await, &again);
}

#[tokio::test]
async fn whatever_whapis_description_leaves_open_either_reading_ends_with_the_truth() {
    let readings = Readings {
        bare_errors: true,
        unknown_chat: UnknownChat::NotFound,
        resolves_lids: false,
        time_to_inclusive: false,
        longest_page: 20,
        arriving: 0,
    };
    let population = Population { share_empty: 0.3, share_without_lid: 0.3, messages_mean: 40, ..people(45) };
    let stage = stage_of(Settings { whapi: readings, ..whapi(population) }, FAST, &[]).await;
    let sync = stage.api.start_sync(stage.channel, 100).await.id;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    assert!(end.jobs.empty > 0 && end.jobs.skipped > 0, "a 404 is an expected end: {:?}", end.jobs);
    audit::nothing_is_lost_or_doubled(&stage, &end, 100).await;
    assert_eq!(stage.gateway.calls().count(is_contacts), 3, "two full pages and one of five");
}

#[tokio::test]
async fn messages_that_shift_while_pages_are_read_are_stored_once() {
    for time_to_inclusive in [true, false] {
        let readings = Readings { longest_page: 20, arriving: 16, time_to_inclusive, ..Readings::default() };
        let population = Population { messages_mean: 55, share_empty: 0.0, ..people(12) };
        let stage = stage_of(Settings { whapi: readings, ..whapi(population) }, FAST, &[]).await;
        let sync = stage.api.start_sync(stage.channel, 100).await.id;
        let end = stage.api.end_of(sync).await;
        assert_eq!(end.state, SyncState::Completed);
        let truth = stage.gateway.truth();
        audit::messages_are_the_truth(&stage.api, stage.channel, &truth, 100).await;
        audit::receipt_adds_up(&stage.api.receipt(end.id).await, &end);
        assert_eq!(end.messages.stored, count(truth.expected(100).len()));
        assert!(end.messages.fetched > count(truth.expected_rows(100)), "some came twice: {:?}", end.messages);
        let most = stage.gateway.reads_per_address().into_values().max();
        assert!(most >= Some(3), "chats were read in pages: {most:?}");
    }
}

#[tokio::test]
async fn no_more_messages_are_read_than_were_wanted() {
    let readings = Readings { longest_page: 20, ..Readings::default() };
    let population = Population { messages_mean: 60, messages_max: 120, ..people(10) };
    let stage = stage_of(Settings { whapi: readings, ..whapi(population) }, FAST, &[]).await;
    for messages in [1, 50] {
        let sync = stage.api.start_sync(stage.channel, messages).await;
        let end = stage.api.end_of(sync.id).await;
        let wanted = usize::try_from(messages).unwrap();
        assert_eq!(end.messages.fetched, count(stage.gateway.truth().expected_rows(wanted)));
        audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), wanted).await;
    }
}

#[tokio::test]
async fn a_ticket_needs_no_feature_and_a_channel_sync_does() {
    let stage = stage_of(whapi(Population { share_without_lid: 0.0, share_empty: 0.0, ..people(20) }), FAST, &[]).await;
    let body = json!({"name": "unentitled", "provider": "whapi", "base_url": stage.gateway.base_url(),
        "credentials": {"token": stage.gateway.token(), "hook_key": "a secret"}, "limit": FAST});
    let created: Value = stage.api.post_json("/v1/channels", &body).await.ok();
    assert!(!created.to_string().contains("a secret"), "{created}");
    let channel = created["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(stage.api.ask_for_sync(channel, &json!({})).await.refused(403), "feature_missing");

    let truth = stage.gateway.truth();
    let person = &truth.persons()[7];
    let ticket = stage.api.start_ticket(channel, person.phone_jid.as_deref().unwrap(), 100).await;
    let end = stage.api.end_of(ticket.id).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 2));
    let expected: BTreeSet<String> =
        person.addresses().flat_map(|address| truth.chat(address, 100)).map(|message| message.message_id).collect();
    let stored = stage.api.messages_of(channel, person.lid.as_deref().unwrap()).await;
    assert_eq!(stored.into_iter().map(|message| message.message_id).collect::<BTreeSet<_>>(), expected);
    assert_eq!(stage.gateway.calls().count(is_contacts), 0);
}

#[tokio::test]
async fn the_limit_of_a_whapi_channel_holds_for_every_call() {
    let limit = Limit { rate_per_second: 50.0, burst: 1, concurrency: 2 };
    let stage = Stage::set(World::alone(&[]).await, whapi(people(25)), limit).await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    let calls = stage.gateway.calls();
    assert!(calls.max_in_window(Duration::from_secs(1), |_| true) <= 50);
    assert!(calls.max_in_flight(|_| true) <= 2);
}

#[tokio::test]
async fn failures_of_whapi_that_pass_are_tried_again_until_the_job_succeeds() {
    let stage = stage_of(whapi(people(20)), FAST, &[("SINCRO_GATEWAY_TIMEOUT_SECONDS", "0.3")]).await;
    let faults = [
        Fault::ServerError,
        Fault::Hang,
        Fault::CutConnection,
        Fault::TruncatedJson,
        Fault::Garbage,
        Fault::WrongShape,
    ];
    let truth = stage.gateway.truth();
    let on_chats = truth.addresses().zip(faults.iter().cycle());
    let on_chats = on_chats
        .map(|(address, fault)| Rule::new(fault.clone(), When::FirstOfEach(1)).on_path(CHAT).on_address(address));
    let on_list = faults[..3].iter().map(|fault| Rule::new(fault.clone(), When::Next(1)).on_path("/contacts"));
    let on_lids = [Fault::TruncatedJson, Fault::WrongShape]
        .map(|fault| Rule::new(fault, When::FirstOfEach(1)).on_path("/contacts/lids/{jid}"));
    let rules = on_chats.chain(on_list).chain(on_lids).collect();
    stage.gateway.set_faults(Faults { seed: 0, rules }).unwrap();
    let end = stage.sync().await;
    let failures = stage.world.rows("SELECT reason, example, jobs FROM failure_reasons").await;
    assert_eq!(end.state, SyncState::Completed, "{failures:?}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 2), "one failure, one success");
    assert_eq!(stage.gateway.calls().count(is_contacts), 4);
}

#[tokio::test]
async fn a_429_of_whapi_silences_the_channel_and_costs_no_attempt() {
    let stage = stage_of(whapi(people(10)), ONE_AT_A_TIME, &ONE_ATTEMPT).await;
    let rules = [Some(1), None]
        .map(|retry_after_s| Rule::new(Fault::TooManyRequests { retry_after_s }, When::Next(1)).on_path(CHAT));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.to_vec() }).unwrap();
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed, "the only attempt was not spent");
    let calls = stage.gateway.calls().all();
    let pairs = calls.windows(2).filter(|pair| pair[0].status == Some(429));
    let rests: Vec<u64> = pairs.map(|pair| pair[1].at_us - pair[0].ended_us.unwrap()).collect();
    assert!(rests.len() == 2 && rests.iter().all(|&rest_us| rest_us >= 1_000_000), "{rests:?}");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_trial_that_is_used_up_waits_for_a_person() {
    let stage = stage_of(whapi(people(10)), ONE_AT_A_TIME, &ONE_ATTEMPT).await;
    stage.gateway.set_faults(Rule::new(Fault::PaymentRequired, When::Always).on_path(CHAT)).unwrap();
    let sync = stage.start().await;
    let paused = until_limited_by(&stage, sync, "paused by gateway: ").await;
    assert!(paused.contains(": 402 Trial version limit exceeded"), "{paused}");
    stage.gateway.set_faults(Faults::default()).unwrap();
    stage.api.steer_channel(stage.channel, "resume").await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed, "no attempt was spent");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_whapi_session_that_is_lost_and_back_costs_no_attempt() {
    let outage = Some(Outage { after_calls: 40, for_ms: 1_000 });
    let stage = stage_of(Settings { outage, ..whapi(people(40)) }, ONE_AT_A_TIME, &ONE_ATTEMPT).await;
    let sync = stage.start().await;
    let lost = until_limited_by(&stage, sync, "session lost: ").await;
    assert!(lost.contains(": 401 Need channel authorization"), "{lost}");
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed, "no attempt was spent");
    let calls = stage.gateway.calls();
    assert_eq!(calls.count(|call| !call.is_status() && call.status == Some(401)), 1, "looked at, not stormed");
    assert!(calls.count(Call::is_status) >= 1);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_channel_that_sleeps_or_cannot_sync_is_looked_at_without_waking_it_until_a_person_did() {
    for says in [None, Some("SYNC_ERROR")] {
        let stage = stage_of(whapi(people(10)), FAST, &ONE_ATTEMPT).await;
        let token = stage.gateway.token().to_owned();
        match says {
            None => stage.gateway.lull(&token).unwrap(),
            Some(word) => stage.gateway.lose_session_with(&token, word).unwrap(),
        }
        let sync = stage.start().await;
        until_limited_by(&stage, sync, "session lost: ").await;
        within(
            "a look at the session",
            stage.gateway.calls().wait_for(2, |call| call.is_status() && call.status.is_some()),
        )
        .await;
        assert_eq!(stage.gateway.calls().count(|call| !call.is_status()), 1, "no look woke it up");
        stage.gateway.set_session(true);
        let end = stage.api.end_of(sync).await;
        assert_eq!(end.state, SyncState::Completed);
        audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    }
}

#[tokio::test]
async fn a_refusal_of_whapi_for_good_fails_its_job_alone_and_names_call_and_cause() {
    let stage = stage_of(whapi(Population { share_empty: 0.0, ..people(10) }), FAST, &[]).await;
    let phone = stage.gateway.truth().persons()[3].phone_jid.clone().unwrap();
    let redirect = Rule::new(Fault::Redirect { location: None }, When::Always).on_path(CHAT).on_address(&phone);
    stage.gateway.set_faults(redirect).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 1));
    let jobs = stage.api.jobs(end.id).await;
    let failed: Vec<_> = jobs.iter().filter(|job| job.state == JobState::Failed).collect();
    let [job] = failed[..] else { panic!("{failed:?}") };
    assert_eq!((job.reason.as_deref(), job.attempts), (Some("redirect"), 1));
    let said = format!("GET /messages/list/{phone}: 302 redirects");
    assert!(job.last_error.as_deref().is_some_and(|error| error.starts_with(&said)), "{job:?}");
    audit::receipt_adds_up(&stage.api.receipt(end.id).await, &end);

    stage.gateway.set_faults(Faults::default()).unwrap();
    stage.api.steer(end.id, "retry").await;
    let end = stage.api.end_of(end.id).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

/// Waits until this holds the sync up; gives the reason as the sync shows it.
async fn until_limited_by(stage: &Stage, sync: sincro_core::sync::SyncId, what: &str) -> String {
    let held = |status: &SyncStatus| status.limited_by.as_deref().is_some_and(|by| by.starts_with(what));
    stage.api.follow(sync).await.until(held).await.limited_by.unwrap()
}
