//! What must be true of every sync that ended, whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sincro_core::{
    address::AddressKind,
    job::JobState,
    message::StoredMessage,
    receipt::{Receipt, ReceiptLine},
    sync::{JobCounts, SyncStatus},
};
use sincro_simulator::{KnownBy, TrueMessage, Truth};
use uuid::Uuid;

use super::{client::Client, stage::Stage};

/// Everything below at once, for the first sync of a stage: nothing is missing and nothing is there twice.
pub(crate) async fn nothing_is_lost_or_doubled(stage: &Stage, end: &SyncStatus, messages_wanted: usize) {
    let truth = stage.gateway.truth();
    messages_are_the_truth(&stage.api, stage.channel, &truth, messages_wanted).await;
    let receipt = stage.api.receipt(end.id).await;
    receipt_adds_up(&receipt, end);
    receipt_tells_the_truth(&receipt, &truth, messages_wanted);
    assert_eq!(end.messages.fetched, count(truth.expected_rows(messages_wanted)), "each row of the gateway once");
    assert_eq!(end.messages.stored, count(truth.expected(messages_wanted).len()), "each message once");
    let stored = stage.world.number("SELECT count(*) FROM messages").await;
    assert_eq!(stored, end.messages.stored, "rows and counters");
}

/// The stored messages are the gateway's, each once, with its real time, direction, kind and words, in time order.
pub(crate) async fn messages_are_the_truth(client: &Client, channel: Uuid, truth: &Truth, messages_wanted: usize) {
    let mut expected: BTreeMap<String, TrueMessage> = BTreeMap::new();
    let mut places: BTreeSet<(String, String)> = BTreeSet::new();
    for address in truth.addresses() {
        for message in truth.chat(address, messages_wanted) {
            places.insert((message.message_id.clone(), address.to_owned()));
            expected.insert(message.message_id.clone(), message);
        }
    }
    let stored = client.messages(channel).await;
    let order: Vec<_> = stored.iter().map(|message| (message.sent_at, message.message_id.clone())).collect();
    assert!(order.is_sorted_by(|a, b| a < b), "in the order of their times, each once");
    for message in &stored {
        let Some(true_message) = expected.remove(&message.message_id) else {
            panic!("a message that the gateway does not hold, or twice: {message:?}");
        };
        is_the_same(message, &true_message);
        let place = (message.message_id.clone(), message.address.clone());
        assert!(places.contains(&place), "stored under an address that does not hold it: {message:?}");
    }
    assert!(expected.is_empty(), "{} messages are missing, such as {:?}", expected.len(), expected.values().next());
}

fn is_the_same(stored: &StoredMessage, true_message: &TrueMessage) {
    assert_eq!(stored.sent_at, true_message.readable_at, "{true_message:?}");
    assert_eq!(stored.from_me, true_message.from_me, "{true_message:?}");
    assert_eq!(json!(stored.kind), json!(true_message.kind), "{true_message:?}");
    // Postgres keeps no NUL.
    let text = true_message.text.replace('\0', "");
    assert_eq!(stored.text.as_deref(), Some(text.as_str()).filter(|text| !text.is_empty()), "{true_message:?}");
    // The provider's own JSON: its id is under one of these names, beside which a row may have a number.
    let named = |name| stored.payload[name] == true_message.message_id;
    assert!(named("message_id") || named("id"), "{true_message:?}: {}", stored.payload);
}

/// The lines sum up to the totals, the totals are the sync's, and there is one line per contact and address.
pub(crate) fn receipt_adds_up(receipt: &Receipt, end: &SyncStatus) {
    assert_eq!((receipt.sync_id, receipt.jobs, receipt.messages), (end.id, end.jobs, end.messages));
    assert_eq!(end.jobs.total, count(receipt.lines.len()), "a line per job");
    let sum = |of: fn(&ReceiptLine) -> i64| receipt.lines.iter().map(of).sum::<i64>();
    assert_eq!(sum(|line| line.fetched), receipt.messages.fetched);
    assert_eq!(sum(|line| line.stored), receipt.messages.stored);
    assert_eq!(sum(|line| line.duplicate), receipt.messages.duplicate);
    assert_eq!(receipt.messages.fetched, receipt.messages.stored + receipt.messages.duplicate);
    assert_eq!(by_outcome(&receipt.lines), receipt.jobs);
    let persons: BTreeSet<_> = receipt.lines.iter().map(|line| line.contact_id).collect();
    assert_eq!(receipt.contacts, count(persons.len()));
    for line in &receipt.lines {
        assert_eq!(line.fetched, line.stored + line.duplicate, "{line:?}");
        let explained = match line.outcome {
            JobState::Succeeded => line.fetched > 0 && line.reason.is_none(),
            JobState::Empty | JobState::Cancelled => line.fetched == 0,
            JobState::Skipped => line.fetched == 0 && line.expected == 0 && line.reason.is_some(),
            JobState::Failed => line.reason.is_some() && line.last_error.is_some(),
            _ => false,
        };
        assert!(explained, "a line that explains nothing: {line:?}");
    }
}

/// Lines counted by outcome.
fn by_outcome(lines: &[ReceiptLine]) -> JobCounts {
    let of = |state: JobState| count(lines.iter().filter(|line| line.outcome == state).count());
    JobCounts {
        total: count(lines.len()),
        succeeded: of(JobState::Succeeded),
        empty: of(JobState::Empty),
        skipped: of(JobState::Skipped),
        failed: of(JobState::Failed),
        cancelled: of(JobState::Cancelled),
        ..JobCounts::default()
    }
}

/// Every person of the gateway has a line for the phone and one for the LID, which say what the gateway really holds. For
/// channels whose contact list holds nobody twice, and syncs without failures.
pub(crate) fn receipt_tells_the_truth(receipt: &Receipt, truth: &Truth, messages_wanted: usize) {
    let mut lines: BTreeMap<(&str, AddressKind), &ReceiptLine> = BTreeMap::new();
    let mut addresses: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for line in &receipt.lines {
        if let (Some(address), Some(contact)) = (line.address.as_deref(), line.contact_id) {
            addresses.entry(contact).or_default().push(address);
        }
    }
    for line in &receipt.lines {
        let contact = line.contact_id.expect("a line is about a contact");
        for address in &addresses[&contact] {
            let before = lines.insert((address, line.address_kind.expect("of a kind")), line);
            assert!(before.is_none_or(|before| before == line), "two lines for one address: {before:?} {line:?}");
        }
    }
    for person in truth.persons() {
        assert_ne!(person.known_by, KnownBy::Both, "not for channels that list somebody twice");
        let any = person.addresses().next().expect("everybody has an address");
        for (kind, address) in [(AddressKind::Phone, &person.phone_jid), (AddressKind::Lid, &person.lid)] {
            let line = lines.get(&(any, kind)).unwrap_or_else(|| panic!("no {kind} line for {person:?}"));
            let held = address.as_deref().map(|address| truth.chat(address, messages_wanted).len());
            let expected = match held {
                None => (JobState::Skipped, None, 0),
                Some(0) => (JobState::Empty, address.as_deref(), 0),
                Some(held) => (JobState::Succeeded, address.as_deref(), count(held)),
            };
            assert_eq!((line.outcome, line.address.as_deref(), line.fetched), expected, "{person:?}: {line:?}");
            if held.is_none() {
                assert_eq!(line.reason.as_deref(), Some(format!("{kind} unknown").as_str()));
            } else {
                assert_eq!(line.expected, count(messages_wanted));
            }
        }
    }
    assert_eq!(receipt.contacts, count(truth.persons().len()));
}

/// A length as the API counts.
pub(crate) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap()
}
