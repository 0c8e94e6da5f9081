//! Lists in pages: everything once, in order, however small the pages are.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sincro_core::{job::JobState, receipt::Receipt, sync::SyncId};
use sincro_simulator::{Call, Fault, Faults, Population, Rule, Settings, When};
use uuid::Uuid;

use super::{PHONE, idle_channel};
use crate::support::{Client, Stage, World, gateway::is_history, people, stage::FAST, within};

/// All pages of a list, none of them larger than asked for, and none smaller but the last.
async fn walk(api: &Client, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page: Value = api.get(&format!("{path}{separator}limit={limit}{after}")).await.ok();
        let found = page["items"].as_array().unwrap();
        items.extend_from_slice(found);
        let Some(next) = page["next"].as_str() else {
            assert!(found.len() <= limit, "{path}");
            return items;
        };
        assert_eq!(found.len(), limit, "{path}: a page that is not the last one");
        after = format!("&after={next}");
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn syncs_come_newest_first_by_channel_and_by_state() {
    let world = World::new().await;
    let api = world.api().await;
    let (one, other) = (idle_channel(&api).await, idle_channel(&api).await);
    let mut made: Vec<(Uuid, SyncId)> = Vec::new();
    for channel in [one, other, one, one, other, one, other] {
        made.push((channel, api.start_ticket(channel, PHONE, 5).await.id));
    }
    let cancelled = [made[2].1, made[4].1];
    for sync in cancelled {
        api.steer(sync, "cancel").await;
    }
    made.reverse();
    let expected = |wanted: &dyn Fn(&(Uuid, SyncId)) -> bool| -> Vec<String> {
        made.iter().filter(|sync| wanted(sync)).map(|(_, id)| id.to_string()).collect()
    };
    for limit in [1, 2, 3, 7, 8] {
        assert_eq!(ids(&walk(&api, "/v1/syncs", limit).await), expected(&|_| true), "limit {limit}");
        let path = format!("/v1/syncs?channel_id={one}");
        assert_eq!(ids(&walk(&api, &path, limit).await), expected(&|(channel, _)| *channel == one), "limit {limit}");
        let path = "/v1/syncs?state=cancelled";
        assert_eq!(ids(&walk(&api, path, limit).await), expected(&|(_, id)| cancelled.contains(id)), "limit {limit}");
        let path = format!("/v1/syncs?channel_id={one}&state=running");
        let running = expected(&|(channel, id)| *channel == one && !cancelled.contains(id));
        assert_eq!(ids(&walk(&api, &path, limit).await), running, "limit {limit}");
    }
    assert!(walk(&api, &format!("/v1/syncs?channel_id={}", Uuid::nil()), 5).await.is_empty());

    // What is made while somebody turns pages does not move the pages.
    let first: Value = api.get("/v1/syncs?limit=3").await.ok();
    api.start_ticket(one, PHONE, 5).await;
    let next = first["next"].as_str().unwrap();
    let second: Value = api.get(&format!("/v1/syncs?limit=3&after={next}")).await.ok();
    let turned = [first, second].map(|page| ids(page["items"].as_array().unwrap())).concat();
    assert_eq!(turned, expected(&|_| true)[..6]);
}

#[tokio::test]
async fn jobs_lines_and_messages_come_once_and_in_order() {
    let stage = Stage::of(people(12)).await;
    let end = stage.sync().await;
    let (jobs, messages) = (format!("/v1/syncs/{}/jobs", end.id), format!("/v1/channels/{}/messages", stage.channel));
    let whole: Vec<Value> = walk(&stage.api, &jobs, 1_000).await;
    assert_eq!(whole.len(), 24);
    assert!(whole.is_sorted_by_key(|job| job["id"].as_i64()), "jobs by id");
    let all_messages: Vec<Value> = walk(&stage.api, &messages, 1_000).await;
    assert_eq!(all_messages.len(), stage.gateway.truth().expected(25).len());
    let order = |message: &Value| (message["sent_at"].as_str().unwrap().to_owned(), message["message_id"].to_string());
    assert!(all_messages.is_sorted_by_key(order), "messages by time");
    for limit in [1, 5, 23, 24] {
        assert_eq!(walk(&stage.api, &jobs, limit).await, whole, "limit {limit}");
    }
    for limit in [7, all_messages.len() - 1, all_messages.len()] {
        assert_eq!(walk(&stage.api, &messages, limit).await, all_messages, "limit {limit}");
    }

    let receipt = stage.api.receipt(end.id).await;
    for limit in [1, 5, 24] {
        let (mut lines, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/v1/syncs/{}/receipt?limit={limit}&after={after}", end.id);
            let page: Receipt = stage.api.get(&path).await.ok();
            assert_eq!((page.contacts, page.jobs, page.messages), (12, end.jobs, end.messages), "totals on each page");
            assert!(page.lines.len() <= limit);
            lines.extend(page.lines);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(lines, receipt.lines, "limit {limit}");
    }
}

/// The jobs in this state, and the sync's jobs that say they are in it.
async fn in_state(api: &Client, sync: SyncId, state: JobState) -> Vec<Value> {
    let filtered = walk(api, &format!("/v1/syncs/{sync}/jobs?state={state}"), 1_000).await;
    let whole = walk(api, &format!("/v1/syncs/{sync}/jobs"), 1_000).await;
    let expected: Vec<Value> = whole.into_iter().filter(|job| job["state"] == json!(state)).collect();
    assert_eq!(filtered, expected, "{state}");
    filtered
}

#[tokio::test]
async fn jobs_that_ended_can_be_asked_for_by_how_they_ended() {
    let population = Population { share_empty: 0.3, share_without_lid: 0.3, ..people(20) };
    let stage = Stage::with(population, FAST, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let truth = stage.gateway.truth();
    let unlucky = truth.persons()[3].phone_jid.clone().unwrap();
    let fault = Rule::new(Fault::ServerError, When::Always).on_path("/chat/history").on_address(&unlucky);
    stage.gateway.set_faults(fault).unwrap();
    let end = stage.sync().await;
    let mut seen = BTreeSet::new();
    for (state, counted) in [
        (JobState::Succeeded, end.jobs.succeeded),
        (JobState::Empty, end.jobs.empty),
        (JobState::Skipped, end.jobs.skipped),
        (JobState::Failed, end.jobs.failed),
    ] {
        let jobs = in_state(&stage.api, end.id, state).await;
        assert_eq!(i64::try_from(jobs.len()).unwrap(), counted, "{state}");
        assert!(!jobs.is_empty(), "{state}");
        seen.extend(jobs.iter().map(|job| job["id"].as_i64().unwrap()));
    }
    assert_eq!(seen.len(), 40, "each job is in one state");
    let failed = in_state(&stage.api, end.id, JobState::Failed).await;
    assert_eq!(failed[0]["address"], unlucky);
    assert!(failed[0]["last_error"].as_str().unwrap().contains("/chat/history"), "{}", failed[0]);
    for state in [JobState::Queued, JobState::Running, JobState::Delayed, JobState::Paused, JobState::Cancelled] {
        assert!(in_state(&stage.api, end.id, state).await.is_empty(), "{state}");
    }
}

#[tokio::test]
async fn jobs_that_wait_can_be_asked_for_by_what_they_wait_for() {
    let limit = sincro_core::limit::Limit { concurrency: 2, ..FAST };
    let settings = [("SINCRO_RETRY_BASE_SECONDS", "3600"), ("SINCRO_RETRY_CAP_SECONDS", "3600")];
    let world = World::with(&settings).await;
    let gateway = Settings { population: people(6), ..Settings::default() };
    let stage = Stage::set(world, gateway, limit).await;
    let truth = stage.gateway.truth();
    let phones: Vec<_> = truth.persons().iter().map(|person| person.phone_jid.clone().unwrap()).collect();
    let (unlucky, hanging) = phones.split_at(3);
    let strikes =
        |fault: Fault, address: &str| Rule::new(fault, When::Always).on_path("/chat/history").on_address(address);
    let failing = unlucky.iter().map(|address| strikes(Fault::ServerError, address));
    let rules = failing.chain(hanging.iter().map(|address| strikes(Fault::Hang, address))).collect();
    stage.gateway.set_faults(Faults { seed: 0, rules }).unwrap();
    let persons: Vec<_> = truth.persons().iter().map(person).collect();
    let sync = stage.api.start_sync_of(stage.channel, 25, &persons).await.id;
    // Three jobs fail and wait for their next attempt, then two hang at the gateway: no more may be there at once.
    stage.api.follow(sync).await.until(|status| status.jobs.delayed == 3 && status.jobs.running == 2).await;
    let is_hanging = |call: &Call| is_history(call) && call.fault.as_deref() == Some("hang");
    within("two calls that hang", stage.gateway.calls().wait_for(2, is_hanging)).await;

    let delayed = in_state(&stage.api, sync, JobState::Delayed).await;
    assert!(delayed.iter().all(|job| job["waiting_for"].as_str().unwrap().starts_with("retry at ")), "{delayed:?}");
    assert!(delayed.iter().all(|job| unlucky.iter().any(|address| job["address"] == *address)), "{delayed:?}");
    assert_eq!(in_state(&stage.api, sync, JobState::Running).await.len(), 2);
    let queued = in_state(&stage.api, sync, JobState::Queued).await;
    assert_eq!(queued[0]["waiting_for"], "concurrency: channel", "{queued:?}");
    for (before, job) in queued.iter().enumerate().skip(1) {
        let jobs = if before == 1 { "job" } else { "jobs" };
        assert_eq!(job["waiting_for"], format!("behind {before} {jobs}"), "{queued:?}");
    }

    stage.api.steer(sync, "pause").await;
    let paused = in_state(&stage.api, sync, JobState::Paused).await;
    assert_eq!(paused.len(), delayed.len() + queued.len(), "what runs is finished");
    assert!(paused.iter().all(|job| job["waiting_for"] == "paused by operator: sync"), "{paused:?}");
    assert_eq!(in_state(&stage.api, sync, JobState::Running).await.len(), 2);

    let end = stage.api.steer(sync, "cancel").await;
    let cancelled = in_state(&stage.api, sync, JobState::Cancelled).await;
    assert_eq!(i64::try_from(cancelled.len()).unwrap(), end.jobs.cancelled);
    assert_eq!(cancelled.len(), paused.len() + 2);
}

/// Somebody the gateway knows, as a request names them.
fn person(known: &sincro_simulator::Person) -> crate::support::Person {
    crate::support::Person { phone_jid: known.phone_jid.clone(), lid: known.lid.clone(), name: None }
}
