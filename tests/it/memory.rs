//! Answers without end, long contact lists, rows that nobody can read, and what is over long enough: nothing of it may cost
//! more memory than there is.

use sincro_core::{
    job::{JobLine, JobState},
    limit::Limit,
    sync::SyncState,
};
use sincro_simulator::{Fault, Faults, Population, Rule, When};

use crate::support::{Person, Stage, audit, gateway::is_contacts, people, stage::FAST};

const CONTACTS: &str = "/user/contacts";
const HISTORY: &str = "/chat/history";
/// What a worker may have in memory at once here: its own needs as a debug build, the room for answers three times (the
/// bytes, the messages, the statement), and one answer of full length likewise.
const BOUND_MB: u64 = 160;

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
    let peak = stage.worker.peak_memory_mb();
    assert!(peak < BOUND_MB, "the worker took {peak} MB");

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
    let peak = stage.worker.peak_memory_mb();
    assert!(peak < BOUND_MB, "the worker took {peak} MB");
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
    stage.api.steer(sync, "cancel").await;
}

#[tokio::test]
async fn a_job_that_nobody_can_read_fails_with_the_cause_and_the_sync_ends() {
    let stage = Stage::with(people(10), FAST, &[]).await;
    stage.api.steer_channel(stage.channel, "pause").await;
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
