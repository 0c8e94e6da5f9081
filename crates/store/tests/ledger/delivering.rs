//! What webhooks tell, as the ledger takes it: credited to whom it is for, counted once, lost never.
//! Longer than most files: all its tests stand on the helpers below.

mod late;
mod phones;
mod restored;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::{Awaits, Completion, Pace, Waits},
    clock,
    contact::Contact,
    hook::{Batch, Event, Progress, Source},
    job::{Await, Ending, Failure, Job, JobState, NothingReason, Outcome, Step},
    message::{Message, Pairing},
    provider::{Capabilities, Provider},
    sync::{SyncId, SyncKind, SyncState},
};
use sincro_store::{
    awaiting::{Due, Looked},
    inbox::{Arrival, InboxId},
    requests::{Leave, Request},
    settle::Recorded,
    syncs::NewSync,
};
use uuid::Uuid;

use crate::world::{AT_ONCE, ATTEMPTS, World, by_both, by_lid, by_phone, ids_of, lid, message, phone};

const POSITUS: Capabilities =
    Capabilities { contact_list: false, ..Capabilities::per_account(Provider::Positus, Completion::Progress) };
const WSAPI: Capabilities = Capabilities {
    contact_list: false,
    top_up: true,
    ..Capabilities::per_account(Provider::Wsapi, Completion::Quiescence)
};
const LEASE: TimeDelta = TimeDelta::seconds(60);

fn waits() -> Waits {
    Waits::default()
}

impl World {
    /// A channel sync of a number whose history comes as a whole, with its one job, about to make its request.
    async fn account_sync(&self, capabilities: Capabilities, window_days: Option<u16>) -> (SyncId, Job) {
        let wanted = NewSync { capabilities, window_days, ..self.wanted(None) };
        let created = self.store.create_sync(wanted).await.unwrap();
        let job = self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
        let next = self.settlement(&job, Outcome::Next(Step::RequestHistory), Vec::new());
        self.settle(&[next]).await;
        (created.id, self.jobs(&[job.id]).await.remove(0))
    }

    /// The request of a job is written down, as before a call.
    async fn armed(&self, job: &Job, rule: Completion) -> Leave {
        let fence = self.fence(job, job.attempts + 1);
        let request = Request { awaits: Awaits::Delivery, rule, once: None, token: Uuid::now_v7() };
        self.store.begin_request(job, fence, request, &AT_ONCE).await.unwrap().unwrap()
    }

    /// The request of a job was taken: it waits.
    async fn awaits(&self, job: &Job, awaits: Awaits, rule: Completion) -> Recorded {
        let until = clock::now() + TimeDelta::hours(1);
        let wait = Await { awaits, rule, until, uncertain: false, step: job.step.clone() };
        self.settle(&[self.settlement(job, Outcome::Await(wait), Vec::new())]).await.recorded[0]
    }

    async fn arrived(&self) -> InboxId {
        let channel = self.channel.id;
        let arrival = Arrival { channel, content_type: "application/json".to_owned(), verified: true };
        self.store.keep_hook(&arrival, b"{}").await.unwrap()
    }

    async fn tell(&self, events: Vec<Event>) {
        let inbox = self.arrived().await;
        self.store.ingest(inbox, self.channel.id, 0, &events, LEASE).await.unwrap();
        self.store.hook_read(inbox, &BTreeMap::new(), false).await.unwrap();
    }

    async fn look(&self, job: &Job, capabilities: Capabilities, at: DateTime<Utc>) -> Looked {
        let due = Due { job: job.id, channel: self.channel.id, provider: capabilities.provider };
        self.store.look_at(due, &waits(), capabilities, ATTEMPTS, at).await.unwrap()
    }
}

fn history(chat: Contact, messages: &[&str]) -> Event {
    batch(Source::History, chat, messages)
}

fn batch(source: Source, chat: Contact, messages: &[&str]) -> Event {
    let messages: Vec<Message> = messages.iter().map(|id| message(id)).collect();
    Event::Messages(Batch { source, chat, messages, exhausted: false })
}

fn percent(percent: u32) -> Event {
    Event::Progress(Progress { phase: Some(1), chunk: Some(1), percent: Some(percent), conversations: None })
}

