//! A message as WhatsApp's own protocol has it, for gateways that hand it on as it came: Go's names of its fields. Media
//! carry no keys that would open them.

use serde_json::{Value, json};

use crate::{
    messages::{Kind, Message},
    people::Person,
};

/// The message with its key and its time, in the chat of this address.
pub(crate) fn written(person: &Person, address: &str, message: &Message) -> Value {
    json!({
        "key": { "remoteJID": address, "fromMe": message.from_me, "ID": message.id },
        "message": body(message),
        "messageTimestamp": message.sent_at.timestamp(),
        "status": if message.from_me { 3 } else { 0 },
        "pushName": if message.from_me { "" } else { person.push_name.as_str() },
    })
}

/// The content alone, under a key that is named after its kind.
pub(crate) fn body(message: &Message) -> Value {
    let text = message.text.as_str();
    let media = |mimetype: &str, bytes: u32| {
        json!({
            "URL": format!("https://mmg.whatsapp.net/v/{}.enc", message.id),
            "mimetype": mimetype,
            "fileLength": bytes,
            "directPath": format!("/v/{}.enc", message.id),
        })
    };
    let captioned = |mut media: Value| {
        if !text.is_empty() {
            media["caption"] = json!(text);
        }
        media
    };
    match (message.kind, &message.quoted) {
        (Kind::Text, None) => json!({ "conversation": text }),
        (Kind::Text, Some(quoted)) => {
            let context = json!({ "stanzaID": quoted, "quotedMessage": { "conversation": "..." } });
            json!({ "extendedTextMessage": { "text": text, "contextInfo": context } })
        }
        (Kind::Image, _) => json!({ "imageMessage": captioned(media("image/jpeg", 48_211)) }),
        (Kind::Video, _) => json!({ "videoMessage": captioned(media("video/mp4", 1_204_881)) }),
        (Kind::Document, _) => json!({ "documentMessage": captioned(media("application/pdf", 90_112)) }),
        (Kind::Audio, _) => json!({ "audioMessage": media("audio/ogg; codecs=opus", 9_310) }),
        (Kind::Sticker, _) => json!({ "stickerMessage": media("image/webp", 21_004) }),
        (Kind::Location, _) => {
            json!({ "locationMessage": { "degreesLatitude": -23.5503, "degreesLongitude": -46.6339, "name": text } })
        }
        (Kind::Contact, _) => json!({ "contactMessage": { "displayName": text, "vcard": "BEGIN:VCARD\nEND:VCARD" } }),
        (Kind::Reaction, target) => {
            json!({ "reactionMessage": { "key": { "ID": target, "fromMe": false }, "text": text } })
        }
    }
}
