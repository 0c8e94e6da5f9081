//! Every type of message, and every word in one.

use serde_json::json;
use sincro_core::media::MediaPlace;

use super::*;

const PHONE: &str = "5511988887777@s.whatsapp.net";
const LID: &str = "190000000000001@lid";

/// The page's message with these fields in place of its own, asked for under an address.
fn under(asked: &str, changes: &Value) -> Result<Message, Flaw> {
    let mut fields = json!({"id": "PsqXn.SOAjx-xQA", "type": "text", "chat_id": PHONE, "from": "5511988887777", "from_me": false,
        "source": "mobile", "timestamp": 1_766_000_000, "status": "read", "text": {"body": "oi"}});
    for (name, value) in changes.as_object().unwrap() {
        fields[name] = value.clone();
    }
    read(&serde_json::value::to_raw_value(&fields).unwrap(), &asked.parse().unwrap())
}

fn message(changes: &Value) -> Message {
    under(PHONE, changes).unwrap()
}

#[test]
fn a_file_is_known_by_its_id_or_by_the_link_of_an_automatic_download() {
    let media = |fields: Value| message(&fields).media;
    let voice = json!({"type": "voice", "voice": {"id": "ogg-AbC", "mime_type": "audio/ogg", "file_size": 9_310, "seconds": 3}});
    let known = Media {
        place: Some(MediaPlace::Id("ogg-AbC".into())),
        mime: Some("audio/ogg".into()),
        bytes: Some(9_310),
        ..Media::default()
    };
    assert_eq!(media(voice), Some(known));
    let linked = json!({"type": "image", "image": {"id": "media_init", "link": "https://store/a.jpg"}});
    assert_eq!(media(linked).unwrap().place, Some(MediaPlace::Link("https://store/a.jpg".into())));
    assert_eq!(media(json!({"type": "image", "image": {"id": "media_init"}})), Some(Media::default()));
    assert_eq!(media(json!({"type": "sticker"})), Some(Media::default()));
    assert_eq!(media(json!({"type": "location", "location": {"id": "1"}})), None);
    assert_eq!(media(json!({})), None);
}

#[test]
fn content_is_under_a_key_named_after_the_type() {
    use MessageKind::{
        Audio, Contact, Deleted, Document, Image, Interactive, Location, Reaction, Sticker, Text, Unknown, Video,
    };
    for (kind, fields, text) in [
        (Text, json!({"type": "text", "text": {"body": "bom dia"}}), Some("bom dia")),
        (
            Text,
            json!({"type": "link_preview", "link_preview": {"body": "veja https://a", "title": "A"}}),
            Some("veja https://a"),
        ),
        (
            Image,
            json!({"type": "image", "image": {"id": "m", "mime_type": "image/jpeg", "caption": "foto"}}),
            Some("foto"),
        ),
        (Image, json!({"type": "image", "image": {"id": "media_init"}}), None),
        (Video, json!({"type": "video", "video": {"caption": "veja"}}), Some("veja")),
        (Video, json!({"type": "short", "short": {}}), None),
        (Video, json!({"type": "gif", "gif": {"caption": " "}}), None),
        (Audio, json!({"type": "audio", "audio": {}}), None),
        (Audio, json!({"type": "voice", "voice": {"seconds": 3}}), None),
        (Document, json!({"type": "document", "document": {"filename": "a.pdf", "name": "a.pdf"}}), None),
        (Sticker, json!({"type": "sticker", "sticker": {"animated": true}}), None),
        (
            Location,
            json!({"type": "location", "location": {"latitude": -23.5, "name": "Praça da Sé"}}),
            Some("Praça da Sé"),
        ),
        (Location, json!({"type": "live_location", "live_location": {}}), None),
        (Contact, json!({"type": "contact", "contact": {"name": "Zé", "vcard": "BEGIN:VCARD"}}), Some("Zé")),
        (Contact, json!({"type": "contact_list", "contact_list": {"list": []}}), None),
        (Interactive, json!({"type": "interactive", "interactive": {"body": {"text": "Escolha"}}}), Some("Escolha")),
        (Interactive, json!({"type": "reply", "reply": {"buttons_reply": {"title": "Sim"}}}), Some("Sim")),
        (Interactive, json!({"type": "poll", "poll": {"title": "Quando?"}}), Some("Quando?")),
        (Interactive, json!({"type": "hsm", "hsm": {"body": "Olá"}}), Some("Olá")),
        (Reaction, json!({"type": "action", "action": {"type": "reaction", "target": "x", "emoji": "❤️"}}), Some("❤️")),
        (Deleted, json!({"type": "action", "action": {"type": "delete", "target": "x"}}), None),
        (
            Unknown,
            json!({"type": "action", "action": {"type": "edit", "edited_content": {"body": "ola"}}}),
            Some("ola"),
        ),
        (Unknown, json!({"type": "system", "system": {"body": "Você entrou"}}), Some("Você entrou")),
        (Unknown, json!({"type": "order", "order": {"order_id": "7"}}), None),
        (Unknown, json!({"type": "group_invite"}), None),
        (Unknown, json!({"type": "something_new", "something_new": {"body": "novo"}}), Some("novo")),
        (Unknown, json!({"type": null}), None),
    ] {
        let message = message(&fields);
        assert_eq!((message.kind, message.text.as_deref()), (kind, text), "{fields}");
    }
}