fn in_an_hour() -> DateTime<Utc> {
    clock::now() + TimeDelta::minutes(59)
}

#[tokio::test]
async fn a_delivery_is_credited_contact_by_contact_and_the_receipt_adds_up() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    assert_eq!(world.armed(&job, Completion::Progress).await, Leave::Go);
    assert_eq!(world.awaits(&job, Awaits::Delivery, Completion::Progress).await, Recorded::Awaiting);
    world.tell(vec![Event::Contacts(vec![by_phone(3)]), percent(40), history(by_phone(1), &["a", "b"])]).await;
    world.tell(vec![history(by_phone(2), &["c"]), history(by_phone(1), &["b", "d"]), percent(100)]).await;
    let status = world.status(sync).await;
    assert_eq!((status.messages.fetched, status.messages.stored, status.messages.duplicate), (5, 4, 1));
    assert_eq!((status.state, status.jobs.awaiting, status.jobs.total), (SyncState::Running, 1, 1));
    let looked = world.look(&job, POSITUS, in_an_hour()).await;
    assert_eq!(looked.ended, Some(JobState::Succeeded));
    assert_eq!(world.status(sync).await.state, SyncState::Completed);
    let receipt = world.store.receipt(sync, 0, 100).await.unwrap();
    let lines: Vec<_> = receipt
        .lines
        .iter()
        .map(|line| (line.contact_id.is_some(), line.fetched, line.stored, line.outcome, line.reason.as_deref()))
        .collect();
    assert_eq!(
        lines,
        [
            (false, 0, 0, JobState::Succeeded, None),
            (true, 4, 3, JobState::Succeeded, None),
            (true, 1, 1, JobState::Succeeded, None),
            (true, 0, 0, JobState::Empty, Some("nothing received")),
        ]
    );
    assert_eq!(receipt.contacts, 3);
}

#[tokio::test]
async fn what_comes_before_the_answer_to_its_request_is_the_jobs_already() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.tell(vec![history(by_phone(1), &["a"]), percent(100)]).await;
    assert_eq!(world.awaits(&job, Awaits::Delivery, Completion::Progress).await, Recorded::Awaiting);
    assert_eq!(world.look(&job, POSITUS, in_an_hour()).await.ended, Some(JobState::Succeeded));
    assert_eq!(world.status(sync).await.messages.stored, 1);
}

#[tokio::test]
async fn what_nobody_waits_for_is_stored_and_credited_to_none() {
    let world = World::new().await;
    world.tell(vec![history(by_phone(1), &["a"]), batch(Source::Live, by_lid(2), &["b"]), percent(100)]).await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![batch(Source::Live, by_phone(1), &["c"]), batch(Source::OnDemand, by_phone(1), &["d"])]).await;
    assert_eq!(
        world.status(sync).await.messages.fetched,
        0,
        "new messages and answers to other requests are not its own"
    );
    assert_eq!(world.count("SELECT count(*) FROM messages WHERE job_id IS NULL").await, 4);
    assert_eq!(world.count("SELECT count(*) FROM messages WHERE origin = 'live'").await, 2);
    assert_eq!(world.look(&job, POSITUS, in_an_hour()).await.ended, None, "it waits on");
}

#[tokio::test]
async fn a_piece_that_is_read_again_after_a_crash_counts_once() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    let inbox = world.arrived().await;
    let events = [history(by_phone(1), &["a"])];
    for expected in [false, true] {
        let ingested = world.store.ingest(inbox, world.channel.id, 0, &events, LEASE).await.unwrap();
        assert_eq!(ingested.overtaken, expected);
    }
    assert_eq!(world.status(sync).await.messages.fetched, 1);
}

#[tokio::test]
async fn what_is_older_than_the_window_is_counted_and_not_stored() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, Some(30)).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    let mut messages = vec![message("new"), message("old")];
    messages[1].sent_at -= TimeDelta::days(31);
    let chat = by_phone(1);
    world.tell(vec![Event::Messages(Batch { source: Source::History, chat, messages, exhausted: false })]).await;
    let status = world.status(sync).await;
    assert_eq!((status.messages.fetched, status.messages.stored, status.messages.left_out), (1, 1, 1));
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 1);
    assert_eq!(world.count("SELECT sum(left_out) FROM contact_receipts").await, 1);
}

