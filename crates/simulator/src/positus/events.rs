//! What Meta tells: contacts, history in phases and chunks, files on their own, and what becomes of the account.

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};

use super::{message, readings::Readings};
use crate::{
    account::{self, Told},
    archive::Archive,
    hooks::event::Event,
    messages::{self, Message},
    people::Person,
    server::Channel,
};

pub(super) const HISTORY: &str = "history";
pub(super) const CONTACTS: &str = "smb_app_state_sync";
const ACCOUNT: &str = "account_update";
/// The ages, in days, that a phase ends before.
const PHASES: [i64; 3] = [1, 90, 180];

/// The id of a channel's phone number at Meta.
pub(super) fn phone_number_id(channel: usize) -> String {
    format!("{}", 1_060 + channel)
}

/// Everybody whose phone is known, in pieces.
pub(super) fn contacts(channel: &Channel, readings: Readings) -> Vec<Event> {
    let people: Vec<Person> = channel.archive.draw_people().filter(|person| person.phone_jid.is_some()).collect();
    let event = |piece: &[Person]| {
        let listed: Vec<Value> = piece.iter().map(contact).collect();
        let value = json!({ "metadata": metadata(channel), "state_sync": listed });
        Event::new(CONTACTS, envelope(CONTACTS, &with_product(value)))
    };
    people.chunks(readings.contacts_chunk).map(event).collect()
}

fn contact(person: &Person) -> Value {
    let name = if person.full_name.is_empty() { &person.push_name } else { &person.full_name };
    json!({
        "type": "contact",
        "action": "add",
        "contact": {
            "full_name": name,
            "first_name": name.split(' ').next(),
            "phone_number": number_of(person),
        },
        "metadata": { "timestamp": messages::told_at().timestamp().to_string() },
    })
}

/// All of the history: chunks in the order of their phases, then the files of the last days. Made one by one. If it is not
/// complete, the last chunk is missing.
pub(super) fn history(
    channel: &Channel,
    readings: Readings,
    complete: bool,
) -> impl Iterator<Item = Event> + Send + use<> {
    let Plan { chunks, with_files } = Plan::of(&channel.archive, readings.chunk);
    let (archive, again, number) = (Arc::clone(&channel.archive), Arc::clone(&channel.archive), channel.number);
    let last = chunks.len();
    let sent = if complete { last } else { last.saturating_sub(1) };
    let chunks = chunks.into_iter().take(sent).enumerate().map(move |(done, chunk)| {
        let threads: Vec<Value> = chunk.threads.iter().map(|part| part.thread(&archive)).collect();
        // Rounded down, so that only the last of them says that all is there.
        let progress = (done + 1) * 100 / last.max(1);
        let history = json!([{
            "metadata": { "phase": chunk.phase, "chunk_order": chunk.order, "progress": progress },
            "threads": threads,
        }]);
        let value = json!({ "metadata": metadata_of(number), "history": history });
        Event::history(HISTORY, envelope(HISTORY, &with_product(value)))
    });
    let assets = with_files.into_iter().flat_map(move |person| assets(&again, number, person));
    chunks.chain(assets)
}

/// The files of one person, each on its own.
fn assets(archive: &Archive, channel: usize, person: u32) -> Vec<Event> {
    let person = archive.numbered(person);
    let files = account::told_of(archive, &person, usize::MAX).into_iter().filter(|(_, told)| *told == Told::Asset);
    let event = |(file, _): (Message, Told)| {
        let messages = json!([message::asset(number_of(&person), &file)]);
        let value = json!({ "metadata": metadata_of(channel), "messages": messages });
        Event::history(HISTORY, envelope(HISTORY, &with_product(value)))
    };
    files.map(event).collect()
}

/// The same with so many changes in one webhook.
pub(super) fn batched(
    mut events: impl Iterator<Item = Event> + Send,
    batch: usize,
) -> impl Iterator<Item = Event> + Send {
    std::iter::from_fn(move || {
        let mut first = events.next()?;
        for mut next in events.by_ref().take(batch - 1) {
            let change = next.body["entry"][0]["changes"][0].take();
            if let Some(changes) = first.body["entry"][0]["changes"].as_array_mut() {
                changes.push(change);
            }
        }
        Some(first)
    })
}

