//! A channel sync from request to receipt.

use std::collections::{BTreeMap, BTreeSet};

use sincro_core::{
    address::AddressKind,
    job::JobState,
    sync::{SyncKind, SyncState},
};
use sincro_simulator::{Fault, Faults, KnownBy, Population, Rule, Settings, When};

use crate::support::{
    Person, Stage, World, audit,
    audit::count,
    gateway::{is_contacts, is_history, is_lookup, people},
    stage::FAST,
};

#[tokio::test]
async fn a_thousand_contacts_end_as_two_thousand_finished_jobs_each_address_asked_once() {
    let stage = Stage::of(people(1_000)).await;
    let end = stage.sync().await;

    assert_eq!((end.state, end.kind), (SyncState::Completed, SyncKind::Channel));
    assert_eq!((end.jobs.total, end.jobs.settled(), end.jobs.failed), (2_000, 2_000, 0));
    assert!((end.progress - 1.0).abs() < f64::EPSILON);
    assert!(end.started_at.is_some() && end.finished_at >= end.started_at && end.error.is_none());
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;

    let truth = stage.gateway.truth();
    let once = |addresses: &mut dyn Iterator<Item = &str>| -> BTreeMap<String, usize> {
        addresses.map(|address| (address.to_owned(), 1)).collect()
    };
    assert_eq!(stage.gateway.reads_per_address(), once(&mut truth.addresses()), "each chat is read once");
    let mut phones = truth.persons().iter().filter_map(|person| person.phone_jid.as_deref());
    assert_eq!(stage.gateway.lookups_per_phone(), once(&mut phones), "each LID is looked up once");
    let calls = stage.gateway.calls();
    assert_eq!(calls.count(is_contacts), 1);
    assert_eq!(calls.count(|call| !is_contacts(call) && !is_lookup(call) && !is_history(call)), 0);
}

#[tokio::test]
async fn a_rerun_stores_nothing_new_and_looks_up_only_what_nobody_knows() {
    let stage = Stage::of(Population { share_without_lid: 0.2, ..people(80) }).await;
    let first = stage.sync().await;
    stage.gateway.calls().clear();
    let second = stage.sync().await;

    assert_eq!(second.state, SyncState::Completed);
    assert_eq!(second.messages.stored, 0);
    assert_eq!(second.messages.duplicate, first.messages.fetched);
    let truth = stage.gateway.truth();
    audit::messages_are_the_truth(&stage.api, stage.channel, &truth, 25).await;
    let receipt = stage.api.receipt(second.id).await;
    audit::receipt_adds_up(&receipt, &second);
    audit::receipt_tells_the_truth(&receipt, &truth, 25);
    let unknown: BTreeMap<String, usize> = truth
        .persons()
        .iter()
        .filter(|person| person.known_by == KnownBy::PhoneWithoutLid)
        .filter_map(|person| Some((person.phone_jid.clone()?, 1)))
        .collect();
    assert!(!unknown.is_empty());
    assert_eq!(stage.gateway.lookups_per_phone(), unknown);
}

#[tokio::test]
async fn as_many_messages_are_asked_for_as_were_wanted() {
    let stage = Stage::of(Population { messages_mean: 60, messages_max: 120, ..people(12) }).await;
    for messages in [1, 100] {
        let sync = stage.api.start_sync(stage.channel, messages).await;
        let end = stage.api.end_of(sync.id).await;
        let wanted = usize::try_from(messages).unwrap();
        assert_eq!(end.messages.fetched, count(stage.gateway.truth().expected_rows(wanted)));
        audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), wanted).await;
    }
}