#[tokio::test]
async fn persons_that_turn_out_to_be_one_midway_have_one_thread_and_one_line() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![history(by_phone(1), &["a"])]).await;
    world.tell(vec![history(by_lid(1), &["b"])]).await;
    assert_eq!(world.count("SELECT count(DISTINCT contact_id) FROM messages").await, 2);
    let pairing = Pairing { phone: phone(1), lid: lid(1) };
    world.tell(vec![Event::Pairings(vec![pairing]), history(by_lid(1), &["c"])]).await;
    assert_eq!(world.count("SELECT count(DISTINCT contact_id) FROM messages").await, 1);
    world.tell(vec![history(by_both(2), &["d"]), history(by_lid(2), &["e"])]).await;
    assert_eq!(world.count("SELECT count(DISTINCT contact_id) FROM messages").await, 2);
    world.look(&job, POSITUS, in_an_hour()).await;
    let receipt = world.store.receipt(sync, 0, 100).await.unwrap();
    assert_eq!(receipt.contacts, 2);
    assert_eq!(receipt.lines.iter().map(|line| line.fetched).sum::<i64>(), 5);
}

#[tokio::test]
async fn a_late_asset_completes_its_message_whichever_of_both_comes_first() {
    let world = World::new().await;
    for (first, second) in [("placeholder", "asset"), ("asset", "placeholder")] {
        for part in [first, second] {
            let mut event = history(by_phone(1), &[if first == "asset" { "early" } else { "late" }]);
            let Event::Messages(Batch { source, messages, .. }) = &mut event else { unreachable!() };
            if part == "asset" {
                *source = Source::LateAsset;
                messages[0].kind = sincro_core::message::MessageKind::Image;
                messages[0].text = Some("caption".to_owned());
            } else {
                messages[0].kind = sincro_core::message::MessageKind::Unknown;
                messages[0].text = None;
            }
            world.tell(vec![event]).await;
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM messages WHERE kind = 'image' AND text = 'caption'").await, 2);
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 2);
}

#[tokio::test]
async fn a_decline_and_a_completion_reach_the_job_and_one_from_before_the_request_does_not() {
    let world = World::new().await;
    let (_, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Event).await;
    world.awaits(&job, Awaits::Delivery, Completion::Event).await;
    world.tell(vec![Event::Complete(Some(clock::now() - TimeDelta::minutes(5)))]).await;
    assert_eq!(world.look(&job, POSITUS, in_an_hour()).await.ended, None);
    world.tell(vec![Event::Complete(Some(clock::now() + TimeDelta::seconds(1)))]).await;
    assert_eq!(world.look(&job, POSITUS, in_an_hour()).await.ended, Some(JobState::Empty));
    let reason = world.row("SELECT reason FROM jobs WHERE kind = 'account'").await;
    assert_eq!(reason["reason"], NothingReason::NoBodies.as_str());

    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![Event::Declined(Failure::new("declined", "2593109: the owner declined"))]).await;
    assert_eq!(world.look(&job, POSITUS, clock::now()).await.ended, Some(JobState::Failed));
    assert_eq!(world.status(sync).await.state, SyncState::CompletedWithFailures);
}

#[tokio::test]
async fn what_was_missing_at_the_deadline_stands_on_the_receipt() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![history(by_phone(1), &["a"]), percent(55)]).await;
    let status = world.status(sync).await;
    assert_eq!(status.delivery.as_deref(), Some("delivery: phase 1, chunk 1, 55 %, 1 messages"));
    assert!((status.progress - 0.55).abs() < 1e-9, "{}", status.progress);
    assert_eq!(
        world.row("SELECT limited_by FROM sync_status").await["limited_by"],
        "delivery: phase 1, chunk 1, 55 %, 1 messages"
    );
    let waiting = world.row("SELECT state, waiting_for, awaiting_until FROM job_status").await;
    assert_eq!(waiting["waiting_for"], "delivery: phase 1, chunk 1, 55 %, 1 messages");
    assert!(waiting["awaiting_until"].is_string());
    world.look(&job, POSITUS, clock::now() + TimeDelta::hours(2)).await;
    let line = world.store.receipt(sync, 0, 1).await.unwrap().lines.remove(0);
    assert_eq!((line.outcome, line.reason.as_deref()), (JobState::Succeeded, Some("partial")));
    assert!(line.last_error.unwrap().contains("55 %"));
}

