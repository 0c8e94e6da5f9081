//! Every form of row, and every word in one.

use serde_json::{Value, json};
use sincro_core::media::MediaPlace;

use super::*;
use crate::whatsmeow::STATUSES;

const PHONE: &str = "5511988887777@s.whatsapp.net";
const OWN: &str = "5511999990000:12@s.whatsapp.net";

/// The page's row with these fields in place of its own.
fn row(changes: &Value) -> Row<'static> {
    let mut fields = json!({"id": 912, "user_id": "b1", "chat_jid": PHONE, "sender_jid": PHONE, "message_id": "3EB0A1",
        "timestamp": "2026-04-03T12:00:00Z", "message_type": "text", "text_content": "oi", "media_link": "",
        "quoted_message_id": "", "data_json": ""});
    for (name, value) in changes.as_object().unwrap() {
        fields[name] = value.clone();
    }
    Row::read(Box::leak(serde_json::value::to_raw_value(&fields).unwrap())).unwrap()
}

fn with_event(event: &Value) -> Row<'static> {
    row(&json!({"data_json": event.to_string()}))
}

fn asked() -> Address {
    PHONE.parse().unwrap()
}

fn sent_at(row: &Row) -> String {
    row.sent_at().unwrap().to_rfc3339()
}

#[test]
fn a_file_is_known_where_the_gateway_has_a_place_for_files() {
    let place = |link: &str| row(&json!({"media_link": link})).media().and_then(|media| media.place);
    let link = "https://s3.example.org/bucket/users/1/a.jpg";
    assert_eq!(place(link), Some(MediaPlace::Link(link.into())));
    for none in ["", " ", "data:image/jpeg;base64,AA==", "/files/a.jpg", "file:///etc/passwd"] {
        assert_eq!(place(none), None, "{none}");
    }
}

#[test]
fn a_live_row_tells_its_time_and_direction_in_info() {
    let row = with_event(&json!({
        "Info": {"ID": "3EB0A1", "Chat": PHONE, "Sender": OWN, "IsFromMe": true, "Timestamp": "2026-01-10T06:00:00-03:00"},
        "Message": {"conversation": "oi"}, "RawMessage": {"conversation": "oi"}
    }));
    assert_eq!(sent_at(&row), "2026-01-10T09:00:00+00:00");
    assert!(row.is_from_me(&asked()));
    assert_eq!(row.status(), None);
}

#[test]
fn a_row_out_of_a_history_blob_falls_back_to_the_phones_record_in_any_spelling() {
    for raw in [
        json!({"key": {"remoteJID": PHONE, "fromMe": true, "ID": "3EB0A0"}, "messageTimestamp": 1_765_990_000, "status": 3}),
        json!({"Key": {"FromMe": true, "Id": "3EB0A0"}, "MessageTimestamp": "1765990000", "Status": "DELIVERY_ACK"}),
        json!({"key": {"fromMe": "true", "id": "3EB0A0"}, "messageTimestamp": 1_765_990_000_000_i64, "status": "3"}),
    ] {
        let event = json!({"Info": {"Timestamp": "0001-01-01T00:00:00Z"}, "RawMessage": raw});
        let row = row(&json!({"message_id": "", "data_json": event.to_string()}));
        assert_eq!(row.id().as_deref(), Some("3EB0A0"));
        assert_eq!(sent_at(&row), "2025-12-17T16:46:40+00:00");
        assert!(row.is_from_me(&asked()));
        assert_eq!(row.status().as_deref(), Some("delivery_ack"));
    }
}

#[test]
fn a_row_sent_by_api_has_no_event_and_is_the_channels_own() {
    let row = row(&json!({"sender_jid": "me", "data_json": ""}));
    assert!(row.is_from_me(&asked()));
    assert_eq!(sent_at(&row), "2026-04-03T12:00:00+00:00");
}

#[test]
fn an_unreadable_event_leaves_what_the_row_itself_says() {
    for event in [json!("{}"), json!("{"), json!("null"), json!("[]"), json!(null), json!({}), json!(7)] {
        let row = row(&json!({"data_json": event}));
        assert_eq!(sent_at(&row), "2026-04-03T12:00:00+00:00", "{event}");
        assert_eq!(row.id().as_deref(), Some("3EB0A1"));
        assert!(!row.is_from_me(&asked()));
    }
}

#[test]
fn an_event_that_comes_as_an_object_or_with_a_nul_is_read() {
    let event = json!({"Info": {"Timestamp": "2026-01-10T09:00:00Z", "PushName": "a\u{0}na"}});
    for written in [event.clone(), json!(event.to_string()), json!(event.to_string().replace("\\u0000", "\u{0}"))] {
        assert_eq!(sent_at(&row(&json!({"data_json": written}))), "2026-01-10T09:00:00+00:00");
    }
}