#[tokio::test]
async fn characters_that_postgres_cannot_keep_sink_no_message() {
    let stage = Stage::of(Population { share_with_nul: 0.5, ..people(30) }).await;
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_contact_list_in_the_request_is_planned_at_once_and_nobody_else_is_asked() {
    let stage = Stage::of(Population { share_without_lid: 0.0, ..people(60) }).await;
    let truth = stage.gateway.truth();
    let listed = &truth.persons()[..30];
    let persons: Vec<Person> = listed
        .iter()
        .enumerate()
        .map(|(i, person)| Person {
            phone_jid: person.phone_jid.clone().filter(|_| i % 3 != 0),
            lid: person.lid.clone().filter(|_| i % 3 != 1),
            name: Some(format!("Person {i}")),
        })
        .collect();

    let sync = stage.api.start_sync_of(stage.channel, 25, &persons).await;
    assert_eq!(sync.state, SyncState::Running);
    assert_eq!((sync.jobs.total, sync.jobs.skipped), (60, 10), "who is known by LID only has no phone job");
    let end = stage.api.end_of(sync.id).await;

    assert_eq!(end.state, SyncState::Completed);
    assert_eq!(stage.gateway.calls().count(is_contacts), 0);
    let lookups: BTreeSet<String> = stage.gateway.lookups_per_phone().into_keys().collect();
    let phone_only: BTreeSet<String> =
        persons.iter().filter(|person| person.lid.is_none()).filter_map(|person| person.phone_jid.clone()).collect();
    assert_eq!(lookups, phone_only);
    let asked: BTreeSet<String> = stage.gateway.reads_per_address().into_keys().collect();
    let lids = listed.iter().filter_map(|person| person.lid.clone());
    let phones = persons.iter().filter_map(|person| person.phone_jid.clone());
    assert_eq!(asked, lids.chain(phones).collect());
    let receipt = stage.api.receipt(sync.id).await;
    audit::receipt_adds_up(&receipt, &end);
    let names: BTreeSet<_> = receipt.lines.iter().filter_map(|line| line.name.clone()).collect();
    assert_eq!(names.len(), 30);
    assert!(names.contains("Person 29"));
}

#[tokio::test]
async fn a_ticket_sync_reads_both_addresses_of_one_person() {
    let stage = Stage::of(Population { share_without_lid: 0.0, share_empty: 0.0, ..people(20) }).await;
    let truth = stage.gateway.truth();
    let person = &truth.persons()[7];
    let (phone, lid) = (person.phone_jid.as_deref().unwrap(), person.lid.as_deref().unwrap());

    let sync = stage.api.start_ticket(stage.channel, phone, 100).await;
    assert_eq!((sync.kind, sync.jobs.total), (SyncKind::Contact, 2));
    let end = stage.api.end_of(sync.id).await;

    assert_eq!(end.state, SyncState::Completed);
    let asked = BTreeMap::from([(phone.to_owned(), 1), (lid.to_owned(), 1)]);
    assert_eq!(stage.gateway.reads_per_address(), asked);
    assert_eq!(stage.gateway.calls().count(is_contacts), 0);
    let expected = union(&truth, person.addresses(), 100);
    assert_eq!(ids_of(&stage, phone).await, expected);

    // What was learned stays: the same person by the other address needs no lookup.
    stage.gateway.calls().clear();
    let again = stage.api.start_ticket(stage.channel, lid, 100).await;
    let end = stage.api.end_of(again.id).await;
    assert_eq!((end.state, end.messages.stored), (SyncState::Completed, 0));
    assert_eq!(stage.gateway.reads_per_address(), asked);
    assert_eq!(stage.gateway.calls().count(is_lookup), 0);
}

#[tokio::test]
async fn a_ticket_sync_goes_ahead_of_the_bulk_sync_of_its_channel() {
    let slow = sincro_core::limit::Limit { rate_per_second: 20.0, burst: 1, concurrency: 1 };
    let stage = Stage::with(people(300), slow, &[]).await;
    let bulk = stage.start().await;
    stage.api.follow(bulk).await.until_settled(5).await;
    let truth = stage.gateway.truth();
    let last = truth.persons().last().unwrap().phone_jid.clone().unwrap();

    let ticket = stage.api.start_ticket(stage.channel, &last, 25).await;
    let before = stage.gateway.calls().count(|_| true);
    let end = stage.api.end_of(ticket.id).await;
    assert_eq!(end.state, SyncState::Completed);
    let calls = stage.gateway.calls().all();
    let first = calls.iter().position(|call| call.address.as_deref() == Some(&*last)).expect("the ticket was served");
    assert!(first <= before + 1, "{} calls went before the ticket's first", first - before);
    assert!(!stage.api.status(bulk).await.state.is_terminal(), "the bulk sync is not through yet");
    stage.api.steer(bulk, "cancel").await;
}

#[tokio::test]
async fn persons_known_by_phone_by_lid_or_by_both_are_all_accounted_for() {
    let stage = Stage::of(Population { share_lid_only: 0.3, share_without_lid: 0.3, ..people(100) }).await;
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 200));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let lid_only = stage.gateway.truth().persons().iter().filter(|person| person.known_by == KnownBy::LidOnly).count();
    let receipt = stage.api.receipt(end.id).await;
    let phoneless = receipt.lines.iter().filter(|line| line.reason.as_deref() == Some("phone unknown")).count();
    assert!(lid_only > 0);
    assert_eq!(phoneless, lid_only);
}

