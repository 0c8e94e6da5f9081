//! One message as Meta writes it: what it holds is under a member that has the name of its type.

use serde_json::{Value, value::RawValue};
use sincro_core::{
    address::Address,
    contact::Contact,
    media::Media,
    message::{Message, MessageKind},
};

use crate::{
    json, media, moment, person,
    rows::{Flaw, LONGEST_ID},
};

/// States are words of letters: delivered, error, pending, played, read, sent.
const LONGEST_STATUS: usize = 30;

/// What is known of a message before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// The person whose thread it is in.
    pub(super) thread: Option<&'a Address>,
    /// The channel's own number as webhooks show it.
    pub(super) own: Option<&'a Address>,
}

/// Reads a message; none of a group.
pub(super) fn read(raw: &RawValue, around: Around<'_>) -> Result<Option<(Contact, Message)>, Flaw> {
    let record = json::object(raw.get()).ok_or(Flaw::Unreadable)?;
    if json::field(&record, "group_id").is_some() {
        return Ok(None);
    }
    let from = word(&record, "from").and_then(|from| person::phone(&from));
    let to = word(&record, "to").and_then(|to| person::phone(&to));
    let from_me = is_from_me(from.as_ref(), to.as_ref(), around);
    let chat = around.thread.cloned().or(if from_me { to } else { from }).ok_or(Flaw::UnknownChat)?;
    let type_word = word(&record, "type").unwrap_or_default().to_ascii_lowercase();
    let message = Message {
        id: word(&record, "id").filter(|id| id.len() <= LONGEST_ID).ok_or(Flaw::WithoutId)?,
        from_me,
        sent_at: json::field(&record, "timestamp").and_then(moment::read).ok_or(Flaw::WithoutTime)?,
        kind: kind(&type_word),
        text: text(&record, &type_word),
        status: json::at(&record, &["history_context", "status"]).and_then(json::text).and_then(|said| status(&said)),
        media: file(&record, &type_word),
        payload: json::storable(raw),
    };
    Ok(Some((Contact::under(chat, None), message)))
}

/// `to` is there only when the business was the sender. Whoever has the thread, or is the channel, is surely what he is.
fn is_from_me(from: Option<&Address>, to: Option<&Address>, around: Around<'_>) -> bool {
    match from {
        Some(from) if Some(from) == around.thread => false,
        Some(from) if Some(from) == around.own => true,
        _ => to.is_some() && to != around.own,
    }
}

/// By Meta's word. A placeholder stands for a medium of which nothing is known, not even its kind.
fn kind(type_word: &str) -> MessageKind {
    match type_word {
        "text" => MessageKind::Text,
        "image" => MessageKind::Image,
        "video" => MessageKind::Video,
        "audio" | "voice" => MessageKind::Audio,
        "document" => MessageKind::Document,
        "sticker" => MessageKind::Sticker,
        "location" => MessageKind::Location,
        "contacts" | "contact" => MessageKind::Contact,
        "reaction" => MessageKind::Reaction,
        "interactive" | "button" => MessageKind::Interactive,
        "revoke" | "deleted" => MessageKind::Deleted,
        _ => MessageKind::Unknown,
    }
}

/// A placeholder has one as well, of which nothing is known.
fn file(record: &Value, type_word: &str) -> Option<Media> {
    match type_word {
        "media_placeholder" => Some(Media::default()),
        "image" | "video" | "audio" | "voice" | "document" | "sticker" => {
            Some(json::field(record, type_word).map(media::described).unwrap_or_default())
        }
        _ => None,
    }
}

fn text(record: &Value, type_word: &str) -> Option<String> {
    let content = json::field(record, type_word)?;
    // Cards come in a list; the first one names it.
    let content = content.as_array().map_or(content, |list| list.first().unwrap_or(&Value::Null));
    let places: [&[&str]; 10] = [
        &["body"],
        &["caption"],
        &["emoji"],
        &["text"],
        &["button_reply", "title"],
        &["list_reply", "title"],
        &["nfm_reply", "body"],
        &["name", "formatted_name"],
        &["name"],
        &["address"],
    ];
    let found = |place: &&[&str]| json::at(content, place).and_then(json::text).filter(|text| !text.trim().is_empty());
    places.iter().find_map(found)
}

fn status(said: &str) -> Option<String> {
    let status = said.trim().to_ascii_lowercase();
    let is_word = status.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_word && (1..=LONGEST_STATUS).contains(&status.len())).then_some(status)
}