#[tokio::test]
async fn behind_a_flush_each_chat_with_too_few_messages_is_asked_about_once() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(WSAPI, None).await;
    world.armed(&job, Completion::Quiescence).await;
    world.awaits(&job, Awaits::Delivery, Completion::Quiescence).await;
    world.tell(vec![Event::Contacts(vec![by_phone(3)]), history(by_both(1), &["a"]), history(by_lid(2), &["b"])]).await;
    let looked = world.look(&job, WSAPI, in_an_hour()).await;
    assert_eq!(looked.ended, Some(JobState::Succeeded));
    let ids: Vec<_> = looked.notices.iter().flat_map(ids_of).collect();
    let jobs = world.jobs(&ids).await;
    let steps: Vec<_> = jobs.iter().map(|job| job.step.clone()).collect();
    assert_eq!(steps, [Step::TopUp { address: phone(1) }, Step::TopUp { address: lid(2) }]);
    assert_eq!(world.status(sync).await.state, SyncState::Running);
    let anchor = world.store.anchor(&jobs[1], true).await.unwrap().unwrap();
    assert_eq!(anchor.message_id, "b");
}

#[tokio::test]
async fn requests_whose_answers_could_be_confused_are_made_one_after_the_other() {
    let world = World::new().await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_phone(1), by_phone(2)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let jobs = world.jobs(&ids_of(&created.notice.unwrap())).await;
    assert_eq!(world.armed(&jobs[0], Completion::Reply).await, Leave::Go);
    assert_eq!(world.armed(&jobs[1], Completion::Reply).await, Leave::NotYet);
    world.awaits(&jobs[0], Awaits::Delivery, Completion::Reply).await;
    world.awaits(&jobs[1], Awaits::Turn, Completion::Reply).await;
    let given = async |gap| world.store.give_turns(&Pace { gap, ..AT_ONCE }, clock::now()).await;
    assert!(given(Duration::ZERO).await.unwrap().is_empty());
    world.tell(vec![history(by_phone(2), &["x"]), history(by_phone(1), &["a"])]).await;
    assert_eq!(world.status(created.id).await.messages.fetched, 1, "an answer about another chat is not its own");
    let exhausted =
        Event::Messages(Batch { source: Source::OnDemand, chat: by_phone(1), messages: Vec::new(), exhausted: true });
    world.tell(vec![exhausted]).await;
    assert_eq!(world.look(&jobs[0], WSAPI, clock::now()).await.ended, Some(JobState::Succeeded));
    assert!(given(Duration::from_hours(1)).await.unwrap().is_empty(), "turns are spaced");
    let notices = given(Duration::ZERO).await.unwrap();
    assert_eq!(notices.iter().flat_map(ids_of).collect::<Vec<_>>(), [jobs[1].id]);
    let again = world.jobs(&[jobs[1].id]).await.remove(0);
    assert_eq!(world.armed(&again, Completion::Reply).await, Leave::Go);
}

#[tokio::test]
async fn a_turn_whose_job_was_cancelled_is_free_again() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(WSAPI, None).await;
    world.armed(&job, Completion::Quiescence).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    assert_eq!(world.store.free_turns(&Waits::default(), clock::now()).await.unwrap(), 1);
    let (_, next) = world.account_sync(WSAPI, None).await;
    assert_eq!(world.armed(&next, Completion::Quiescence).await, Leave::Go);
}

#[tokio::test]
async fn the_first_sync_after_pairing_lets_go_on_whoever_waits_for_it() {
    let world = World::new().await;
    let (_, job) = world.account_sync(WSAPI, None).await;
    world.awaits(&job, Awaits::InitialSync, Completion::Quiescence).await;
    assert!(world.look(&job, WSAPI, clock::now()).await.notices.is_empty());
    world.tell(vec![Event::InitialSync(None)]).await;
    let looked = world.look(&job, WSAPI, clock::now()).await;
    assert_eq!(looked.notices.iter().flat_map(ids_of).collect::<Vec<_>>(), [job.id]);
}

