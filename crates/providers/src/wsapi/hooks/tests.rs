//! Every event of the page, in both envelopes, and what may be wrong with one.

use serde_json::{Value, json};
use sincro_core::{address::Address, hook::Batch, message::MessageKind};

use super::*;

const PAGE: &str = r#"{"eventId":"evt_1766000000000_ab12","instanceId":"ins_7","eventType":"message_history_sync","receivedAt":"2026-05-20T10:00:00Z",
 "eventData":{"chatId":"5511988887777@s.whatsapp.net","messages":[
  {"id":"3EB0A0","chatId":"5511988887777@s.whatsapp.net",
   "sender":{"id":"5511988887777@s.whatsapp.net","lid":"190000000000001@lid","phone":"5511988887777","isMe":false},
   "isGroup":false,"time":"2025-12-01T08:00:00Z","type":"text","text":"bom dia"},
  {"id":"3EB0A2","chatId":"5511988887777@s.whatsapp.net","sender":{"id":"5511999990000@s.whatsapp.net","isMe":true},
   "isGroup":false,"time":"2025-12-01T08:05:00Z","type":"media",
   "media":{"id":"med_1","mediaType":"image","mimeType":"image/jpeg","fileLength":1234,"caption":"nota"}}]}}"#;

fn told(body: &str) -> Vec<Event> {
    let mut events = Vec::new();
    read(body, Some("ins_7"), &mut |told| events.push(told.event)).unwrap();
    events
}

fn event(kind: &str, data: &Value) -> Vec<Event> {
    let at = "2026-05-20T10:00:00Z";
    let event = json!({"eventId": "e", "instanceId": "ins_7", "eventType": kind, "receivedAt": at, "eventData": data});
    told(&event.to_string())
}

fn batch(events: Vec<Event>) -> Batch {
    let [Event::Messages(batch)] = <[Event; 1]>::try_from(events).unwrap() else { panic!("no messages") };
    batch
}

