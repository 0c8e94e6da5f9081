//! The webhooks of the page word for word, in every wrapping, and what may be wrong with one.

use serde_json::{Value, json};
use sincro_core::{
    address::Address,
    hook::{Batch, Progress, SessionChange, Source},
    message::MessageKind,
};

use super::*;

const PAGE: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"WABA","changes":[{"field":"history","value":{
  "messaging_product":"whatsapp",
  "metadata":{"display_phone_number":"5511999990000","phone_number_id":"1060"},
  "history":[{
    "metadata":{"phase":1,"chunk_order":3,"progress":55},
    "threads":[{"id":"5511988887777","messages":[
      {"from":"5511988887777","id":"wamid.A","timestamp":"1766000000","type":"text","text":{"body":"oi"},
       "history_context":{"status":"READ"}},
      {"from":"5511999990000","to":"5511988887777","id":"wamid.B","timestamp":"1766000100","type":"media_placeholder",
       "history_context":{"status":"DELIVERED"}}]}]}]}}]}]}"#;
const LATE: &str = r#"{"field":"history","value":{"metadata":{"phone_number_id":"1060"},
 "messages":[{"from":"5511988887777","id":"wamid.C","timestamp":"1766000200","type":"image",
  "image":{"id":"998877","mime_type":"image/jpeg","sha256":"..","caption":".."}}]}}"#;
const DECLINED: &str =
    r#"{"history":[{"errors":[{"code":2593109,"title":"..","message":"..","error_data":{"details":".."}}]}]}"#;
const CONTACTS: &str = r#"{"field":"smb_app_state_sync","value":{"metadata":{"phone_number_id":"1060"},
 "state_sync":[{"type":"contact","action":"add","contact":{"full_name":"Ana P","first_name":"Ana","phone_number":"5511988887777"},"metadata":{"timestamp":"1766000000"}}]}}"#;
const STATUS: &str = r#"{"event":"phone_number_status_update",
 "workspace":{"id":"w1","name":"Acme","business_id":"..","waba_id":".."},
 "number":{"id":"n1","status":{"id":"..","description":".."},"quality_status":{"code":"CONNECTED"}}}"#;

fn told(body: &str) -> Vec<Event> {
    let own = Own { number_id: Some("n1".into()), phone_number_id: Some("1060".into()) };
    let mut events = Vec::new();
    read(body, &own, &mut |told| events.push(told.event)).unwrap();
    events
}

fn value(of: &str) -> Value {
    let body: Value = serde_json::from_str(of).unwrap();
    body.pointer("/entry/0/changes/0/value").or(body.get("value")).unwrap().clone()
}

fn history(value: &Value) -> Vec<Event> {
    told(&json!({"field": "history", "value": value}).to_string())
}

fn only_batch(events: Vec<Event>) -> Batch {
    let [Event::Messages(batch)] = <[Event; 1]>::try_from(events).unwrap() else { panic!("no messages") };
    batch
}