#[tokio::test]
async fn a_webhook_is_read_by_one_at_a_time_and_by_another_when_its_reader_died() {
    let world = World::new().await;
    let inbox = world.arrived().await;
    let taken = world.store.take_hook(TimeDelta::seconds(60)).await.unwrap().unwrap();
    assert_eq!((taken.id, taken.attempts, taken.pieces_done), (inbox, 1, 0));
    assert_eq!(world.store.take_hook(TimeDelta::seconds(60)).await.unwrap(), None);
    world.execute("UPDATE inbox SET taken_until = now() - interval '1 second'").await;
    assert_eq!(world.store.take_hook(TimeDelta::seconds(60)).await.unwrap().unwrap().attempts, 2);
    assert_eq!(world.store.hook_body(inbox).await.unwrap(), b"{}");
    world.store.hook_unreadable(inbox, "no JSON").await.unwrap();
    world.execute("UPDATE inbox SET taken_until = NULL").await;
    assert_eq!(world.store.take_hook(TimeDelta::seconds(60)).await.unwrap(), None);
}

#[tokio::test]
async fn a_phone_that_answers_nothing_is_not_asked_about_everybody() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(WSAPI, None).await;
    world.armed(&job, Completion::Quiescence).await;
    world.awaits(&job, Awaits::Delivery, Completion::Quiescence).await;
    let chats = (1..=4).map(|n| history(by_phone(n), &[["a", "b", "c", "d"][n as usize - 1]]));
    world.tell(chats.collect()).await;
    let looked = world.look(&job, WSAPI, in_an_hour()).await;
    let ids: Vec<_> = looked.notices.iter().flat_map(ids_of).collect();
    let jobs = world.jobs(&ids).await;
    for waiting in &jobs[1..] {
        world.awaits(waiting, Awaits::Turn, Completion::Reply).await;
    }
    world.armed(&jobs[0], Completion::Reply).await;
    world.awaits(&jobs[0], Awaits::Delivery, Completion::Reply).await;
    assert_eq!(world.store.spare_silent_phones(1).await.unwrap().0, 0);
    world.look(&jobs[0], WSAPI, clock::now() + TimeDelta::hours(2)).await;
    assert_eq!(world.store.spare_silent_phones(2).await.unwrap().0, 0);
    assert_eq!(world.store.spare_silent_phones(1).await.unwrap().0, 3);
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.skipped, status.jobs.empty), (SyncState::Completed, 3, 1));
}

#[tokio::test]
async fn a_delivery_does_not_end_while_what_came_lies_unread() {
    let world = World::new().await;
    let (_, job) = world.account_sync(WSAPI, None).await;
    world.armed(&job, Completion::Quiescence).await;
    world.awaits(&job, Awaits::Delivery, Completion::Quiescence).await;
    let inbox = world.arrived().await;
    assert_eq!(world.look(&job, WSAPI, in_an_hour()).await.ended, None);
    world.store.ingest(inbox, world.channel.id, 0, &[history(by_phone(1), &["a"])], LEASE).await.unwrap();
    assert_eq!(world.look(&job, WSAPI, in_an_hour()).await.ended, None, "there may be more of it");
    world.store.hook_read(inbox, &BTreeMap::new(), false).await.unwrap();
    assert_eq!(world.look(&job, WSAPI, in_an_hour()).await.ended, Some(JobState::Succeeded));
}

#[tokio::test]
async fn a_first_sync_that_was_told_of_while_the_wait_began_is_not_waited_for() {
    let world = World::new().await;
    world.tell(vec![Event::InitialSync(None)]).await;
    let (_, job) = world.account_sync(WSAPI, None).await;
    world.awaits(&job, Awaits::InitialSync, Completion::Quiescence).await;
    let looked = world.look(&job, WSAPI, clock::now()).await;
    assert_eq!(looked.notices.iter().flat_map(ids_of).collect::<Vec<_>>(), [job.id]);
}

