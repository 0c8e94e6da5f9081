//! One message as Meta writes it: a person is a phone number, a file of the past is a placeholder until it comes on its own.

use serde_json::{Value, json};

use crate::{
    account::Told,
    media::Media,
    messages::{Kind, Message},
};

/// The channel's own number.
pub(super) const OWN_NUMBER: &str = "5511999990000";
/// What stands before a message's id in the id of its file.
pub(super) const MEDIA: &str = "media-";
/// Kinds that history holds the place of.
pub(super) const FILES: &[Kind] = &[Kind::Image, Kind::Video, Kind::Audio, Kind::Document, Kind::Sticker];

/// As a chunk of history has it.
pub(super) fn in_thread(number: &str, message: &Message, told: Told) -> Value {
    let mut fields = head(number, message);
    let status = match (message.from_me, message.ordinal % 3) {
        (true, 0) => "SENT",
        (true, _) => "DELIVERED",
        (false, 0) => "PLAYED",
        (false, _) => "READ",
    };
    fields["history_context"] = json!({ "status": status });
    if told == Told::Whole {
        put_content(&mut fields, message);
    } else {
        fields["type"] = json!("media_placeholder");
    }
    fields
}

/// As it comes on its own, with its file.
pub(super) fn asset(number: &str, message: &Message) -> Value {
    let mut fields = head(number, message);
    put_content(&mut fields, message);
    fields
}

fn head(number: &str, message: &Message) -> Value {
    let mut fields = json!({
        "id": message.id,
        "from": if message.from_me { OWN_NUMBER } else { number },
        "timestamp": message.sent_at.timestamp().to_string(),
    });
    if message.from_me {
        fields["to"] = json!(number);
    }
    if let (Some(quoted), false) = (&message.quoted, message.kind == Kind::Reaction) {
        fields["context"] = json!({ "id": quoted });
    }
    fields
}

fn put_content(fields: &mut Value, message: &Message) {
    let text = message.text.as_str();
    let (kind, content) = match message.kind {
        Kind::Text => ("text", json!({ "body": text })),
        Kind::Location => ("location", json!({ "latitude": -23.5503, "longitude": -46.6339, "name": text })),
        Kind::Contact => ("contacts", json!([{ "name": { "formatted_name": text } }])),
        Kind::Reaction => ("reaction", json!({ "message_id": message.quoted, "emoji": text })),
        Kind::Image => ("image", file(message)),
        Kind::Video => ("video", file(message)),
        Kind::Audio => ("audio", file(message)),
        Kind::Document => ("document", file(message)),
        Kind::Sticker => ("sticker", file(message)),
    };
    fields["type"] = json!(kind);
    fields[kind] = content;
}

fn file(message: &Message) -> Value {
    let mut fields = json!({ "id": format!("{MEDIA}{}", message.id), "sha256": "9b1f" });
    if let Some(media) = Media::of(message.kind) {
        fields["mime_type"] = json!(media.mime_type);
    }
    if !message.text.is_empty() {
        fields["caption"] = json!(message.text);
    }
    fields
}
