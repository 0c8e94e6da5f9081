//! Answers without end, long contact lists, rows that nobody can read, and what is over long enough: nothing of it may cost
//! more memory than there is.

use std::collections::BTreeSet;

use sincro_core::{
    job::{JobLine, JobState},
    limit::Limit,
    sync::SyncState,
};
use sincro_simulator::{Fault, Faults, Population, Rule, Settings, When};

use crate::support::{
    Person, Stage, World, announce, audit, environment, gateway::is_contacts, people, private::redis::Redis,
    stage::FAST, within,
};

const CONTACTS: &str = "/user/contacts";
const HISTORY: &str = "/chat/history";
/// Syncs that are over are known for an hour, calls for the longest window of the limit and a minute.
const HOUR_MS: i64 = 3_600_000;
const MINUTES_MS: i64 = 120_000;
/// What a worker may have in memory at once here: its own needs as a debug build, the room for answers three times (the
/// bytes, the messages, the statement), and one answer of full length likewise. A release build needs less.
const BOUND_MB: u64 = if cfg!(debug_assertions) { 160 } else { 96 };
/// What an API may have in memory at once.
const API_BOUND_MB: u64 = 96;

/// Neither process has ever taken more than it may.
fn processes_stayed_small(stage: &Stage) {
    let (worker, api) = (stage.worker.peak_memory_mb(), stage.api.process.peak_memory_mb());
    assert!(worker < BOUND_MB, "the worker took {worker} MB");
    assert!(api < API_BOUND_MB, "the API took {api} MB");
}

#[tokio::test]
async fn answers_of_a_gigabyte_or_without_end_fail_their_jobs_and_the_worker_stays_small() {
    let settings = [("SINCRO_GATEWAY_TIMEOUT_SECONDS", "3"), ("SINCRO_MAX_ATTEMPTS", "2")];
    let stage = Stage::with(Population { share_empty: 0.0, ..people(40) }, FAST, &settings).await;
    let expected = [
        (Fault::HugeBody { megabytes: None }, "body_too_large"),
        (Fault::HugeBody { megabytes: Some(1_024) }, "body_too_large"),
        (Fault::AnnouncedBody { megabytes: 1_024 }, "body_too_large"),
        (Fault::Bomb { megabytes: 256 }, "body_too_large"),
        (Fault::Trickle, "timeout"),
        (Fault::Hang, "timeout"),
    ];
    let truth = stage.gateway.truth();
    let phones: Vec<String> = truth.persons().iter().filter_map(|person| person.phone_jid.clone()).collect();
    let rules = phones.iter().zip(expected.iter().cycle()).take(expected.len() * 3);
    let rules =
        rules.map(|(phone, (fault, _))| Rule::new(fault.clone(), When::Always).on_path(HISTORY).on_address(phone));
    stage.gateway.set_faults(Faults { seed: 0, rules: rules.collect() }).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 18));
    let jobs = stage.api.jobs(end.id).await;
    for (phone, (fault, reason)) in phones.iter().zip(expected.iter().cycle()).take(expected.len() * 3) {
        let job = jobs.iter().find(|job| job.address.as_ref() == Some(phone)).unwrap();
        // Where many large answers wait for room in memory, the clock may be faster.
        let explained = [Some(*reason), Some("timeout")].contains(&job.reason.as_deref());
        assert!(explained && job.attempts == 2, "{fault:?}: {job:?}");
    }
    processes_stayed_small(&stage);

    stage.gateway.set_faults(Faults::default()).unwrap();
    stage.api.steer(end.id, "retry").await;
    let end = stage.api.end_of(end.id).await;
    assert_eq!(end.state, SyncState::Completed, "the worker lives");
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_contact_list_without_end_fails_the_sync_and_the_worker_stays_small() {
    let settings = [
        ("SINCRO_GATEWAY_TIMEOUT_SECONDS", "5"),
        ("SINCRO_MAX_ATTEMPTS", "1"),
        ("SINCRO_GATEWAY_MAX_CONTACTS_MB", "48"),
    ];
    let stage = Stage::with(people(5), FAST, &settings).await;
    for (fault, said) in [
        (Fault::HugeBody { megabytes: None }, "GET /user/contacts: the answer is longer than 50331648 bytes"),
        (Fault::AnnouncedBody { megabytes: 1_024 }, "GET /user/contacts: the answer is longer than 50331648 bytes"),
        (Fault::HugeBody { megabytes: Some(32) }, "GET /user/contacts: the answer is a contact list that is "),
        (Fault::Trickle, "GET /user/contacts: no complete answer within 5s"),
        (Fault::TruncatedJson, "GET /user/contacts: the answer is "),
    ] {
        stage.gateway.set_faults(Rule::new(fault.clone(), When::Always).on_path(CONTACTS)).unwrap();
        let end = stage.sync().await;
        assert_eq!((end.state, end.jobs.total), (SyncState::Failed, 0), "{fault:?}");
        let error = end.error.unwrap();
        assert!(error.starts_with(said), "{fault:?}: {error}");
    }
    assert_eq!(stage.world.number("SELECT count(*) FROM contacts").await, 0, "nothing of a broken list is kept");
    processes_stayed_small(&stage);
}

