//! What a webhook of this gateway tells: a list under the name of its type, `event` with that type and a method, and `channel_id`.
//!
//! Whether it is about another channel can be told where the credentials name the channel's id. A restored message looks like a new one:
//! whoever asked for it knows its id.

use serde_json::value::RawValue;
use sincro_core::{
    hook::{Event, SessionChange, Source, Told},
    provider::Provider,
};

use super::{health, row, verdict};
use crate::{
    batches::Batches,
    excerpt::{self, excerpt},
    json,
};

/// Methods under which a list holds messages that came, and not what changed in them.
const ARRIVALS: [&str; 2] = ["post", "put"];
/// The states that nothing but a person ends.
const ENDED: [&str; 3] = ["BANNED", "BLOCKED", "DELETED"];
/// Known types of events, and names of lists, that are of no use here. Users come and go with the state of the channel, which is
/// told by its own event.
const IGNORED: [&str; 12] = [
    "statuses",
    "messages_updates",
    "messages_removed",
    "chats",
    "chats_updates",
    "contacts",
    "groups",
    "presences",
    "calls",
    "users",
    "labels",
    "service",
];

/// Tells what is in a webhook.
pub(crate) fn read(body: &str, own: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let body = body.trim();
    let flaw = |error: serde_json::Error| format!("an event that is {}", json::flaw(&error));
    let [event, messages, health, channel] =
        json::pick(body, ["event", "messages", "health", "channel_id"]).map_err(flaw)?;
    let [kind, method] = json::members(event, ["type", "event"]).map(json::word);
    if let Some(other) = json::word(channel).filter(|id| own.is_some_and(|own| own != id)) {
        let event = Event::Foreign(format!("channel {}", excerpt(&other, excerpt::BODY)));
        tell(Told { name: kind.unwrap_or_else(|| "unknown".to_owned()), event });
        return Ok(());
    }
    if let Some(messages) = messages {
        let name = kind.clone().unwrap_or_else(|| "messages".to_owned());
        arrived(&name, messages, method.as_deref(), tell)?;
    }
    if let Some(health) = health {
        let name = kind.clone().unwrap_or_else(|| "channel".to_owned());
        tell(Told { name, event: session(health.get()) });
    }
    if messages.is_some() || health.is_some() {
        return Ok(());
    }
    let mut lists = Vec::new();
    json::each_entry(body, |name, _| lists.push(name.into_owned())).map_err(flaw)?;
    let known = |name: &String| IGNORED.iter().any(|known| name.eq_ignore_ascii_case(known));
    let is_known = kind.as_ref().is_some_and(known) || lists.iter().any(known);
    let name = kind.or_else(|| lists.into_iter().find(known)).unwrap_or_else(|| "unknown".to_owned());
    tell(Told { name, event: if is_known { Event::Ignored } else { Event::Unknown } });
    Ok(())
}

fn arrived(name: &str, messages: &RawValue, method: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let mut batches = Batches::new(Provider::Whapi, name, Source::Live, tell);
    if method.is_none_or(|method| ARRIVALS.iter().any(|one| method.eq_ignore_ascii_case(one))) {
        json::each_item(messages.get(), |raw| match row::with_person(raw) {
            Ok(Some((person, message))) => batches.add(person, message),
            Ok(None) => {}
            Err(flaw) => batches.leave_out(flaw),
        })
        .map_err(|error| format!("messages that are {}", json::flaw(&error)))?;
    }
    batches.finish().say(name, tell);
    Ok(())
}

