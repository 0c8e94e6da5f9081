//! Rows of the gateway's message table, as `/chat/history` gives them.
//!
//! Peculiarities kept: no rows are `null` rather than an empty list; `timestamp` is the time of insertion; a sender may carry
//! a device number; messages sent by API are from `me`; `quoted_message_id` is left out where there is none.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::event;
use crate::{
    archive::Stored,
    dice,
    media::Media,
    messages::{Kind, Message, Origin},
    people::Person,
    server::{Channel, Server},
};

/// The channel's own number.
pub(crate) const OWN_JID: &str = "5511999990000@s.whatsapp.net";
/// The same with the device number of the gateway.
pub(crate) const OWN_DEVICE_JID: &str = "5511999990000:12@s.whatsapp.net";

/// The gateway's name for a channel.
pub(crate) fn user_id(channel: &Channel) -> String {
    let seed = channel.archive.seed();
    format!("{:016x}{:016x}", dice::scramble(seed), dice::scramble(!seed))
}

/// The last `limit` stored rows of one chat. `files` is where those of live messages are, if the gateway keeps them.
pub(crate) fn chat(channel: &Channel, address: &str, limit: usize, files: Option<&str>) -> Value {
    // What a deep request brought was inserted last.
    let mut stored = channel.deep.with(|deep| deep.rows(address));
    stored.extend(channel.archive.chat(address, limit));
    stored.truncate(limit);
    let Some(person) = channel.archive.person(address).filter(|_| !stored.is_empty()) else { return Value::Null };
    let user_id = user_id(channel);
    stored.iter().map(|stored| row(&user_id, &person, address, stored, files)).collect()
}

/// The chats of all channels of the server, which the real one gives to anybody with any token.
pub(crate) fn index(server: &Server) -> Value {
    let chats = |channel: &Channel| -> Value {
        let addresses = channel.archive.people().iter().flat_map(Person::addresses);
        let chats = addresses.filter_map(|address| {
            let last = channel.archive.chat(address, 1).pop()?.message.stored_at;
            Some(json!({ "chat_jid": address, "last_updated": last.to_rfc3339_opts(SecondsFormat::AutoSi, true) }))
        });
        chats.collect()
    };
    Value::Object(server.channels.iter().map(|channel| (user_id(channel), chats(channel))).collect::<Map<_, _>>())
}

fn row(
    user_id: &str,
    person: &Person,
    address: &str,
    Stored { row, message, .. }: &Stored,
    files: Option<&str>,
) -> Value {
    let is_kept = message.origin == Origin::Live && Media::of(message.kind).is_some();
    let link = files.filter(|_| is_kept).map(|files| format!("{files}/{}", message.id));
    let mut fields = json!({
        "id": row,
        "user_id": user_id,
        "chat_jid": address,
        "sender_jid": sender(message, address),
        "message_id": message.id,
        "timestamp": message.stored_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "message_type": message_type(message.kind),
        "text_content": text_content(message),
        "media_link": link.unwrap_or_default(),
        "data_json": event::data_json(person, address, message),
    });
    if let Some(quoted) = &message.quoted {
        fields["quoted_message_id"] = json!(quoted);
    }
    fields
}

/// As the row names it. Live rows keep the device the message came from; every fourth came from a linked device.
pub(crate) fn sender(message: &Message, address: &str) -> String {
    match (message.origin, message.from_me) {
        (Origin::Api, _) => "me".to_owned(),
        (_, true) => OWN_JID.to_owned(),
        (Origin::Live, false) if message.ordinal % 4 == 3 => address.replacen('@', ":7@", 1),
        (_, false) => address.to_owned(),
    }
}

pub(crate) fn message_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Image => "image",
        Kind::Video => "video",
        Kind::Audio => "audio",
        Kind::Document => "document",
        Kind::Sticker => "sticker",
        Kind::Location => "location",
        Kind::Contact => "contact",
        Kind::Reaction => "reaction",
    }
}

/// Media without words carry a tag of their kind.
fn text_content(message: &Message) -> String {
    if message.text.is_empty() { format!(":{}:", message_type(message.kind)) } else { message.text.clone() }
}
