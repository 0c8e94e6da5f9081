//! The webhook of the page word for word in both formats, every event of the session, and what may be wrong with one.

use serde_json::{Value, json};
use sincro_core::{
    address::Address,
    hook::{Batch, Source},
};

use super::*;

const PAGE: &str = r#"{"type":"HistorySync","userID":"b1...","instanceName":"acct-7","event":{"Data":{
  "syncType":6,"chunkOrder":1,"progress":100,
  "phoneNumberToLidMappings":[{"pnJID":"5511988887777@s.whatsapp.net","lidJID":"190000000000001@lid"}],
  "pushnames":[],
  "conversations":[{"ID":"190000000000001@lid","pnJID":"5511988887777@s.whatsapp.net","endOfHistoryTransferType":2,
    "messages":[{"message":{"key":{"remoteJID":"190000000000001@lid","fromMe":false,"ID":"3EB0A0"},
      "message":{"conversation":"bom dia"},"messageTimestamp":1765990000,"status":3,"pushName":"ana"}}]}]}}}"#;

fn told_as(content_type: &str, body: &str) -> Vec<Event> {
    let mut events = Vec::new();
    read(content_type, body, None, &mut |told| events.push(told.event)).unwrap();
    events
}

fn event(kind: &str, event: &Value) -> Vec<Event> {
    told_as("application/json", &json!({"type": kind, "userID": "b1", "event": event}).to_string())
}

fn form(json: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("instanceName", "acct-7")
        .append_pair("jsonData", json)
        .append_pair("userID", "b1")
        .finish()
}

#[track_caller]
fn page(events: Vec<Event>) -> Batch {
    let [Event::Pairings(pairings), Event::Messages(batch)] = <[Event; 2]>::try_from(events).unwrap() else {
        panic!("another history")
    };
    assert_eq!(pairings.len(), 1);
    batch
}

