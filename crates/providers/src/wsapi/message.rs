//! One message of a webhook, and the person it was exchanged with.

use serde_json::{Value, value::RawValue};
use sincro_core::{
    address::Address,
    contact::Contact,
    message::{Message, MessageKind},
};

use crate::{
    json, media, moment, name, person,
    rows::{Flaw, LONGEST_ID},
};

/// Reads a message; none of a group or a status. `chat` is what the event says of its chat, which may be empty: then each message
/// of it has its own.
pub(super) fn read(raw: &RawValue, chat: Option<&str>) -> Result<Option<(Contact, Message)>, Flaw> {
    let record = json::object(raw.get()).ok_or(Flaw::Unreadable)?;
    let flag = |name| json::field(&record, name).and_then(json::flag).unwrap_or(false);
    let chat = word(&record, "chatId").or_else(|| chat.map(str::to_owned)).ok_or(Flaw::UnknownChat)?;
    if flag("isGroup") || flag("isStatus") || person::is_many(&chat) {
        return Ok(None);
    }
    let chat = person::address(&chat).ok_or(Flaw::UnknownChat)?;
    let sender = json::field(&record, "sender").unwrap_or(&Value::Null);
    let addresses: Vec<Address> =
        ["id", "lid", "phone"].iter().filter_map(|name| person::address(&word(sender, name)?)).collect();
    // In a chat of two, whoever is not the person is the channel.
    let is_somebody_else = addresses.iter().any(|address| address.kind() == chat.kind() && *address != chat);
    let from_me = json::field(sender, "isMe").and_then(json::flag).unwrap_or(is_somebody_else);
    let is_person = !from_me && !is_somebody_else;
    let name = if is_person { name::best(sender, &["pushName", "name"]) } else { None };
    let known = addresses.into_iter().filter(|_| is_person);
    let person = person::under(std::iter::once(chat).chain(known), name).ok_or(Flaw::UnknownChat)?;
    let kind = kind(&record);
    let message = Message {
        id: word(&record, "id").filter(|id| id.len() <= LONGEST_ID).ok_or(Flaw::WithoutId)?,
        from_me,
        sent_at: ["time", "timestamp"]
            .iter()
            .find_map(|name| json::field(&record, name).and_then(moment::read))
            .ok_or(Flaw::WithoutTime)?,
        kind,
        text: text(&record),
        status: None,
        media: json::field(&record, "media").filter(|media| media.is_object()).map(media::described),
        payload: json::storable(raw),
    };
    Ok(Some((person, message)))
}

/// By the gateway's words, any of which may be new: of a medium the second one tells more.
fn kind(record: &Value) -> MessageKind {
    let words = [word(record, "type"), json::field(record, "media").and_then(|media| word(media, "mediaType"))];
    let kinds = words.into_iter().flatten().map(|word| match word.to_ascii_lowercase().as_str() {
        "text" => MessageKind::Text,
        "image" => MessageKind::Image,
        "video" | "gif" | "ptv" => MessageKind::Video,
        "audio" | "voice" | "ptt" => MessageKind::Audio,
        "document" | "file" => MessageKind::Document,
        "sticker" => MessageKind::Sticker,
        "location" | "live_location" => MessageKind::Location,
        "contact" | "contacts" => MessageKind::Contact,
        "reaction" => MessageKind::Reaction,
        "poll" | "interactive" | "buttons_response" | "list_response" => MessageKind::Interactive,
        "revoked" | "deleted" => MessageKind::Deleted,
        _ => MessageKind::Unknown,
    });
    kinds
        .reduce(|first, second| if first == MessageKind::Unknown { second } else { first })
        .unwrap_or(MessageKind::Unknown)
}

/// Words, caption, emoji, or the name on a card.
fn text(record: &Value) -> Option<String> {
    let places: [&[&str]; 9] = [
        &["text"],
        &["text", "body"],
        &["media", "caption"],
        &["reaction"],
        &["reaction", "emoji"],
        &["reaction", "text"],
        &["contact", "displayName"],
        &["contact", "name"],
        &["contact", "fullName"],
    ];
    let text = |place: &&[&str]| json::at(record, place).and_then(json::text);
    places.iter().find_map(|place| text(place).filter(|text| !text.trim().is_empty()))
}