#[tokio::test]
async fn records_that_turn_out_to_be_one_person_are_merged_and_read_together() {
    let stage = Stage::of(Population { share_paired: 0.5, share_without_lid: 0.1, ..people(80) }).await;
    let truth = stage.gateway.truth();
    let both: Vec<_> = truth.persons().iter().filter(|person| person.known_by == KnownBy::Both).collect();
    assert!(both.len() > 20);

    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, count(2 * (80 + both.len()))));
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 1), "each chat is read once all the same");
    audit::messages_are_the_truth(&stage.api, stage.channel, &truth, 25).await;
    let receipt = stage.api.receipt(end.id).await;
    audit::receipt_adds_up(&receipt, &end);
    assert_eq!(receipt.contacts, 80);
    for person in &both {
        let (phone, lid) = (person.phone_jid.as_deref().unwrap(), person.lid.as_deref().unwrap());
        let contact = receipt.lines.iter().find(|line| line.address.as_deref() == Some(phone)).unwrap().contact_id;
        let lines = receipt.lines.iter().filter(|line| line.contact_id == contact);
        let mut outcomes: Vec<_> =
            lines.map(|line| (line.address_kind.unwrap(), line.outcome, line.reason.as_deref())).collect();
        outcomes.sort_unstable();
        let read = |address| if truth.chat(address, 25).is_empty() { JobState::Empty } else { JobState::Succeeded };
        let mut expected = vec![
            (AddressKind::Phone, read(phone), None),
            (AddressKind::Phone, JobState::Skipped, Some("phone unknown")),
            (AddressKind::Lid, read(lid), None),
            (AddressKind::Lid, JobState::Skipped, Some("asked by another job")),
        ];
        expected.sort_unstable();
        assert_eq!(outcomes, expected, "{person:?}");
        let together = union(&truth, person.addresses(), 25);
        assert_eq!(ids_of(&stage, phone).await, together);
        assert_eq!(ids_of(&stage, lid).await, together);
    }

    let again = stage.sync().await;
    assert_eq!((again.state, again.jobs.total), (SyncState::Completed, 160), "from now on they are one person");
    assert_eq!(again.messages.stored, 0);
}

#[tokio::test]
async fn two_channels_of_one_server_do_not_mix() {
    let tokens = vec!["first".to_owned(), "second".to_owned()];
    let gateway = Settings { population: people(50), tokens, ..Settings::default() };
    let stage = Stage::set(World::new().await, gateway, FAST).await;
    let other = stage.api.create_channel_with(&stage.gateway, "second", FAST).await;
    let (first, second) = (stage.start().await, stage.api.start_sync(other, 25).await.id);
    assert_eq!(stage.api.end_of(first).await.state, SyncState::Completed);
    assert_eq!(stage.api.end_of(second).await.state, SyncState::Completed);
    for (channel, token) in [(stage.channel, "first"), (other, "second")] {
        let truth = stage.gateway.truth_of(token).unwrap();
        audit::messages_are_the_truth(&stage.api, channel, &truth, 25).await;
    }
}

