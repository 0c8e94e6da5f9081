//! Pieces of history in every form that is known of them.

use serde_json::{Value, json};
use sincro_core::hook::Batch;

use super::*;

const PHONE: &str = "5511988887777@s.whatsapp.net";
const LID: &str = "190000000000001@lid";

fn told(blob: &Value) -> (Vec<Event>, Found) {
    let mut events = Vec::new();
    let found = read(Provider::Wuzapi, "HistorySync", Source::History, &blob.to_string(), &mut |told| {
        assert!(told.name.ends_with("HistorySync"), "{}", told.name);
        events.push(told.event);
    });
    (events, found.unwrap())
}

/// What came of a piece that tells nothing.
fn untold(blob: &Value) -> Found {
    let (events, found) = told(blob);
    assert!(events.is_empty(), "{events:?}");
    found
}

fn batches(blob: &Value) -> Vec<Batch> {
    let (events, _) = told(blob);
    let batch = |event| if let Event::Messages(batch) = event { Some(batch) } else { None };
    events.into_iter().filter_map(batch).collect()
}

fn item(id: &str, chat: &str) -> Value {
    json!({"message": {"key": {"remoteJID": chat, "fromMe": false, "ID": id}, "message": {"conversation": "oi"},
        "messageTimestamp": 1_765_990_000, "pushName": "ana"}})
}

#[test]
fn identities_come_before_the_chats_they_are_about() {
    let (events, found) = told(&json!({"syncType": 3, "conversations": [{"ID": LID, "messages": [item("A", LID)]}],
        "pushnames": [{"ID": PHONE, "pushname": "ana"}, {"ID": "1203@g.us", "pushname": "x"}, {"ID": PHONE, "pushname": ""}],
        "phoneNumberToLidMappings": [{"pnJID": PHONE, "lidJID": LID}, {"pnJID": LID, "lidJID": PHONE}, {}]}));
    let [Event::Pairings(pairings), Event::Contacts(contacts), Event::Messages(batch)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((pairings.len(), contacts.len(), batch.messages.len()), (1, 1, 1));
    assert_eq!((batch.source, found), (Source::History, Found::Something));
}

#[test]
fn an_on_demand_piece_is_the_answer_to_a_request_also_when_it_holds_nothing() {
    for kind in [json!(6), json!("6"), json!("ON_DEMAND")] {
        let batches =
            batches(&json!({"syncType": kind, "conversations": [{"ID": LID, "pnJID": PHONE, "messages": null}]}));
        let [batch] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!((batch.source, batch.messages.len(), batch.exhausted), (Source::OnDemand, 0, false));
        assert_eq!(batch.chat.phone().map(Address::as_str), Some(PHONE));
    }
}

#[test]
fn types_one_and_three_mean_that_there_is_nothing_older_and_the_others_do_not() {
    for (end, exhausted) in [
        (json!(0), false),
        (json!(1), true),
        (json!(2), false),
        (json!(3), true),
        (json!("COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY"), true),
        (json!(null), false),
    ] {
        let chat = json!({"ID": LID, "endOfHistoryTransferType": end, "messages": [item("A", LID)]});
        assert_eq!(batches(&json!({"syncType": 6, "conversations": [chat]}))[0].exhausted, exhausted, "{end}");
    }
}

#[test]
fn only_the_last_batch_of_a_long_chat_is_exhausted() {
    let messages: Vec<Value> = (0..1_000).map(|id| item(&id.to_string(), LID)).collect();
    let chat = json!({"ID": LID, "endOfHistoryTransferType": 1, "messages": messages});
    let batches = batches(&json!({"syncType": 6, "conversations": [chat]}));
    let lengths: Vec<_> = batches.iter().map(|batch| (batch.messages.len(), batch.exhausted)).collect();
    assert_eq!(lengths, [(500, false), (500, true)]);
}

#[test]
fn the_addresses_of_a_chat_without_messages_are_still_one_persons() {
    let (events, _) = told(&json!({"syncType": 0, "conversations": [{"ID": PHONE, "lidJID": LID}]}));
    assert!(matches!(&events[..], [Event::Pairings(pairings)] if pairings.len() == 1), "{events:?}");
}

#[test]
fn groups_broadcasts_and_status_are_left_out() {
    let groups = json!([{"ID": "1203@g.us", "messages": [item("A", "1203@g.us")]},
        {"ID": "status@broadcast", "messages": [item("B", "status@broadcast")]}]);
    assert_eq!(untold(&json!({"syncType": 1, "conversations": groups})), Found::Nothing);
    assert_eq!(untold(&json!({"messages": [item("A", "1203@g.us")]})), Found::Nothing);
}

#[test]
fn messages_outside_of_a_chat_are_gathered_by_what_they_say_themselves() {
    let batches = batches(&json!({"messages": [item("A", PHONE), item("B", LID), item("C", PHONE)]}));
    assert_eq!(batches.iter().map(|batch| batch.messages.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(batches[0].chat.name.as_deref(), Some("ana"));
}

#[test]
fn what_cannot_be_read_is_left_out_and_a_piece_of_nothing_else_is_not_understood() {
    let good_and_bad =
        json!({"conversations": [{"ID": PHONE, "messages": [7, item("A", PHONE), {"message": {}}]}, 5, {"ID": "?"}]});
    assert_eq!(batches(&good_and_bad)[0].messages.len(), 1);
    assert_eq!(untold(&json!({"conversations": [5]})), Found::Flaws);
    assert_eq!(untold(&json!({})), Found::Nothing);
    for broken in ["[1]", r#"{"conversations":{"a":1}}"#, r#"{"conversations":[{"ID":"x","messages":7}]}"#] {
        let flaw = read(Provider::Wuzapi, "HistorySync", Source::History, broken, &mut |_| ()).unwrap_err();
        assert_eq!(flaw, "a history that is JSON of another shape", "{broken}");
    }
}
