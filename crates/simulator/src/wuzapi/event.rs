//! The record of a message inside its row: `data_json`, a JSON text within the JSON.
//!
//! Live rows hold the event; rows from the history blob a look-alike whose `RawMessage` is the whole web message; rows of
//! messages sent by API hold nothing; a record that could not be written is `{}`. Media carry no keys that would open them.

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{envelope::go_json, rows};
use crate::{
    messages::{Kind, Message, Origin, Record},
    people::Person,
    web_message,
};

/// The text of the column.
pub(crate) fn data_json(person: &Person, address: &str, message: &Message) -> String {
    match message.record {
        Record::Absent => String::new(),
        Record::Unreadable => "{}".to_owned(),
        Record::Whole | Record::WithoutEventTime => go_json(&event(person, address, message)),
    }
}

fn event(person: &Person, address: &str, message: &Message) -> Value {
    let body = web_message::body(message);
    let raw = if message.origin == Origin::HistorySync {
        web_message::written(person, address, message)
    } else {
        body.clone()
    };
    json!({
        "Info": info(person, address, message),
        "Message": body,
        "IsEphemeral": false,
        "IsViewOnce": false,
        "IsViewOnceV2": false,
        "IsViewOnceV2Extension": false,
        "IsDocumentWithCaption": false,
        "IsLottieSticker": false,
        "IsBotInvoke": false,
        "IsEdit": false,
        "SourceWebMsg": null,
        "UnavailableRequestID": "",
        "RetryCount": 0,
        "NewsletterMeta": null,
        "RawMessage": raw,
    })
}

fn info(person: &Person, address: &str, message: &Message) -> Value {
    // The other identity of the person travels with live messages, where it is known.
    let other = person.addresses().find(|known| *known != address).filter(|_| message.origin == Origin::Live);
    let (sender_alt, recipient_alt) = if message.from_me { (None, other) } else { (other, None) };
    let mut info = json!({
        "Chat": address,
        "Sender": rows::sender(message, address),
        "IsFromMe": message.from_me,
        "IsGroup": false,
        "AddressingMode": if message.origin == Origin::HistorySync { "" } else { addressing_mode(address) },
        "SenderAlt": sender_alt.unwrap_or_default(),
        "RecipientAlt": recipient_alt.unwrap_or_default(),
        "BroadcastListOwner": "",
        "BroadcastRecipients": null,
        "ID": message.id,
        "ServerID": 0,
        "Type": if message.origin == Origin::HistorySync { rows::message_type(message.kind) } else { wire_type(message.kind) },
        "PushName": if message.from_me { "" } else { person.push_name.as_str() },
        "Timestamp": event_time(person, message.sent_at),
        "Category": "",
        "Multicast": false,
        "MediaType": "",
        "Edit": "",
        "VerifiedName": null,
        "DeviceSentMeta": null,
    });
    if let (Record::WithoutEventTime, Some(fields)) = (message.record, info.as_object_mut()) {
        fields.remove("Timestamp");
    }
    info
}

fn addressing_mode(address: &str) -> &'static str {
    if address.ends_with("@lid") { "lid" } else { "pn" }
}

fn wire_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Reaction => "reaction",
        _ => "media",
    }
}

/// The gateway writes its local time: some records were made where that is not UTC.
fn event_time(person: &Person, sent_at: DateTime<Utc>) -> String {
    let brasilia = FixedOffset::west_opt(3 * 3_600).filter(|_| person.number.is_multiple_of(3));
    brasilia.map_or_else(
        || sent_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        |zone| sent_at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}