fn word(record: &Value, name: &str) -> Option<String> {
    let word = json::field(record, name).and_then(json::text)?.trim().to_owned();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::media::{Media, MediaPlace};

    use super::*;

    const PHONE: &str = "5511988887777@s.whatsapp.net";

    fn with(changes: &Value) -> Result<Option<(Contact, Message)>, Flaw> {
        let mut record = json!({"id": "3EB0A0", "chatId": PHONE, "isGroup": false, "time": "2025-12-01T08:00:00Z", "type": "text",
            "sender": {"id": PHONE, "lid": "190000000000001@lid", "phone": "5511988887777", "isMe": false}, "text": "bom dia"});
        for (name, value) in changes.as_object().unwrap() {
            record[name] = value.clone();
        }
        read(&serde_json::value::to_raw_value(&record).unwrap(), None)
    }

    fn message(changes: &Value) -> Message {
        with(changes).unwrap().unwrap().1
    }

    #[test]
    fn any_word_is_taken_as_a_type_and_the_kind_of_a_medium_says_more() {
        use MessageKind::{Audio, Contact, Image, Reaction, Text, Unknown};
        for (fields, kind, text) in [
            (json!({}), Text, Some("bom dia")),
            (
                json!({"text": null, "type": "media", "media": {"mediaType": "image", "caption": "nota"}}),
                Image,
                Some("nota"),
            ),
            (json!({"text": null, "type": "media", "media": {"mediaType": "ptt"}}), Audio, None),
            (json!({"text": null, "type": "media", "media": {"mediaType": "hologram"}}), Unknown, None),
            (json!({"text": null, "type": "image", "media": {"mediaType": "image"}}), Image, None),
            (json!({"text": null, "type": "reaction", "reaction": {"emoji": "❤"}}), Reaction, Some("❤")),
            (json!({"text": null, "type": "contact", "contact": {"displayName": "Zé"}}), Contact, Some("Zé")),
            (json!({"type": "something_new"}), Unknown, Some("bom dia")),
            (json!({"type": 7, "text": {"body": "oi"}}), Unknown, Some("oi")),
        ] {
            let message = message(&fields);
            assert_eq!((message.kind, message.text.as_deref()), (kind, text), "{fields}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_id_with_its_type_and_length() {
        let media = json!({"id": "med_1", "mediaType": "image", "mimeType": "image/jpeg", "fileLength": 1234});
        let known = Media {
            place: Some(MediaPlace::Id("med_1".into())),
            mime: Some("image/jpeg".into()),
            bytes: Some(1_234),
            ..Media::default()
        };
        assert_eq!(message(&json!({"type": "media", "media": media})).media, Some(known));
        assert_eq!(message(&json!({"type": "media", "media": {"mediaType": "ptt"}})).media, Some(Media::default()));
        assert_eq!(message(&json!({"media": "med_1"})).media, None);
        assert_eq!(message(&json!({})).media, None);
    }

    #[test]
    fn the_direction_is_said_or_follows_from_the_sender() {
        assert!(message(&json!({"sender": {"id": "5511999990000@s.whatsapp.net", "isMe": true}})).from_me);
        assert!(message(&json!({"sender": {"id": "5511999990000@s.whatsapp.net"}})).from_me);
        assert!(!message(&json!({"sender": {"id": PHONE}})).from_me);
        assert!(
            !message(&json!({"sender": {"id": "190000000000001@lid"}})).from_me,
            "a LID cannot be compared with a phone"
        );
        assert!(!message(&json!({"sender": null})).from_me);
    }

    #[test]
    fn another_persons_identity_never_joins_a_chat() {
        let somebody = json!({"id": "5511977776666@s.whatsapp.net", "lid": "190000000000009@lid", "isMe": false});
        assert!(with(&json!({"sender": somebody})).unwrap().unwrap().0.lid().is_none());
        let own = json!({"id": "5511999990000@s.whatsapp.net", "lid": "190000000000008@lid", "isMe": true});
        assert!(with(&json!({"sender": own})).unwrap().unwrap().0.lid().is_none());
        assert!(with(&json!({})).unwrap().unwrap().0.lid().is_some());
    }

    #[test]
    fn groups_and_status_are_none_and_flaws_have_names() {
        for nothing in [json!({"isGroup": true}), json!({"isStatus": true}), json!({"chatId": "1203@g.us"})] {
            assert!(with(&nothing).unwrap().is_none(), "{nothing}");
        }
        for (fields, flaw) in [
            (json!({"id": ""}), Flaw::WithoutId),
            (json!({"time": null}), Flaw::WithoutTime),
            (json!({"chatId": ""}), Flaw::UnknownChat),
            (json!({"chatId": "?"}), Flaw::UnknownChat),
        ] {
            assert_eq!(with(&fields).unwrap_err(), flaw, "{fields}");
        }
    }
}
