//! One message as the gateway writes it in its events. A person is named by phone, with the LID beside it.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::{
    media::Media,
    messages::{Kind, Message},
    people::Person,
};

/// The channel's own number.
pub(super) const OWN_JID: &str = "5511999990000@s.whatsapp.net";
/// What stands before a message's id in the id of its file.
pub(super) const MEDIA: &str = "med_";
/// Kinds that the gateway knows nothing of but that there was something.
pub(super) const UNKNOWN: &[Kind] = &[Kind::Location];

/// A message of a person whose phone is known.
pub(super) fn written(person: &Person, chat: &str, message: &Message) -> Value {
    let mut fields = json!({
        "id": message.id,
        "chatId": chat,
        "sender": if message.from_me { json!({ "id": OWN_JID, "isMe": true }) } else { sender(person, chat) },
        "isGroup": false,
        "time": message.sent_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "type": "text",
    });
    if let (Some(quoted), false) = (&message.quoted, message.kind == Kind::Reaction) {
        fields["replyTo"] = json!({ "id": quoted });
    }
    let (kind, key, content) = content(message);
    fields["type"] = json!(kind);
    if let Some(content) = content {
        fields[key] = content;
    }
    fields
}

fn sender(person: &Person, chat: &str) -> Value {
    let mut sender = json!({ "id": chat, "phone": chat.split('@').next(), "isMe": false });
    if let Some(lid) = &person.lid {
        sender["lid"] = json!(lid);
    }
    sender
}

/// Its type, and what is under which key.
fn content(message: &Message) -> (&'static str, &'static str, Option<Value>) {
    let text = message.text.as_str();
    match message.kind {
        Kind::Text => ("text", "text", Some(json!(text))),
        Kind::Reaction => ("reaction", "reaction", Some(json!({ "messageId": message.quoted, "emoji": text }))),
        Kind::Contact => {
            ("contact", "contact", Some(json!({ "displayName": text, "vcard": "BEGIN:VCARD\nEND:VCARD" })))
        }
        Kind::Location => ("unknown", "", None),
        Kind::Image => ("media", "media", Some(media(message, "image"))),
        Kind::Video => ("media", "media", Some(media(message, "video"))),
        Kind::Audio => ("media", "media", Some(media(message, "audio"))),
        Kind::Document => ("media", "media", Some(media(message, "document"))),
        Kind::Sticker => ("media", "media", Some(media(message, "sticker"))),
    }
}

fn media(message: &Message, kind: &str) -> Value {
    let mut fields = json!({ "id": format!("{MEDIA}{}", message.id), "mediaType": kind });
    if let Some(media) = Media::of(message.kind) {
        fields["mimeType"] = json!(media.mime_type);
        fields["fileLength"] = json!(media.bytes);
    }
    if !message.text.is_empty() {
        fields["caption"] = json!(message.text);
    }
    fields
}
