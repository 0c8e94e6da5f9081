//! What a webhook of this gateway tells: `{"event_type","device_id","timestamp","data"}`.
//!
//! As a rule the events of history hold counts and no messages. Some may: `data.messages[]` or `data.conversations[].messages[]`, in
//! the words of whatsmeow, are read wherever they come. That history is complete is said of any piece of it that is, also of one that
//! the phone sent by itself; the time of the event is all that tells them apart.

use serde_json::value::RawValue;
use sincro_core::{
    hook::{Event, Progress, SessionChange, Source, Told},
    provider::Provider,
};

use crate::{
    batches::Found,
    excerpt::{self, excerpt},
    json, moment, whatsmeow,
};

/// Known families of events that are of no use here; of messages they hold no more than ids.
const IGNORED: [&str; 8] = ["message.", "group.", "presence.", "contact.", "call.", "chat.", "newsletter.", "offline."];
const TEST: &str = "test.ping";

/// Tells what is in a webhook. `device` is the channel's own, where its token says which.
pub(crate) fn read(body: &str, device: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let names = ["event_type", "event", "data", "timestamp", "device_id"];
    let [kind, short, data, timestamp, of] =
        json::pick(body.trim(), names).map_err(|error| format!("an event that is {}", json::flaw(&error)))?;
    let name = json::word(kind).or_else(|| json::word(short)).unwrap_or_else(|| "unknown".to_owned());
    let mut say = |event| tell(Told { name: name.clone(), event });
    if let (Some(of), Some(device)) = (json::word(of), device)
        && of != device
    {
        say(Event::Foreign(format!("device {}", excerpt(&of, excerpt::BODY))));
        return Ok(());
    }
    match name.as_str() {
        "history.sync" => {
            let found = messages(&name, data, tell)?;
            match data.and_then(progress) {
                Some(progress) => tell(Told { name, event: Event::Progress(progress) }),
                None => found.say(&name, tell),
            }
        }
        "history.sync_complete" => {
            messages(&name, data, tell)?;
            let at = timestamp.and_then(json::scalar).as_ref().and_then(moment::read);
            tell(Told { name, event: Event::Complete(at) });
        }
        "connection.connected" => say(Event::Session(SessionChange::Up)),
        "connection.disconnected" => say(Event::Session(SessionChange::Lost(told("disconnected", data)))),
        "connection.logged_out" => say(Event::Session(SessionChange::Lost(told("logged out", data)))),
        "connection.stream_replaced" => say(Event::Session(SessionChange::Lost(told("stream replaced", data)))),
        "connection.temporary_ban" => say(Event::Session(SessionChange::Lost(told("temporary ban", data)))),
        TEST => say(Event::Ignored),
        known if IGNORED.iter().any(|family| known.starts_with(family)) => say(Event::Ignored),
        _ => say(Event::Unknown),
    }
    Ok(())
}

/// Messages, should there be any.
fn messages(name: &str, data: Option<&RawValue>, tell: &mut dyn FnMut(Told)) -> Result<Found, String> {
    let Some(data) = data else { return Ok(Found::Nothing) };
    whatsmeow::blob::read(Provider::Gdbrns, name, Source::History, data.get(), tell)
}

fn progress(data: &RawValue) -> Option<Progress> {
    let [percent, conversations] = json::pick(data.get(), ["progress", "conversation_count"]).ok()?;
    let progress = Progress {
        percent: json::word(percent).and_then(|percent| percent.parse().ok()).filter(|percent| *percent <= 100),
        conversations: json::word(conversations).and_then(|count| count.parse().ok()),
        ..Progress::default()
    };
    (progress != Progress::default()).then_some(progress)
}