#[track_caller]
fn is_the_page(events: &[Event]) {
    let [Event::Messages(batch), Event::Progress(progress)] = events else { panic!("{events:?}") };
    assert_eq!(batch.chat.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
    let [words, medium] = &batch.messages[..] else { panic!("{batch:?}") };
    assert_eq!((words.id.as_str(), words.from_me, words.text.as_deref()), ("wamid.A", false, Some("oi")));
    assert_eq!((words.status.as_deref(), words.sent_at.timestamp()), (Some("read"), 1_766_000_000));
    assert_eq!((medium.id.as_str(), medium.from_me, medium.kind), ("wamid.B", true, MessageKind::Unknown));
    assert_eq!((medium.status.as_deref(), medium.text.as_deref()), (Some("delivered"), None));
    assert_eq!(*progress, Progress { phase: Some(1), chunk: Some(3), percent: Some(55), conversations: None });
    assert_eq!(batch.source, Source::History);
}

#[test]
fn the_history_of_the_page_is_read_in_meta_s_envelope_in_others_and_bare() {
    let inner = value(PAGE);
    is_the_page(&told(PAGE));
    for body in [
        json!({"field": "history", "value": inner}),
        json!({"id": "7", "event": "history", "data": inner}),
        json!({"id": "7", "event": "history", "data": {"field": "history", "value": inner}}),
        json!({"event": "history", "data": serde_json::from_str::<Value>(PAGE).unwrap()}),
        json!([{"field": "history", "value": inner}]),
        inner.clone(),
    ] {
        is_the_page(&told(&body.to_string()));
    }
}

#[test]
fn media_arrive_later_under_messages_and_complete_what_came_without_them() {
    let batch = only_batch(told(LATE));
    assert_eq!((batch.source, batch.messages[0].id.as_str()), (Source::LateAsset, "wamid.C"));
    assert_eq!((batch.messages[0].kind, batch.messages[0].text.as_deref()), (MessageKind::Image, Some("..")));
}

#[test]
fn a_declined_history_is_read_with_its_envelope_and_without_it() {
    let bare: Value = serde_json::from_str(DECLINED).unwrap();
    for body in [
        bare.clone(),
        json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "history", "value": bare}]}]}),
        json!({"event": "history", "data": bare}),
        json!({"field": "history", "value": {"errors": bare["history"][0]["errors"]}}),
    ] {
        let events = told(&body.to_string());
        let [Event::Declined(failure)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(failure.code, "declined");
        assert!(failure.detail.contains("2593109"), "{}", failure.detail);
    }
    let other = json!({"history": [{"errors": [{"code": 1, "title": "new"}]}]});
    assert!(matches!(&told(&other.to_string())[..], [Event::Unknown]));
}

#[test]
fn progress_alone_is_told_and_comes_behind_the_messages_of_its_chunk() {
    let alone = history(&json!({"history": [{"metadata": {"phase": "2", "chunk_order": "1", "progress": 100}}]}));
    let [Event::Progress(progress)] = &alone[..] else { panic!("{alone:?}") };
    assert_eq!((progress.phase, progress.percent), (Some(2), Some(100)));
    let odd = history(&json!({"history": [{"metadata": {"phase": null, "progress": 300}, "threads": []}]}));
    assert!(matches!(&odd[..], [Event::Ignored]), "{odd:?}");
}

#[test]
fn a_phase_without_messages_is_progress_wherever_it_stands() {
    let empty =
        |threads: Value| json!({"metadata": {"phase": 0, "chunk_order": 1, "progress": 40}, "threads": threads});
    let told_of = |events: &[Event]| match events {
        [Event::Progress(progress)] => (progress.phase, progress.chunk, progress.percent),
        other => panic!("{other:?}"),
    };
    for threads in [json!([]), json!([{"id": "5511988887777", "messages": []}])] {
        let events = history(&json!({"history": [empty(threads)]}));
        assert_eq!(told_of(&events), (Some(0), Some(1), Some(40)));
    }
    let mut value = value(PAGE);
    value["history"].as_array_mut().unwrap().insert(0, empty(json!([])));
    let events = history(&value);
    let (first, page) = events.split_at(1);
    assert_eq!(told_of(first), (Some(0), Some(1), Some(40)));
    is_the_page(page);
    assert!(matches!(&history(&json!({"history": []}))[..], [Event::Ignored]), "no chunk at all");
}

#[test]
fn threads_of_identities_that_are_no_phone_numbers_are_counted_and_not_understood() {
    let mut value = value(PAGE);
    for id in ["US.1234567890", "190000000000001@lid", "12036300000000000000", ""] {
        value["history"][0]["threads"][0]["id"] = json!(id);
        let events = history(&value);
        assert!(matches!(&events[..], [Event::Unknown, Event::Progress(_)]), "{id}: {events:?}");
    }
    value["history"][0]["threads"][0]["id"] = json!("1203@g.us");
    assert!(matches!(&history(&value)[..], [Event::Progress(_)]), "there are no groups");
}

#[test]
fn another_number_s_webhooks_are_foreign_where_the_channel_says_which_is_its_own() {
    for body in [PAGE, LATE, CONTACTS] {
        let events = told(&body.replace("1060", "1061"));
        assert!(matches!(&events[..], [Event::Foreign(which)] if which == "phone number 1061"), "{events:?}");
    }
    let update =
        json!({"field": "account_update", "value": {"event": "ACCOUNT_OFFBOARDED", "phone_number_id": "1061"}});
    assert!(matches!(&told(&update.to_string())[..], [Event::Foreign(_)]), "its session is not ours");
    let events = told(&STATUS.replace("n1", "n2"));
    assert!(matches!(&events[..], [Event::Foreign(which)] if which == "number n2"), "{events:?}");
    let mut count = 0;
    read(&PAGE.replace("1060", "1061"), &Own::default(), &mut |_| count += 1).unwrap();
    assert_eq!(count, 2, "nobody can tell without the id");
}