#[test]
fn a_chat_asked_for_by_its_lid_may_answer_under_the_phone_and_another_person_never_may() {
    assert!(under(LID, &json!({"chat_id": PHONE})).is_ok(), "resolved to the phone");
    assert!(under(LID, &json!({"chat_id": LID})).is_ok());
    assert!(under(PHONE, &json!({"chat_id": LID})).is_ok());
    assert!(under(PHONE, &json!({"chat_id": null})).is_ok());
    for chat in ["5511977776666@s.whatsapp.net", "120363000000000000@g.us", "status@broadcast", "?"] {
        assert_eq!(under(PHONE, &json!({"chat_id": chat})).unwrap_err(), Flaw::OtherChat, "{chat}");
    }
    assert_eq!(under(LID, &json!({"chat_id": "190000000000009@lid"})).unwrap_err(), Flaw::OtherChat);
}

#[test]
fn the_direction_is_said_or_follows_from_the_sender() {
    assert!(message(&json!({"from_me": true})).from_me);
    assert!(message(&json!({"from_me": "true"})).from_me);
    assert!(!message(&json!({"from_me": null})).from_me, "the person's own number");
    assert!(message(&json!({"from_me": null, "from": "5511999990000"})).from_me);
    assert!(!message(&json!({"from_me": null, "from": null})).from_me);
    let by_lid = under(LID, &json!({"chat_id": LID, "from_me": null, "from": "5511988887777"})).unwrap();
    assert!(!by_lid.from_me, "a phone number cannot be compared with a LID");
}

#[test]
fn a_status_is_kept_in_the_gateways_word_also_a_new_one() {
    for (said, kept) in [
        (json!("Delivered"), Some("delivered")),
        (json!("half_read"), Some("half_read")),
        (json!(""), None),
        (json!("see https://a"), None),
        (json!(3), None),
        (Value::Null, None),
    ] {
        assert_eq!(message(&json!({"status": said})).status.as_deref(), kept, "{said}");
    }
}

#[test]
fn what_cannot_be_told_apart_or_placed_in_time_is_left_out() {
    assert_eq!(under(PHONE, &json!({"id": ""})).unwrap_err(), Flaw::WithoutId);
    assert_eq!(under(PHONE, &json!({"id": "x".repeat(256)})).unwrap_err(), Flaw::WithoutId);
    assert_eq!(under(PHONE, &json!({"timestamp": 0})).unwrap_err(), Flaw::WithoutTime);
    let sent_at = |timestamp: Value| message(&json!({"timestamp": timestamp})).sent_at.timestamp();
    assert_eq!(sent_at(json!("1766000000")), 1_766_000_000);
    assert_eq!(sent_at(json!(1_766_000_000_000_i64)), 1_766_000_000, "in milliseconds");
}
