//! What a message is, and its words: the content is under a member that is named after its type.

use serde_json::Value;
use sincro_core::message::MessageKind;

use crate::json;

/// Members that hold another message.
const WRAPPERS: [&str; 10] = [
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "viewOnceMessageV2Extension",
    "documentWithCaptionMessage",
    "deviceSentMessage",
    "editedMessage",
    "botInvokeMessage",
    "groupMentionedMessage",
    "lottieStickerMessage",
];
/// Members that accompany content and are none.
const ACCOMPANYING: [&str; 3] =
    ["messageContextInfo", "senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage"];
/// Wrappers within wrappers end somewhere.
const DEEPEST: usize = 5;

/// A member, what a message with it is, and where its words may be.
type Content = (&'static str, MessageKind, &'static [&'static [&'static str]]);

const CONTENTS: [Content; 27] = [
    ("conversation", MessageKind::Text, &[&[]]),
    ("extendedTextMessage", MessageKind::Text, &[&["text"], &["title"]]),
    ("imageMessage", MessageKind::Image, &[&["caption"]]),
    ("videoMessage", MessageKind::Video, &[&["caption"]]),
    ("ptvMessage", MessageKind::Video, &[&["caption"]]),
    ("audioMessage", MessageKind::Audio, &[]),
    ("documentMessage", MessageKind::Document, &[&["caption"]]),
    ("stickerMessage", MessageKind::Sticker, &[]),
    ("locationMessage", MessageKind::Location, &[&["name"], &["comment"], &["address"]]),
    ("liveLocationMessage", MessageKind::Location, &[&["caption"]]),
    ("contactMessage", MessageKind::Contact, &[&["displayName"]]),
    ("contactsArrayMessage", MessageKind::Contact, &[&["displayName"]]),
    ("reactionMessage", MessageKind::Reaction, &[&["text"]]),
    ("encReactionMessage", MessageKind::Reaction, &[]),
    (
        "buttonsResponseMessage",
        MessageKind::Interactive,
        &[&["selectedDisplayText"], &["Response", "selectedDisplayText"], &["selectedButtonID"]],
    ),
    ("listResponseMessage", MessageKind::Interactive, &[&["title"], &["description"]]),
    ("templateButtonReplyMessage", MessageKind::Interactive, &[&["selectedDisplayText"]]),
    ("interactiveResponseMessage", MessageKind::Interactive, &[&["body", "text"]]),
    ("buttonsMessage", MessageKind::Interactive, &[&["contentText"], &["Header", "text"]]),
    ("listMessage", MessageKind::Interactive, &[&["title"], &["description"]]),
    ("templateMessage", MessageKind::Interactive, &[&["hydratedTemplate", "hydratedContentText"]]),
    ("interactiveMessage", MessageKind::Interactive, &[&["body", "text"]]),
    ("pollCreationMessage", MessageKind::Interactive, &[&["name"]]),
    ("pollCreationMessageV2", MessageKind::Interactive, &[&["name"]]),
    ("pollCreationMessageV3", MessageKind::Interactive, &[&["name"]]),
    ("pollUpdateMessage", MessageKind::Interactive, &[]),
    ("eventMessage", MessageKind::Unknown, &[&["name"]]),
];

/// Kind and words of a message; none where it holds nothing that somebody wrote, sent or took back.
pub(crate) fn read(message: &Value) -> Option<(MessageKind, Option<String>)> {
    let message = unwrapped(message);
    for (name, kind, places) in CONTENTS {
        if let Some(content) = json::field(message, name) {
            let words = places
                .iter()
                .find_map(|place| json::at(content, place).and_then(json::text).filter(|text| !text.trim().is_empty()));
            return Some((kind, words));
        }
    }
    if let Some(notice) = json::field(message, "protocolMessage") {
        return of_notice(notice);
    }
    let others = message
        .as_object()?
        .iter()
        .filter(|(name, value)| !value.is_null() && !ACCOMPANYING.iter().any(|known| name.eq_ignore_ascii_case(known)));
    (others.count() > 0).then_some((MessageKind::Unknown, None))
}