/// What happened, with what the event says of it.
fn told(what: &str, data: Option<&RawValue>) -> String {
    let [reason, code, expires, expire] = json::members(data, ["reason", "code", "expires", "expire"]);
    let mut told = what.to_owned();
    for (before, said) in [(": ", reason), (", code ", code), (", until ", expires.or(expire))] {
        if let Some(said) = json::word(said) {
            told.push_str(before);
            told.push_str(&excerpt(&said, excerpt::BODY));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SYNC: &str = r#"{"event_type":"history.sync","device_id":"dev-1","timestamp":"2026-03-26T10:00:00Z","data":{"jid":"5511999990000@s.whatsapp.net","sync_type":"RECENT","progress":40,"conversation_count":30}}"#;
    const COMPLETE: &str = r#"{"event_type":"history.sync_complete","device_id":"dev-1","timestamp":"2026-03-26T10:01:00Z","data":{"jid":"5511999990000@s.whatsapp.net","sync_type":"RECENT"}}"#;

    fn all_told(body: &str) -> Vec<Event> {
        let mut events = Vec::new();
        read(body, Some("dev-1"), &mut |told| events.push(told.event)).unwrap();
        events
    }

    fn event(kind: &str, data: &Value) -> Vec<Event> {
        all_told(&json!({"event_type": kind, "timestamp": "2026-03-26T10:00:00Z", "data": data}).to_string())
    }

    #[test]
    fn the_events_of_the_page_count_and_deliver_nothing() {
        let events = all_told(SYNC);
        let [Event::Progress(progress)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((progress.percent, progress.conversations, progress.phase), (Some(40), Some(30), None));
        let events = all_told(COMPLETE);
        let [Event::Complete(Some(at))] = &events[..] else { panic!("{events:?}") };
        assert_eq!(at.to_rfc3339(), "2026-03-26T10:01:00+00:00", "its time is all that tells whose it is");
        assert!(matches!(&all_told(r#"{"event_type":"history.sync_complete"}"#)[..], [Event::Complete(None)]));
    }

    #[test]
    fn messages_are_taken_from_either_place_should_an_event_carry_any() {
        let item = json!({"key": {"remoteJID": "5511988887777@s.whatsapp.net", "fromMe": false, "ID": "A"},
            "message": {"conversation": "oi"}, "messageTimestamp": 1_765_990_000});
        let chat = json!({"ID": "5511988887777@s.whatsapp.net", "messages": [{"message": item}]});
        for (kind, data) in [
            ("history.sync", json!({"progress": 40, "messages": [item]})),
            ("history.sync_complete", json!({"conversations": [chat]})),
        ] {
            let events = event(kind, &data);
            let [Event::Messages(batch), behind] = &events[..] else { panic!("{events:?}") };
            assert_eq!((batch.source, batch.messages[0].id.as_str()), (Source::History, "A"));
            assert!(matches!(behind, Event::Progress(_) | Event::Complete(_)));
        }
    }

    #[test]
    fn what_becomes_of_the_connection_is_told_with_its_reason() {
        for (kind, data, expected) in [
            ("connection.connected", json!({}), SessionChange::Up),
            ("connection.disconnected", json!(null), SessionChange::Lost("disconnected".into())),
            ("connection.logged_out", json!({"reason": "401"}), SessionChange::Lost("logged out: 401".into())),
            (
                "connection.temporary_ban",
                json!({"reason": "too many messages", "expires": "2026-03-27T10:00:00Z"}),
                SessionChange::Lost("temporary ban: too many messages, until 2026-03-27T10:00:00Z".into()),
            ),
        ] {
            let events = event(kind, &data);
            let [Event::Session(change)] = &events[..] else { panic!("{events:?}") };
            assert_eq!(*change, expected);
        }
    }

    #[test]
    fn ids_without_bodies_and_tests_are_ignored_and_new_names_unknown() {
        for kind in ["message.received", "offline.sync_completed", "test.ping", "group.join"] {
            assert!(matches!(&event(kind, &json!({"id": "A"}))[..], [Event::Ignored]), "{kind}");
        }
        for kind in ["connection.brand_new", "history.brand_new", ""] {
            assert!(matches!(&event(kind, &json!({}))[..], [Event::Unknown]), "{kind}");
        }
        assert!(matches!(&event("history.sync", &json!({}))[..], [Event::Ignored]));
    }

    #[test]
    fn another_device_s_events_are_foreign_where_the_token_says_which_is_the_channel_s_own() {
        let foreign = COMPLETE.replace("dev-1", "dev-2");
        assert!(matches!(&all_told(&foreign)[..], [Event::Foreign(which)] if which == "device dev-2"));
        let mut count = 0;
        read(&foreign, None, &mut |told| count += usize::from(matches!(told.event, Event::Complete(_)))).unwrap();
        assert_eq!(count, 1, "nobody can tell otherwise");
    }

    #[test]
    fn what_is_no_event_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an event that is JSON that ends too early, at line 1 column 0"),
            ("hush", "an event that is no JSON, at line 1 column 1"),
            ("[1]", "an event that is JSON of another shape"),
            (r#"{"event_type":"history.sync","data":7}"#, "a history that is JSON of another shape"),
        ] {
            assert_eq!(read(body, None, &mut |_| ()).unwrap_err(), flaw, "{body}");
        }
    }
}