#[tokio::test]
async fn a_contact_list_of_many_pieces_is_read_once_and_planned_whole() {
    let slow = Limit { rate_per_second: 0.2, burst: 1, concurrency: 1 };
    let population = Population { share_paired: 0.2, ..people(4_500) };
    let stage = Stage::with(population, slow, &[]).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until(|status| status.state == SyncState::Running).await;
    let planned = stage.api.status(sync).await;
    let keys: usize = stage.gateway.truth().persons().iter().map(|person| person.listed_keys().count()).sum();
    assert_eq!(planned.jobs.total, audit::count(2 * keys), "the list does not say which records are one person");
    assert_eq!(stage.gateway.calls().count(is_contacts), 1);
    assert_eq!(stage.world.number("SELECT count(*) FROM listed_pages").await, 0);
    let contacts = stage.world.number("SELECT count(*) FROM contacts").await;
    assert_eq!(contacts, audit::count(keys));
    processes_stayed_small(&stage);
    stage.api.steer(sync, "cancel").await;
}

/// Two jobs each. `./just million` has half a million of them.
fn persons_of_a_long_sync() -> u32 {
    environment::text("SINCRO_TEST_PERSONS").map_or(5_000, |persons| persons.parse().unwrap())
}

#[tokio::test]
async fn redis_and_the_processes_are_as_small_after_a_long_sync_as_before_it() {
    let persons = persons_of_a_long_sync();
    let redis = Redis::alone().await;
    let world = World::on(Some(redis.url()), None, &[]).await;
    let gateway = Settings { population: Population { share_paired: 0.0, ..people(persons) }, ..Settings::default() };
    let fast = Limit { rate_per_second: 10_000.0, burst: 100, concurrency: 64 };
    let mut stage = Stage::set(world, gateway, fast).await;
    // The channel and its server are known; what is compared is what is left when nobody works.
    let phone = stage.gateway.truth().persons()[0].phone_jid.clone().unwrap();
    let ticket = stage.api.start_ticket(stage.channel, &phone, 1).await;
    assert_eq!(stage.api.end_of(ticket.id).await.state, SyncState::Completed);
    let (before, known) = at_rest(&mut stage, &redis).await;

    stage.api = stage.world.api().await;
    stage.worker = stage.world.worker().await;
    let sync = stage.api.start_sync(stage.channel, 1).await;
    let mut events = stage.api.follow(sync.id).await;
    let end = loop {
        let status = within("news of the sync", events.next()).await.unwrap();
        if status.state.is_terminal() {
            break status;
        }
    };
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 2 * i64::from(persons)));
    processes_stayed_small(&stage);
    let (worker, api) = (stage.worker.peak_memory_mb(), stage.api.process.peak_memory_mb());
    let (after, left) = at_rest(&mut stage, &redis).await;
    let new: Vec<&String> = left.difference(&known).collect();
    assert!(new.len() <= 1 && new.iter().all(|key| key.contains("}:sync:")), "left behind: {new:?}");
    assert!(after * 100 <= before * 105, "{before} bytes before, {after} after");
    let jobs = end.jobs.total;
    announce(&format!(
        "{jobs} jobs: worker {worker} MB, API {api} MB at most; Redis {before} bytes before, {after} after"
    ));
}