/// The message within its wrappers.
fn unwrapped(message: &Value) -> &Value {
    let mut message = message;
    for _ in 0..DEEPEST {
        let inner = WRAPPERS.iter().find_map(|wrapper| json::at(message, &[wrapper, "message"]));
        let Some(inner) = inner else { break };
        message = inner;
    }
    message
}

/// A deletion, an edit, or what the phone tells its other devices.
fn of_notice(notice: &Value) -> Option<(MessageKind, Option<String>)> {
    let kind = json::field(notice, "type").and_then(json::text)?;
    match kind.to_ascii_uppercase().as_str() {
        "0" | "REVOKE" => Some((MessageKind::Deleted, None)),
        "14" | "MESSAGE_EDIT" => {
            let words = json::field(notice, "editedMessage").and_then(read).and_then(|(_, words)| words);
            Some((MessageKind::Unknown, words))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_is_under_a_member_named_after_its_type_in_any_case() {
        use MessageKind::{
            Audio, Contact, Deleted, Document, Image, Interactive, Location, Reaction, Sticker, Text, Unknown, Video,
        };
        for (message, kind, text) in [
            (json!({"conversation": "bom dia"}), Text, Some("bom dia")),
            (json!({"Conversation": "bom dia", "messageContextInfo": {}}), Text, Some("bom dia")),
            (json!({"extendedTextMessage": {"text": "veja", "matchedText": "x"}}), Text, Some("veja")),
            (json!({"imageMessage": {"caption": "foto", "URL": "https://a"}}), Image, Some("foto")),
            (json!({"videoMessage": {"caption": " "}}), Video, None),
            (json!({"audioMessage": {"PTT": true}}), Audio, None),
            (json!({"documentMessage": {"fileName": "a.pdf"}}), Document, None),
            (
                json!({"documentWithCaptionMessage": {"message": {"documentMessage": {"caption": "nota"}}}}),
                Document,
                Some("nota"),
            ),
            (json!({"stickerMessage": {}}), Sticker, None),
            (json!({"locationMessage": {"name": "Praça da Sé"}}), Location, Some("Praça da Sé")),
            (json!({"contactMessage": {"displayName": "Zé", "vcard": "BEGIN"}}), Contact, Some("Zé")),
            (json!({"reactionMessage": {"text": "❤", "key": {}}}), Reaction, Some("❤")),
            (json!({"buttonsResponseMessage": {"Response": {"SelectedDisplayText": "Sim"}}}), Interactive, Some("Sim")),
            (json!({"listResponseMessage": {"title": "Um"}}), Interactive, Some("Um")),
            (json!({"pollCreationMessageV3": {"name": "Quando?"}}), Interactive, Some("Quando?")),
            (
                json!({"ephemeralMessage": {"message": {"viewOnceMessageV2": {"message": {"imageMessage": {}}}}}}),
                Image,
                None,
            ),
            (json!({"protocolMessage": {"type": 0, "key": {"ID": "A"}}}), Deleted, None),
            (json!({"protocolMessage": {"type": 14, "editedMessage": {"conversation": "ola"}}}), Unknown, Some("ola")),
            (json!({"somethingNewMessage": {"a": 1}}), Unknown, None),
        ] {
            assert_eq!(read(&message), Some((kind, text.map(str::to_owned))), "{message}");
        }
    }

    #[test]
    fn what_the_phone_tells_its_other_devices_is_no_message() {
        for message in [
            json!(null),
            json!({}),
            json!({"conversation": null}),
            json!({"messageContextInfo": {"deviceListMetadata": {}}}),
            json!({"senderKeyDistributionMessage": {"groupID": "1"}}),
            json!({"protocolMessage": {"type": 5, "historySyncNotification": {}}}),
            json!({"protocolMessage": {}}),
        ] {
            assert_eq!(read(&message), None, "{message}");
        }
    }
}