#[tokio::test]
async fn the_views_say_what_the_api_says() {
    let stage = Stage::of(people(60)).await;
    let truth = stage.gateway.truth();
    let phones: Vec<_> = truth.persons().iter().filter_map(|person| person.phone_jid.as_deref()).collect();
    let redirected = phones[..3].iter().map(|phone| {
        Rule::new(Fault::Redirect { location: None }, When::Always).on_address(phone).on_path("/chat/history")
    });
    let disabled = phones[3..5].iter().map(|phone| Rule::new(Fault::HistoryDisabled, When::Always).on_address(phone));
    stage.gateway.set_faults(Faults { seed: 0, rules: redirected.chain(disabled).collect() }).unwrap();
    let end = stage.sync().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::CompletedWithFailures, 5));
    let receipt = stage.api.receipt(end.id).await;
    audit::receipt_adds_up(&receipt, &end);

    let [status] = &stage.world.rows("SELECT * FROM sync_status").await[..] else { panic!("one sync, one row") };
    let jobs = end.jobs;
    for (column, number) in [
        ("jobs_total", jobs.total),
        ("jobs_queued", jobs.queued),
        ("jobs_delayed", jobs.delayed),
        ("jobs_awaiting", jobs.awaiting),
        ("jobs_succeeded", jobs.succeeded),
        ("jobs_empty", jobs.empty),
        ("jobs_skipped", jobs.skipped),
        ("jobs_failed", jobs.failed),
        ("jobs_cancelled", jobs.cancelled),
        ("messages_fetched", end.messages.fetched),
        ("messages_stored", end.messages.stored),
        ("messages_duplicate", end.messages.duplicate),
        ("revision", end.revision),
    ] {
        assert_eq!(status[column], number, "{column}");
    }
    assert_eq!((&status["state"], &status["sync_id"]), (&"completed_with_failures".into(), &end.id.to_string().into()));

    let by_outcome =
        "SELECT outcome, count(*), sum(fetched) AS fetched, sum(stored) AS stored, sum(duplicate) AS duplicate
                      FROM contact_receipts GROUP BY outcome";
    let rows = stage.world.rows(by_outcome).await;
    let sum = |column: &str| rows.iter().map(|row| row[column].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("count"), sum("fetched")), (jobs.total, end.messages.fetched));
    assert_eq!((sum("stored"), sum("duplicate")), (end.messages.stored, end.messages.duplicate));
    for row in &rows {
        let lines = receipt.lines.iter().filter(|line| row["outcome"] == line.outcome.as_str()).count();
        assert_eq!(row["count"], count(lines), "{row}");
    }

    let reasons = stage.world.rows("SELECT * FROM failure_reasons ORDER BY reason").await;
    let told: Vec<_> =
        reasons.iter().map(|row| (row["reason"].as_str().unwrap(), row["jobs"].as_i64().unwrap())).collect();
    assert_eq!(told, [("history_disabled", 2), ("redirect", 3)]);
    assert!(
        reasons.iter().all(|row| row["example"].as_str().unwrap().starts_with("GET /chat/history: ")),
        "{reasons:?}"
    );

    let job_rows =
        stage.world.number("SELECT count(*) FROM job_status WHERE kind = 'history' AND state = 'failed'").await;
    assert_eq!(job_rows, 5);
    let [channel] = &stage.world.rows("SELECT * FROM channel_status").await[..] else { panic!("one channel, one row") };
    assert_eq!(
        (&channel["contacts"], &channel["open_jobs"], &channel["failed_jobs"]),
        (&60.into(), &0.into(), &5.into())
    );
    assert_eq!(channel["messages_stored"], end.messages.stored);
}

#[tokio::test]
async fn an_event_stream_ends_with_the_sync_and_is_not_resumed_after_that() {
    let stage = Stage::of(people(40)).await;
    let sync = stage.start().await;
    let mut follower = stage.api.follow(sync).await;
    let end = follower.end().await;
    assert!(follower.is_closed().await);
    let events = stage.api.request(reqwest::Method::GET, &format!("/v1/syncs/{sync}/events"));
    let seen = stage.api.send(events.header("Last-Event-ID", end.revision)).await;
    assert_eq!((seen.status, seen.body.as_str()), (204, ""));
    assert_eq!(stage.api.status(sync).await, end);
}

/// The ids that these addresses yield together.
fn union<'a>(
    truth: &sincro_simulator::Truth,
    addresses: impl Iterator<Item = &'a str>,
    messages: usize,
) -> BTreeSet<String> {
    addresses.flat_map(|address| truth.chat(address, messages)).map(|message| message.message_id).collect()
}

/// The ids that are read under an address, all of them one contact's.
async fn ids_of(stage: &Stage, address: &str) -> BTreeSet<String> {
    let messages = stage.api.messages_of(stage.channel, address).await;
    let contacts: BTreeSet<i64> = messages.iter().map(|message| message.contact_id).collect();
    assert!(contacts.len() <= 1, "messages of {address} belong to {contacts:?}");
    messages.into_iter().map(|message| message.message_id).collect()
}