/// What Redis uses, and its keys, when nobody works and what it keeps for a minute is gone.
async fn at_rest(stage: &mut Stage, redis: &Redis) -> (u64, BTreeSet<String>) {
    for process in [&mut stage.worker, &mut stage.api.process] {
        process.terminate();
        assert!(process.exit().await.success());
    }
    let mut keys: BTreeSet<String> = stage.world.queue.keys().into_iter().collect();
    for key in keys.clone() {
        // -1 for a key that stays, -2 for one that is gone by now.
        let left_ms: i64 = redis.ask(&["PTTL", &key]).await.unwrap();
        assert!(left_ms <= HOUR_MS, "{key} is kept for {left_ms} ms");
        if left_ms == -2 || (0..=MINUTES_MS).contains(&left_ms) {
            let _: () = redis.ask(&["DEL", &key]).await.unwrap();
            keys.remove(&key);
        }
    }
    // What Redis keeps for itself: the scripts it has met, how long each kind of command took, and which calls were slow.
    for command in [["SCRIPT", "FLUSH"], ["CONFIG", "RESETSTAT"], ["SLOWLOG", "RESET"]] {
        let _: () = redis.ask(&command).await.unwrap();
    }
    let info: String = redis.ask(&["INFO", "memory"]).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    (used.trim().parse().unwrap(), keys)
}

#[tokio::test]
async fn a_job_that_nobody_can_read_fails_with_the_cause_and_the_sync_ends() {
    let stage = Stage::with(people(10), FAST, &[]).await;
    stage.api.steer_channel(stage.channel, "pause").await;
    stage.world.until_heard().await;
    let person = stage.gateway.truth().persons()[0].clone();
    let person = Person { phone_jid: person.phone_jid, lid: person.lid, name: None };
    let sync = stage.api.start_sync_of(stage.channel, 25, &[person]).await.id;
    let garbled = "UPDATE jobs SET step = '{\"x\": 1}' WHERE state = 'queued' AND address_kind = 'phone'";
    sqlx::query(garbled).execute(&stage.world.sql).await.unwrap();
    stage.api.steer_channel(stage.channel, "resume").await;
    let end = stage.api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 1));
    let jobs = stage.api.jobs(sync).await;
    let failed: Vec<&JobLine> = jobs.iter().filter(|job| job.state == JobState::Failed).collect();
    let [job] = failed[..] else { panic!("{failed:?}") };
    assert_eq!((job.reason.as_deref(), job.attempts), (Some("unreadable"), 5));
    assert!(job.last_error.as_deref().is_some_and(|error| error.contains("cannot be read")), "{job:?}");
    audit::receipt_adds_up(&stage.api.receipt(sync).await, &end);
}

#[tokio::test]
async fn the_receipt_of_a_sync_that_ended_long_ago_keeps_its_totals_and_says_that_its_lines_are_gone() {
    let stage = Stage::of(people(10)).await;
    let end = stage.sync().await;
    let before = stage.api.receipt(end.id).await;
    sqlx::query("UPDATE syncs SET finished_at = finished_at - interval '91 days'")
        .execute(&stage.world.sql)
        .await
        .unwrap();
    let janitor = stage.world.worker().await;
    janitor.said("jobs of old syncs are deleted").await;
    let after = stage.api.receipt(end.id).await;
    assert!(after.pruned_at.is_some() && after.lines.is_empty());
    assert_eq!((after.contacts, &after.jobs, &after.messages), (before.contacts, &before.jobs, &before.messages));
    assert_eq!(stage.world.number("SELECT count(*) FROM jobs").await, 0);
    audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), 25).await;
    assert_eq!(stage.api.ask_to(end.id, "retry").await.refused(409), "sync_over");
}