/// The owner does not share.
pub(super) fn declined(channel: &Channel, readings: Readings) -> Event {
    let details = "History sharing is turned off by the business";
    let history = json!([{ "errors": [{
        "code": 2_593_109,
        "title": "History sync is turned off by the business from the WhatsApp Business App",
        "message": "History sync is turned off by the business from the WhatsApp Business App",
        "error_data": { "details": details },
    }] }]);
    let value = json!({ "metadata": metadata(channel), "history": history });
    let body = if readings.bare_decline {
        json!({ "history": value["history"] })
    } else {
        envelope(HISTORY, &with_product(value))
    };
    Event::history(HISTORY, body)
}

/// What became of the account.
pub(super) fn account(event: &str, reason: Option<&str>) -> Event {
    let mut value = json!({ "phone_number": message::OWN_NUMBER, "event": event });
    if let Some(reason) = reason {
        value["disconnection_info"] = json!({ "reason": reason, "initiated_by": "SMB_USER" });
    }
    Event::new(ACCOUNT, envelope(ACCOUNT, &value))
}

fn with_product(mut value: Value) -> Value {
    value["messaging_product"] = json!("whatsapp");
    value
}

fn metadata(channel: &Channel) -> Value {
    metadata_of(channel.number)
}

fn metadata_of(channel: usize) -> Value {
    json!({ "display_phone_number": message::OWN_NUMBER, "phone_number_id": phone_number_id(channel) })
}

fn envelope(field: &str, value: &Value) -> Value {
    let change = json!({ "field": field, "value": value });
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "WABA-1", "changes": [change] }] })
}

fn number_of(person: &Person) -> &str {
    person.phone_jid.as_deref().and_then(|phone| phone.split('@').next()).unwrap_or_default()
}

/// Which messages are in which chunk. It holds numbers, no words.
struct Plan {
    chunks: Vec<Chunk>,
    /// Persons of whose messages some come again with their file.
    with_files: Vec<u32>,
}

struct Chunk {
    phase: usize,
    /// Counts from 1 within its phase.
    order: usize,
    threads: Vec<Part>,
}

/// Some messages of one person, by their position among all that is told of that person.
struct Part {
    person: u32,
    messages: Range<usize>,
}

impl Plan {
    fn of(archive: &Archive, most: usize) -> Self {
        let mut parts: [Vec<Part>; 3] = Default::default();
        let mut with_files = Vec::new();
        for person in archive.draw_people() {
            let told = account::told_of(archive, &person, usize::MAX);
            if told.iter().any(|(_, told)| *told == Told::Asset) {
                with_files.push(person.number);
            }
            // Oldest first: the last phase is at the front.
            let mut first = 0;
            for phase in (0..PHASES.len()).rev() {
                let count = told[first..].iter().take_while(|(known, _)| phase_of(known) >= phase).count();
                if count > 0 {
                    parts[phase].push(Part { person: person.number, messages: first..first + count });
                }
                first += count;
            }
        }
        let chunks = parts.into_iter().enumerate().flat_map(|(phase, parts)| chunks_of(phase, parts, most)).collect();
        Self { chunks, with_files }
    }
}

fn phase_of(message: &Message) -> usize {
    let age_days = (messages::told_at() - message.sent_at).num_days();
    PHASES.iter().position(|end| age_days < *end).unwrap_or(PHASES.len() - 1)
}

fn chunks_of(phase: usize, parts: Vec<Part>, most: usize) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut room = 0;
    for Part { person, mut messages } in parts {
        while !messages.is_empty() {
            if room == 0 {
                chunks.push(Chunk { phase, order: chunks.len() + 1, threads: Vec::new() });
                room = most;
            }
            let taken = messages.len().min(room);
            let part = Part { person, messages: messages.start..messages.start + taken };
            messages.start += taken;
            room -= taken;
            if let Some(chunk) = chunks.last_mut() {
                chunk.threads.push(part);
            }
        }
    }
    chunks
}

impl Part {
    fn thread(&self, archive: &Archive) -> Value {
        let person = archive.numbered(self.person);
        let number = number_of(&person);
        let told = account::told_of(archive, &person, usize::MAX);
        let messages: Vec<Value> =
            told[self.messages.clone()].iter().map(|(known, told)| message::in_thread(number, known, *told)).collect();
        json!({ "id": number, "messages": messages })
    }
}