/// What the state of the channel means for its session.
fn session(health: &str) -> Event {
    let Ok(word) = health::read(health) else { return Event::Unknown };
    Event::Session(match word.as_str() {
        verdict::WORKS => SessionChange::Up,
        ended if ENDED.contains(&ended) => SessionChange::Ended(verdict::state(ended)),
        lost => SessionChange::Lost(verdict::state(lost)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sincro_core::{address::Address, hook::Batch};

    use super::*;

    const PAGE: &str = r#"{"messages":[{"id":"PsqXn","chat_id":"5511988887777@s.whatsapp.net","from_me":false,"type":"text","timestamp":1766000000,"text":{"body":"oi"}}],
 "event":{"type":"messages","event":"post"},"channel_id":"CH-1"}"#;

    fn told(body: &str) -> Vec<Event> {
        let mut events = Vec::new();
        read(body, None, &mut |told| events.push(told.event)).unwrap();
        events
    }

    fn batch(events: Vec<Event>) -> Batch {
        let [Event::Messages(batch)] = <[Event; 1]>::try_from(events).unwrap() else { panic!("no messages") };
        batch
    }

    fn messages(list: &Value, method: &str) -> Vec<Event> {
        told(
            &json!({"messages": list, "event": {"type": "messages", "event": method}, "channel_id": "CH-1"})
                .to_string(),
        )
    }

    #[test]
    fn the_webhook_of_the_page_is_read_and_looks_like_a_new_message_also_when_it_was_restored() {
        let batch = batch(told(PAGE));
        assert_eq!((batch.source, batch.messages[0].id.as_str()), (Source::Live, "PsqXn"));
        assert_eq!(batch.chat.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
        assert_eq!(batch.messages[0].text.as_deref(), Some("oi"));
    }

    #[test]
    fn what_is_about_another_channel_is_foreign_where_the_channel_s_id_is_known() {
        for (own, foreign) in [(None, false), (Some("CH-1"), false), (Some("CH-2"), true)] {
            let mut events = Vec::new();
            read(PAGE, own, &mut |told| events.push(told.event)).unwrap();
            assert_eq!(matches!(&events[..], [Event::Foreign(_)]), foreign, "{own:?}");
        }
        let mut events = Vec::new();
        read(r#"{"messages":[]}"#, Some("CH-2"), &mut |told| events.push(told.event)).unwrap();
        assert!(!matches!(&events[..], [Event::Foreign(_)]), "nobody says whose it is");
    }

    #[test]
    fn a_chat_is_a_phone_or_a_lid_written_in_any_way() {
        for (chat, phone) in [
            ("5511988887777", true),
            ("5511988887777@c.us", true),
            ("5511988887777@s.whatsapp.net", true),
            ("190000000000001@lid", false),
        ] {
            let message = json!({"id": "A", "chat_id": chat, "from_me": false, "from_name": "ana", "type": "text",
                "timestamp": 1_766_000_000, "text": {"body": "oi"}});
            let batch = batch(messages(&json!([message]), "post"));
            assert_eq!((batch.chat.phone().is_some(), batch.chat.lid().is_some()), (phone, !phone), "{chat}");
            assert_eq!(batch.chat.name.as_deref(), Some("ana"));
        }
    }

    #[test]
    fn groups_and_changes_of_messages_are_ignored_and_flaws_alone_are_not_understood() {
        let group = json!([{"id": "A", "chat_id": "1203@g.us", "timestamp": 1_766_000_000, "type": "text"}]);
        assert!(matches!(&messages(&group, "post")[..], [Event::Ignored]));
        let page: Value = serde_json::from_str(PAGE).unwrap();
        for method in ["patch", "delete"] {
            assert!(matches!(&messages(&page["messages"], method)[..], [Event::Ignored]), "{method}");
        }
        assert!(matches!(&messages(&json!([{"id": "A"}, 7]), "post")[..], [Event::Unknown]));
    }

    #[test]
    fn the_channel_s_own_event_says_whether_the_session_is_up() {
        for (word, expected) in [
            ("AUTH", SessionChange::Up),
            ("STOP", SessionChange::Lost("the channel is STOP; it is stopped at Whapi, as a rule by its plan".into())),
            ("LAUNCH", SessionChange::Lost("the channel is LAUNCH".into())),
            ("BRAND_NEW", SessionChange::Lost("the channel is BRAND_NEW".into())),
            ("BLOCKED", SessionChange::Ended("the channel is BLOCKED".into())),
        ] {
            let body = json!({"health": {"status": {"code": 4, "text": word}}, "event": {"type": "channel", "event": "patch"}});
            let events = told(&body.to_string());
            let [Event::Session(change)] = &events[..] else { panic!("{events:?}") };
            assert_eq!(*change, expected);
        }
    }

    #[test]
    fn what_is_of_no_use_is_ignored_and_new_types_are_unknown() {
        for (body, ignored) in [
            (r#"{"statuses":[],"event":{"type":"statuses","event":"post"}}"#, true),
            (r#"{"users":[],"event":{"type":"users","event":"post"}}"#, true),
            (r#"{"messages_updates":[{}],"event":{"type":"messages","event":"patch"}}"#, true),
            (r#"{"chats":[]}"#, true),
            (r#"{"brand_new":[],"event":{"type":"brand_new","event":"post"}}"#, false),
            ("{}", false),
        ] {
            let events = told(body);
            assert_eq!(matches!(&events[..], [Event::Ignored]), ignored, "{body}");
            assert_eq!(matches!(&events[..], [Event::Unknown]), !ignored, "{body}");
        }
    }

    #[test]
    fn what_is_no_event_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an event that is JSON that ends too early, at line 1 column 0"),
            ("hush", "an event that is no JSON, at line 1 column 1"),
            ("[1]", "an event that is JSON of another shape"),
            (r#"{"messages":7}"#, "messages that are JSON of another shape"),
        ] {
            assert_eq!(read(body, None, &mut |_| ()).unwrap_err(), flaw, "{body}");
        }
    }
}