fn word(record: &Value, name: &str) -> Option<String> {
    let word = json::field(record, name).and_then(json::text)?.trim().to_owned();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::media::MediaPlace;

    use super::*;

    fn with(changes: &Value, around: Around<'_>) -> Result<Option<(Contact, Message)>, Flaw> {
        let mut record = json!({"from": "5511988887777", "id": "wamid.A", "timestamp": "1766000000", "type": "text",
            "text": {"body": "oi"}});
        for (name, value) in changes.as_object().unwrap() {
            record[name] = value.clone();
        }
        read(&serde_json::value::to_raw_value(&record).unwrap(), around)
    }

    fn message(changes: &Value) -> Message {
        with(changes, Around::default()).unwrap().unwrap().1
    }

    #[test]
    fn content_is_under_the_name_of_its_type() {
        use MessageKind::{Contact, Document, Image, Interactive, Location, Reaction, Text, Unknown};
        for (fields, kind, text) in [
            (json!({}), Text, Some("oi")),
            (json!({"type": "image", "image": {"id": "998877", "caption": "foto"}}), Image, Some("foto")),
            (json!({"type": "document", "document": {"filename": "a.pdf"}}), Document, None),
            (json!({"type": "location", "location": {"latitude": 1, "name": "Sé"}}), Location, Some("Sé")),
            (json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Zé"}}]}), Contact, Some("Zé")),
            (json!({"type": "reaction", "reaction": {"message_id": "x", "emoji": "❤"}}), Reaction, Some("❤")),
            (json!({"type": "button", "button": {"text": "Sim"}}), Interactive, Some("Sim")),
            (json!({"type": "interactive", "interactive": {"list_reply": {"title": "Um"}}}), Interactive, Some("Um")),
            (json!({"type": "media_placeholder", "text": null}), Unknown, None),
            (json!({"type": "something_new", "text": {"body": "not its own"}}), Unknown, None),
        ] {
            let message = message(&fields);
            assert_eq!((message.kind, message.text.as_deref()), (kind, text), "{fields}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_id_and_a_placeholder_holds_its_place() {
        let media = |fields: Value| message(&fields).media;
        let image = json!({"type": "image", "image": {"id": "998877", "mime_type": "image/jpeg", "sha256": "9b1f"}});
        let known = Media {
            place: Some(MediaPlace::Id("998877".into())),
            mime: Some("image/jpeg".into()),
            sha256: Some("9b1f".into()),
            ..Media::default()
        };
        assert_eq!(media(image), Some(known));
        let document = media(json!({"type": "document", "document": {"id": "1", "filename": "a.pdf"}})).unwrap();
        assert_eq!(document.file_name.as_deref(), Some("a.pdf"));
        assert_eq!(media(json!({"type": "media_placeholder"})), Some(Media::default()));
        assert_eq!(media(json!({"type": "voice"})), Some(Media::default()));
        for without in [json!({}), json!({"type": "location", "location": {"id": "1"}}), json!({"type": "unsupported"})]
        {
            assert_eq!(media(without), None);
        }
    }

    #[test]
    fn to_is_there_only_when_the_business_was_the_sender() {
        let person: Address = "5511988887777@s.whatsapp.net".parse().unwrap();
        let own: Address = "5511999990000@s.whatsapp.net".parse().unwrap();
        let sent = json!({"from": "5511999990000", "to": "5511988887777"});
        for around in [
            Around::default(),
            Around { own: Some(&own), ..Around::default() },
            Around { thread: Some(&person), own: None },
            Around { thread: Some(&person), own: Some(&own) },
        ] {
            let (contact, message) = with(&sent, around).unwrap().unwrap();
            assert!(message.from_me && contact.phone() == Some(&person), "{around:?}");
            let (contact, message) = with(&json!({}), around).unwrap().unwrap();
            assert!(!message.from_me && contact.phone() == Some(&person), "{around:?}");
        }
        let without_to = json!({"from": "+55 11", "to": null});
        assert_eq!(with(&without_to, Around::default()).unwrap_err(), Flaw::UnknownChat);
        let to_us = json!({"to": "5511999990000"});
        assert!(!with(&to_us, Around { own: Some(&own), ..Around::default() }).unwrap().unwrap().1.from_me);
    }

    #[test]
    fn a_state_comes_from_the_history_and_flaws_have_names() {
        for (said, kept) in
            [(json!("READ"), Some("read")), (json!(""), None), (json!("see https"), None), (json!(null), None)]
        {
            let message = message(&json!({"history_context": {"status": said}}));
            assert_eq!(message.status.as_deref(), kept, "{said}");
        }
        for (fields, flaw) in [
            (json!({"id": null}), Flaw::WithoutId),
            (json!({"timestamp": "0"}), Flaw::WithoutTime),
            (json!({"from": "US.1234567890"}), Flaw::UnknownChat),
        ] {
            assert_eq!(with(&fields, Around::default()).unwrap_err(), flaw, "{fields}");
        }
        assert!(with(&json!({"group_id": "g"}), Around::default()).unwrap().is_none());
    }
}