#[test]
fn the_senders_time_wins_over_the_gateways() {
    let times = json!({"sent_at": "2026-01-11T00:00:00Z", "data_json": ""});
    assert_eq!(sent_at(&row(&times)), "2026-01-11T00:00:00+00:00");
    let mut with_phone = times.clone();
    with_phone["data_json"] = json!({"RawMessage": {"messageTimestamp": 1_765_990_000}});
    assert_eq!(sent_at(&row(&with_phone)), "2025-12-17T16:46:40+00:00");
    let mut with_event = with_phone.clone();
    with_event["data_json"]["Info"] = json!({"Timestamp": "2026-01-10T09:00:00Z"});
    assert_eq!(sent_at(&row(&with_event)), "2026-01-10T09:00:00+00:00");
    assert!(row(&json!({"timestamp": "300000-01-01T00:00:00Z"})).sent_at().is_none());
}

#[test]
fn without_an_event_whoever_is_not_the_contact_is_the_channel() {
    for (sender, from_me) in [
        (PHONE, false),
        ("5511988887777:7@s.whatsapp.net", false),
        (OWN, true),
        ("280000000000009@lid", true),
        ("", false),
        ("unknown", false),
    ] {
        assert_eq!(row(&json!({"sender_jid": sender, "data_json": "{}"})).is_from_me(&asked()), from_me, "{sender}");
    }
    let said = json!({"Info": {"IsFromMe": false}}).to_string();
    assert!(!row(&json!({"sender_jid": OWN, "data_json": said})).is_from_me(&asked()));
}

#[test]
fn a_row_belongs_to_its_chat_however_that_is_written_and_to_no_other() {
    for (chat, is_of) in [
        (json!("5511988887777@s.whatsapp.net"), true),
        (json!("5511988887777:3@s.whatsapp.net"), true),
        (json!("5511988887777@c.us"), true),
        (json!(""), true),
        (json!(null), true),
        (json!("5511977776666@s.whatsapp.net"), false),
        (json!("190000000000001@lid"), false),
        (json!("120363@g.us"), false),
        (json!("?"), false),
    ] {
        assert_eq!(row(&json!({"chat_jid": chat})).is_of(&asked()), is_of, "{chat}");
    }
}

#[test]
fn every_kind_has_its_word_and_new_words_are_unknown() {
    for (word, kind) in [
        ("text", MessageKind::Text),
        ("Image", MessageKind::Image),
        ("video", MessageKind::Video),
        ("audio", MessageKind::Audio),
        ("document", MessageKind::Document),
        ("sticker", MessageKind::Sticker),
        ("location", MessageKind::Location),
        ("contact", MessageKind::Contact),
        ("buttons_response", MessageKind::Interactive),
        ("list_response", MessageKind::Interactive),
        ("poll", MessageKind::Interactive),
        ("poll_vote", MessageKind::Interactive),
        ("reaction", MessageKind::Reaction),
        ("delete", MessageKind::Deleted),
        ("edit", MessageKind::Unknown),
        ("unknown", MessageKind::Unknown),
        ("", MessageKind::Unknown),
    ] {
        assert_eq!(row(&json!({"message_type": word})).kind(), kind, "{word}");
    }
    assert_eq!(row(&json!({"message_type": null})).kind(), MessageKind::Unknown);
}

#[test]
fn a_media_tag_is_no_text_but_the_same_characters_in_words_are() {
    for (kind, written, text) in [
        (MessageKind::Image, ":image:", None),
        (MessageKind::Contact, ":contact:", None),
        (MessageKind::Image, "olha :image:", Some("olha :image:")),
        (MessageKind::Image, ":)", Some(":)")),
        (MessageKind::Text, ":smile:", Some(":smile:")),
        (MessageKind::Reaction, "❤\u{fe0f}", Some("❤\u{fe0f}")),
        (MessageKind::Text, "", None),
        (MessageKind::Text, " \n", None),
        (MessageKind::Text, " oi\0 ", Some(" oi ")),
    ] {
        assert_eq!(row(&json!({"text_content": written})).text(kind).as_deref(), text, "{written:?}");
    }
    assert_eq!(row(&json!({"text_content": null})).text(MessageKind::Text), None);
}

#[test]
fn every_status_has_its_word_and_others_are_none() {
    for (number, word) in STATUSES.iter().enumerate() {
        for written in [json!(number), json!(number.to_string()), json!(word.to_ascii_uppercase())] {
            let row = with_event(&json!({"RawMessage": {"status": written}}));
            assert_eq!(row.status().as_deref(), Some(*word), "{written}");
        }
    }
    for written in [json!(6), json!(-1), json!("SENT"), json!(""), json!(null), json!([])] {
        assert_eq!(with_event(&json!({"RawMessage": {"status": written}})).status(), None, "{written}");
    }
}

#[test]
fn an_id_that_no_index_could_hold_is_none() {
    assert_eq!(row(&json!({"message_id": "x".repeat(300)})).id(), None);
    assert_eq!(row(&json!({"message_id": 17})).id().as_deref(), Some("17"));
    assert_eq!(row(&json!({"message_id": null})).id(), None);
}

#[test]
fn a_row_that_is_nested_or_numbered_beyond_what_readers_bear_is_unreadable() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for raw in [deep.as_str(), "{\"a\":1e400000}", "[]", "null"] {
        let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
        assert_eq!(Row::read(&raw).err(), Some(Flaw::Unreadable));
    }
}
