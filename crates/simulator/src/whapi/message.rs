//! One message as the gateway writes it: its content under a key that is named after its type. Media carry ids that open
//! their files.

use serde_json::{Value, json};

use crate::{
    archive::Stored,
    messages::{Kind, Message, Origin},
    people::Person,
};

/// The channel's own number.
pub(super) const OWN_NUMBER: &str = "5511999990000";

/// What stands before a message's id in the id of its file.
pub(super) const MEDIA: &str = "media-";

/// A message of the archive.
pub(super) fn known(person: &Person, chat: &str, stored: &Stored) -> Value {
    let message = &stored.message;
    let (kind, content) = content(message);
    let mut fields = json!({
        "id": message.id,
        "from_me": message.from_me,
        "type": kind,
        "chat_id": chat,
        "timestamp": stored.readable_at.timestamp(),
        "source": if message.origin == Origin::Api { "api" } else { "mobile" },
        "from": if message.from_me { OWN_NUMBER } else { number_of(chat) },
        "status": if message.from_me { "read" } else { "delivered" },
        kind: content,
    });
    if !message.from_me {
        fields["from_name"] = json!(person.push_name);
    }
    if let (Some(quoted), false) = (&message.quoted, message.kind == Kind::Reaction) {
        fields["context"] = json!({ "quoted_id": quoted, "quoted_type": "text" });
    }
    fields
}

/// A message that came in while the chat was read.
pub(super) fn newcomer(person: &Person, address: &str, chat: &str, sent_s: i64, number: u32) -> Value {
    json!({
        "id": format!("NEW{}-{number}", number_of(address)),
        "from_me": false,
        "type": "text",
        "chat_id": chat,
        "timestamp": sent_s,
        "source": "mobile",
        "from": number_of(chat),
        "from_name": person.push_name,
        "status": "delivered",
        "text": { "body": "mais uma coisa" },
    })
}

fn number_of(address: &str) -> &str {
    address.split('@').next().unwrap_or_default()
}

/// Its type and what is under it. Kinds that have several types here have all of them.
fn content(message: &Message) -> (&'static str, Value) {
    let text = message.text.as_str();
    let media = |mime_type: &str, bytes: u32| {
        let mut media = json!({ "id": format!("{MEDIA}{}", message.id), "mime_type": mime_type, "file_size": bytes });
        if !text.is_empty() {
            media["caption"] = json!(text);
        }
        media
    };
    let nth = |types: &[&'static str]| types[message.ordinal as usize % types.len()];
    match message.kind {
        Kind::Text if text.starts_with("https://") => ("link_preview", json!({ "body": text, "title": "Loja" })),
        Kind::Text => ("text", json!({ "body": text })),
        Kind::Image => ("image", media("image/jpeg", 48_211)),
        Kind::Video => (nth(&["video", "short", "gif"]), media("video/mp4", 1_204_881)),
        Kind::Audio => (nth(&["voice", "audio"]), media("audio/ogg; codecs=opus", 9_310)),
        Kind::Document => {
            let mut document = media("application/pdf", 90_112);
            document["filename"] = json!("orçamento.pdf");
            ("document", document)
        }
        Kind::Sticker => ("sticker", media("image/webp", 21_004)),
        Kind::Location => ("location", json!({ "latitude": -23.5503, "longitude": -46.6339, "name": text })),
        Kind::Contact => ("contact", json!({ "name": text, "vcard": "BEGIN:VCARD\nEND:VCARD" })),
        Kind::Reaction => ("action", json!({ "target": message.quoted, "type": "reaction", "emoji": text })),
    }
}