#[test]
fn the_history_of_the_page_is_read_word_for_word() {
    let batch = batch(told(PAGE));
    assert_eq!(batch.chat.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
    assert_eq!(batch.chat.lid().map(Address::as_str), Some("190000000000001@lid"));
    let [words, picture] = &batch.messages[..] else { panic!("{batch:?}") };
    assert_eq!((words.id.as_str(), words.from_me, words.text.as_deref()), ("3EB0A0", false, Some("bom dia")));
    assert_eq!(words.sent_at.to_rfc3339(), "2025-12-01T08:00:00+00:00");
    assert_eq!((picture.kind, picture.from_me, picture.text.as_deref()), (MessageKind::Image, true, Some("nota")));
    assert_eq!((batch.source, batch.exhausted), (Source::History, false));
}

#[test]
fn the_envelope_of_the_wiki_is_read_as_well() {
    assert_eq!(batch(told(&PAGE.replace("\"eventData\"", "\"data\""))).messages.len(), 2);
    assert_eq!(batch(told(&format!("[{PAGE}]"))).messages.len(), 2);
}

#[test]
fn mixed_answers_have_no_chat_of_their_own_and_each_message_says_its_own() {
    let other = "\"chatId\":\"5511977776666@s.whatsapp.net\",\"sender\":{\"id\":\"5511999990000";
    let mixed = PAGE
        .replacen("\"chatId\":\"5511988887777@s.whatsapp.net\",\"messages\"", "\"chatId\":\"\",\"messages\"", 1)
        .replace("\"chatId\":\"5511988887777@s.whatsapp.net\",\"sender\":{\"id\":\"5511999990000", other);
    let events = told(&mixed);
    let chats: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Messages(batch) => batch.chat.phone().map(Address::to_string),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["5511988887777@s.whatsapp.net", "5511977776666@s.whatsapp.net"];
    assert_eq!(chats, expected.map(|chat| Some(chat.to_owned())));
}

#[test]
fn another_instance_s_events_are_foreign_whatever_they_say() {
    for body in [PAGE.replace("ins_7", "ins_8"), r#"{"instanceId":"ins_8","eventType":"logged_out"}"#.to_owned()] {
        let events = told(&body);
        assert!(matches!(&events[..], [Event::Foreign(which)] if which == "instance ins_8"), "{events:?}");
    }
    let mut count = 0;
    read(PAGE, None, &mut |told| count += usize::from(matches!(told.event, Event::Messages(_)))).unwrap();
    assert_eq!(count, 1, "nobody can tell without the instance");
}

#[test]
fn session_events_cannot_be_filtered_out_and_say_what_became_of_it() {
    for (reason, ended) in [("server_logout", false), ("api_logout", false), ("instance_deleted", true)] {
        let events = event("logged_out", &json!({"reason": reason}));
        let [Event::Session(change)] = &events[..] else { panic!("{events:?}") };
        let told = format!("logged out: {reason}");
        assert_eq!(*change, if ended { SessionChange::Ended(told) } else { SessionChange::Lost(told) });
    }
    let events = event("logged_in", &json!({}));
    assert!(matches!(&events[..], [Event::Paired(Some(_)), Event::Session(SessionChange::Up)]), "{events:?}");
    assert!(matches!(&event("initial_sync_finished", &json!(null))[..], [Event::InitialSync(Some(_))]));
    for kind in ["login_error", "chat_push_name", "call_offer", "group", "user_presence"] {
        assert!(matches!(&event(kind, &json!({"error": "x"}))[..], [Event::Ignored]), "{kind}");
    }
}

#[test]
fn a_new_message_is_live_and_what_is_only_about_one_is_not() {
    let message = json!({"id": "A", "chatId": "5511988887777@s.whatsapp.net", "time": "2026-05-20T10:00:00Z", "type": "text",
        "sender": {"id": "5511988887777@s.whatsapp.net"}, "text": "oi"});
    for data in [message.clone(), json!({"message": message})] {
        assert_eq!(batch(event("message", &data)).source, Source::Live);
    }
    for (kind, data) in [
        ("message_star", json!({"id": "A", "time": "2026-05-20T10:00:00Z"})),
        ("message_read", json!({})),
        ("message", json!([])),
    ] {
        assert!(matches!(&event(kind, &data)[..], [Event::Ignored]), "{kind}");
    }
}

#[test]
fn an_event_of_a_new_name_is_unknown_and_one_of_flaws_alone_too() {
    for events in [
        event("brand_new", &json!({})),
        told("{}"),
        event("message_history_sync", &json!({"chatId": "5511988887777@s.whatsapp.net", "messages": [{"id": ""}, 7]})),
    ] {
        assert!(matches!(&events[..], [Event::Unknown]), "{events:?}");
    }
    let groups = json!({"chatId": "1203@g.us", "messages": [{"id": "A", "chatId": "1203@g.us", "isGroup": true}]});
    assert!(matches!(&event("message_history_sync", &groups)[..], [Event::Ignored]));
}

#[test]
fn an_answer_that_holds_nothing_is_told_should_one_ever_come() {
    let empty =
        batch(event("message_history_sync", &json!({"chatId": "5511988887777@s.whatsapp.net", "messages": []})));
    assert!(empty.messages.is_empty());
}

#[test]
fn what_is_no_event_is_named_and_not_quoted() {
    for (body, flaw) in [
        ("", "an event that is JSON that ends too early, at line 1 column 0"),
        ("hush", "an event that is no JSON, at line 1 column 1"),
        ("7", "an event that is JSON of another shape"),
        (r#"{"eventType":"message_history_sync","eventData":7}"#, "a history that is JSON of another shape"),
    ] {
        assert_eq!(read(body, None, &mut |_| ()).unwrap_err(), flaw, "{body}");
    }
}