#[test]
fn the_answer_of_a_phone_is_read_in_json_format_and_in_form_format() {
    let written = form(PAGE);
    for (content_type, body) in [
        ("application/json", PAGE),
        ("", PAGE),
        ("application/x-www-form-urlencoded", written.as_str()),
        ("Application/X-WWW-Form-URLencoded; charset=utf-8", &written),
        ("", &written),
    ] {
        let batch = page(told_as(content_type, body));
        assert_eq!(batch.source, Source::OnDemand);
        assert_eq!(batch.chat.lid().map(Address::as_str), Some("190000000000001@lid"));
        assert_eq!(batch.chat.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
        let message = &batch.messages[0];
        assert_eq!((message.id.as_str(), message.text.as_deref()), ("3EB0A0", Some("bom dia")));
        assert_eq!((message.status.as_deref(), message.sent_at.timestamp()), (Some("delivery_ack"), 1_765_990_000));
        assert!(!batch.exhausted, "type 2 leaves more on the phone");
    }
}

#[test]
fn names_are_read_in_any_case_and_the_data_with_its_wrapper_and_without_it() {
    let other = PAGE.replace("\"ID\"", "\"id\"").replace("pnJID", "PnJid").replace("syncType", "SyncType");
    page(told_as("application/json", &other));
    let mut bare: Value = serde_json::from_str(PAGE).unwrap();
    bare["event"] = bare["event"]["Data"].take();
    page(told_as("application/json", &bare.to_string()));
}

#[test]
fn what_a_phone_sends_by_itself_is_history_and_no_answer() {
    for kind in [0, 2, 3] {
        let events = told_as("", &PAGE.replace("\"syncType\":6", &format!("\"syncType\":{kind}")));
        assert_eq!(page(events).source, Source::Unasked);
    }
    assert!(matches!(&event("HistorySync", &json!({"Data": {"syncType": 4}}))[..], [Event::Ignored]));
}

#[test]
fn a_new_message_is_live_and_groups_are_ignored() {
    let message = |chat: &str| {
        json!({"Info": {"Chat": chat, "Sender": chat, "IsFromMe": false, "IsGroup": chat.ends_with("g.us"), "ID": "A",
            "Timestamp": "2026-01-10T09:00:00Z", "PushName": "ana"}, "Message": {"conversation": "oi"}})
    };
    let events = event("Message", &message("5511988887777@s.whatsapp.net"));
    let [Event::Messages(batch)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((batch.source, batch.chat.name.as_deref()), (Source::Live, Some("ana")));
    for ignored in [message("1203@g.us"), message("status@broadcast")] {
        assert!(matches!(&event("Message", &ignored)[..], [Event::Ignored]));
    }
    assert!(matches!(&event("Message", &json!({"Info": {"Chat": "?"}}))[..], [Event::Unknown]));
}

#[test]
fn bans_and_lost_sessions_are_told_with_their_reason() {
    let lost = |told: &str| SessionChange::Lost(told.to_owned());
    let ended = |told: &str| SessionChange::Ended(told.to_owned());
    for (kind, data, expected) in [
        ("Connected", json!({}), SessionChange::Up),
        ("PairSuccess", json!({"ID": "5511999990000@s.whatsapp.net"}), SessionChange::Up),
        ("LoggedOut", json!({"OnConnect": true, "Reason": 401}), lost("logged out: 401")),
        ("Logged Out", json!({"Reason": 401}), lost("logged out: 401")),
        ("StreamReplaced", json!({}), lost("another client took the connection over")),
        ("ClientOutdated", json!({}), lost("the gateway is outdated and has to be upgraded")),
        (
            "TemporaryBan",
            json!({"Code": 102, "Expire": 3_600_000_000_000_u64}),
            lost("temporary ban: 102, ends in 3600 s"),
        ),
        ("ConnectFailure", json!({"Reason": 401, "Message": "bye"}), lost("connection failed: 401 bye")),
        ("ConnectFailure", json!({"Reason": 402}), lost("connection failed: 402")),
        ("ConnectFailure", json!({"Reason": 403}), ended("connection failed: 403")),
        ("ConnectFailure", json!({"Reason": 406}), ended("connection failed: 406")),
        ("ConnectFailure", json!({"Reason": 405}), lost("connection failed: 405")),
    ] {
        let events = event(kind, &data);
        let [Event::Session(change)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*change, expected, "{kind} {data}");
    }
    for (passing, data) in [("Disconnected", json!(null)), ("ConnectFailure", json!({"Reason": 503}))] {
        assert!(matches!(&event(passing, &data)[..], [Event::Ignored]), "it tries again by itself");
    }
}

#[test]
fn what_is_of_no_use_is_ignored_and_new_names_are_unknown() {
    for kind in
        ["ReadReceipt", "KeepAliveTimeout", "OfflineSyncCompleted", "UndecryptableMessage", "CallOffer", "LabelEdit"]
    {
        assert!(matches!(&event(kind, &json!({}))[..], [Event::Ignored]), "{kind}");
    }
    for kind in ["BrandNew", "", "HistorySynced"] {
        assert!(matches!(&event(kind, &json!({}))[..], [Event::Unknown]), "{kind}");
    }
}

#[test]
fn what_is_no_event_is_named_and_not_quoted() {
    for (content_type, body, flaw) in [
        ("", "", "an event that is JSON that ends too early, at line 1 column 0"),
        ("", "hush", "an event that is no JSON, at line 1 column 1"),
        ("", "[1]", "an event that is JSON of another shape"),
        (FORM, "userID=b1", "a form without `jsonData`"),
        (FORM, "jsonData=hush", "an event that is no JSON, at line 1 column 1"),
        ("", r#"{"type":"HistorySync","event":7}"#, "a history that is JSON of another shape"),
    ] {
        assert_eq!(read(content_type, body, None, &mut |_| ()).unwrap_err(), flaw, "{body}");
    }
}

#[test]
fn what_is_about_another_instance_is_foreign_where_the_instance_is_known() {
    let json = r#"{"type":"Connected","userID":"b1","instanceName":"acct-7","event":{}}"#;
    let form = "jsonData=%7B%22type%22%3A%22Connected%22%7D&userID=b1&instanceName=acct-7";
    for (content_type, body) in [("application/json", json), ("application/x-www-form-urlencoded", form)] {
        for (own, foreign) in [(None, false), (Some("b1"), false), (Some("acct-7"), false), (Some("acct-8"), true)] {
            let mut events = Vec::new();
            read(content_type, body, own, &mut |told| events.push(told.event)).unwrap();
            assert_eq!(matches!(&events[..], [Event::Foreign(_)]), foreign, "{own:?} {body}");
        }
    }
}