#[test]
fn contacts_are_told_by_name_and_whoever_is_removed_lacks_one_and_stays() {
    let events = told(CONTACTS);
    let [Event::Contacts(contacts)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(contacts[0].phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
    assert_eq!(contacts[0].name.as_deref(), Some("Ana P"));
    let removed = r#"{"type":"contact","action":"remove","contact":{"phone_number":"5511988887777"}}"#;
    let only_removed = format!(r#"{{"state_sync":[{removed}]}}"#);
    assert!(matches!(&told(&only_removed)[..], [Event::Ignored]));
    let many: Vec<Value> = (0..501)
        .map(|n| json!({"type": "contact", "action": "add", "contact": {"phone_number": format!("55119{n:08}")}}))
        .collect();
    assert_eq!(told(&json!({"state_sync": many}).to_string()).len(), 2, "a long list comes in pieces");
    let nameless = r#"{"state_sync":[{"type":"contact","action":"add","contact":{"full_name":"Ana"}}]}"#;
    assert!(matches!(&told(nameless)[..], [Event::Unknown]));
}

#[test]
fn a_contact_that_is_edited_after_the_sync_is_told_like_a_new_one_under_its_new_name() {
    // Meta has no word of its own for it: what is edited is added again, later and with the rest as it was.
    let edited = CONTACTS.replace("Ana P", "Ana Paula").replace("1766000000", "1766090000");
    let only = |body: &str| match <[Event; 1]>::try_from(told(body)).unwrap() {
        [Event::Contacts(contacts)] if contacts.len() == 1 => contacts[0].clone(),
        other => panic!("{other:?}"),
    };
    let (before, after) = (only(CONTACTS), only(&edited));
    assert_eq!(before.phone(), after.phone());
    assert_eq!((before.name.as_deref(), after.name.as_deref()), (Some("Ana P"), Some("Ana Paula")));
    let without_last_name = edited.replace(r#""full_name":"Ana Paula","#, "");
    assert_eq!(only(&without_last_name).name.as_deref(), Some("Ana"));
}

#[test]
fn what_meta_cannot_show_soon_after_onboarding_is_a_message_without_words_and_stops_nothing() {
    // Error 131060: expected, and no reason to think badly of the number.
    let error = json!({"code": 131_060, "title": "This message is currently unavailable.",
        "message": "This message is currently unavailable.", "error_data": {"details": ".."}});
    let received = json!({"field": "messages", "value": {"metadata": {"display_phone_number": "5511999990000"},
        "contacts": [{"profile": {"name": "ana"}, "wa_id": "5511988887777"}],
        "messages": [{"from": "5511988887777", "id": "wamid.F", "timestamp": "1766000500", "type": "unsupported",
            "errors": [error]}]}});
    let batch = only_batch(told(&received.to_string()));
    assert_eq!((batch.source, batch.messages.len()), (Source::Live, 1));
    let message = &batch.messages[0];
    assert_eq!((message.id.as_str(), message.kind, message.text.as_deref()), ("wamid.F", MessageKind::Unknown, None));
    assert_eq!((message.from_me, message.sent_at.timestamp()), (false, 1_766_000_500));
    let of_a_status = json!({"field": "messages", "value": {"metadata": {"display_phone_number": "5511999990000"},
        "statuses": [{"id": "wamid.E", "status": "failed", "recipient_id": "5511988887777", "errors": [error]}]}});
    assert!(matches!(&told(&of_a_status.to_string())[..], [Event::Ignored]));
    let alone = json!({"field": "messages", "value": {"metadata": {"display_phone_number": "5511999990000"},
        "errors": [error]}});
    assert!(matches!(&told(&alone.to_string())[..], [Event::Ignored | Event::Unknown]), "nobody's session is lost");
}

#[test]
fn new_messages_are_live_and_the_phone_app_s_own_are_from_us() {
    let received = json!({"field": "messages", "value": {"metadata": {"display_phone_number": "5511999990000"},
        "contacts": [{"profile": {"name": "ana"}, "wa_id": "5511988887777"}],
        "messages": [{"from": "5511988887777", "id": "wamid.D", "timestamp": "1766000300", "type": "text", "text": {"body": "oi"}}]}});
    let batch = only_batch(told(&received.to_string()));
    assert_eq!(
        (batch.source, batch.chat.name.as_deref(), batch.messages[0].from_me),
        (Source::Live, Some("ana"), false)
    );
    let echo = json!({"field": "smb_message_echoes", "value": {"metadata": {"display_phone_number": "5511999990000"},
        "message_echoes": [{"from": "5511999990000", "to": "5511988887777", "id": "wamid.E", "timestamp": "1766000400",
            "type": "text", "text": {"body": "ola"}}]}});
    let batch = only_batch(told(&echo.to_string()));
    assert_eq!((batch.source, batch.messages[0].from_me), (Source::Live, true));
    let statuses = json!({"field": "messages", "value": {"statuses": [{"id": "wamid.D", "status": "read"}]}});
    assert!(matches!(&told(&statuses.to_string())[..], [Event::Ignored]));
}

#[test]
fn a_number_s_status_is_told_where_it_says_so() {
    assert!(matches!(&told(STATUS)[..], [Event::Session(SessionChange::Up)]));
    for (code, said) in [("DISCONNECTED", "lost"), ("BANNED", "ended"), ("GREEN", "ignored")] {
        let events = told(&STATUS.replace("CONNECTED", code));
        let found = match &events[..] {
            [Event::Session(SessionChange::Lost(_))] => "lost",
            [Event::Session(SessionChange::Ended(_))] => "ended",
            [Event::Ignored] => "ignored",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, said, "{code}");
    }
    assert!(matches!(&told(&STATUS.replace("phone_number_status_update", "phone_number_sync"))[..], [Event::Ignored]));
    assert!(matches!(&told(&STATUS.replace("phone_number_status_update", "brand_new"))[..], [Event::Unknown]));
}

#[test]
fn an_account_s_update_stops_the_number_in_every_wrapping() {
    let update = json!({"event": "PARTNER_REMOVED", "disconnection_info": {"reason": "ACCOUNT_DISCONNECTED"}});
    for body in [
        json!({"entry": [{"changes": [{"field": "account_update", "value": update}]}]}),
        json!({"event": "account_update", "data": update}),
        update.clone(),
    ] {
        let events = told(&body.to_string());
        assert!(matches!(&events[..], [Event::Session(SessionChange::Lost(_))]), "{events:?}");
    }
}

#[test]
fn several_changes_are_told_in_their_order_and_unknown_fields_are_named() {
    let changes = json!({"entry": [{"changes": [{"field": "flows", "value": {}}, {"field": "brand_new", "value": {}}]},
        {"changes": [{"field": "history", "value": value(PAGE)}]}]});
    let own = Own::default();
    let mut names = Vec::new();
    read(&changes.to_string(), &own, &mut |told| names.push(told.name)).unwrap();
    assert_eq!(names, ["flows", "brand_new", "history", "history"]);
    assert!(matches!(&told(&changes.to_string())[..], [Event::Ignored, Event::Unknown, ..]));
    assert!(matches!(&told(r#"{"entry":[]}"#)[..], [Event::Ignored]));
}

#[test]
fn what_is_no_webhook_is_named_and_not_quoted() {
    for (body, flaw) in [
        ("", "a webhook that is JSON that ends too early, at line 1 column 0"),
        ("hush", "a webhook that is no JSON, at line 1 column 1"),
        ("7", "a webhook that is JSON of another shape"),
        (r#"{"history":7}"#, "a webhook that is JSON of another shape"),
        (
            r#"{"history":[{"threads":[{"id":"5511988887777","messages":7}]}]}"#,
            "a webhook that is JSON of another shape",
        ),
    ] {
        assert_eq!(read(body, &Own::default(), &mut |_| ()).unwrap_err(), flaw, "{body}");
    }
    let deep = format!("{}{}", "[".repeat(50), "]".repeat(50));
    assert!(matches!(&told(&deep)[..], [Event::Unknown]));
}