#[tokio::test]
async fn pairings_and_first_syncs_count_by_the_gateways_time_in_whatever_order_and_however_often_they_are_told() {
    let world = World::new().await;
    let at = |minute: i64| Some(clock::now() - TimeDelta::hours(1) + TimeDelta::minutes(minute));
    let (paired, synced) = (at(1), at(2));
    let is_synced = async || world.store.facts(world.channel.id).await.unwrap().initial_sync_at.is_some();
    world.tell(vec![Event::InitialSync(synced)]).await;
    world.tell(vec![Event::Paired(paired)]).await;
    assert!(is_synced().await);
    world.tell(vec![Event::Paired(paired)]).await;
    assert!(is_synced().await, "told again");
    world.tell(vec![Event::Paired(at(3))]).await;
    assert!(!is_synced().await, "it was another pairing's");
    world.tell(vec![Event::InitialSync(synced)]).await;
    assert!(!is_synced().await, "told again");
    world.tell(vec![Event::InitialSync(at(4))]).await;
    assert!(is_synced().await);
}

#[tokio::test]
async fn an_answer_that_joins_two_records_of_one_person_is_still_the_jobs() {
    let world = World::new().await;
    world.tell(vec![history(by_lid(1), &["a"]), Event::Contacts(vec![by_phone(1)])]).await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_lid(1)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let job = world.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
    world.armed(&job, Completion::Reply).await;
    world.awaits(&job, Awaits::Delivery, Completion::Reply).await;
    world.tell(vec![history(by_both(1), &["b"])]).await;
    assert_eq!(world.status(created.id).await.messages.fetched, 1);
    world.tell(vec![batch(Source::Unasked, by_phone(1), &["c"])]).await;
    assert_eq!(world.status(created.id).await.messages.fetched, 1, "what nobody can have asked for is nobody's answer");
}

#[tokio::test]
async fn a_turn_is_given_once_however_many_give_it() {
    let world = World::new().await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_phone(1)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let job = world.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
    world.awaits(&job, Awaits::Turn, Completion::Reply).await;
    assert_eq!(world.store.give_turns(&AT_ONCE, clock::now()).await.unwrap().len(), 1);
    let job = world.jobs(&[job.id]).await.remove(0);
    world.armed(&job, Completion::Reply).await;
    world.awaits(&job, Awaits::Delivery, Completion::Reply).await;
    assert!(world.store.give_turns(&AT_ONCE, clock::now()).await.unwrap().is_empty());
    assert_eq!(world.count("SELECT count(*) FROM awaiting_jobs WHERE awaits = 'delivery'").await, 1);
}

#[tokio::test]
async fn a_paused_sync_keeps_no_turn_that_it_does_not_use() {
    let world = World::new().await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_phone(1), by_phone(2)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let jobs = world.jobs(&ids_of(&created.notice.unwrap())).await;
    world.awaits(&jobs[0], Awaits::Turn, Completion::Reply).await;
    world.store.give_turns(&AT_ONCE, clock::now()).await.unwrap();
    world.store.pause_sync(created.id, None).await.unwrap();
    assert_eq!(world.store.free_turns(&Waits::default(), clock::now()).await.unwrap(), 1);
    world.awaits(&jobs[1], Awaits::Turn, Completion::Reply).await;
    assert!(world.store.give_turns(&AT_ONCE, clock::now()).await.unwrap().is_empty());
    world.store.resume_sync(created.id).await.unwrap();
    assert_eq!(world.store.give_turns(&AT_ONCE, clock::now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_under_another_identity_without_a_mapping_is_no_silence_and_credited_to_nobody() {
    let world = World::new().await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_phone(1)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let job = world.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
    world.armed(&job, Completion::Reply).await;
    world.awaits(&job, Awaits::Delivery, Completion::Reply).await;
    world.tell(vec![batch(Source::OnDemand, by_lid(1), &["a"])]).await;
    assert_eq!(world.status(created.id).await.messages.fetched, 0, "it may be the late answer of another");
    let looked = world.look(&job, WSAPI, clock::now() + TimeDelta::hours(2)).await;
    assert_eq!(looked.ended, Some(JobState::Empty));
    assert_eq!(world.count("SELECT silences::bigint FROM account_turns").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 1, "it is stored all the same");
    let line = world.store.receipt(created.id, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!(line.reason.as_deref(), Some("nothing received"));
    assert!(line.last_error.unwrap().contains("under an address"));
}
