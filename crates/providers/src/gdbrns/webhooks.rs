//! `GET /webhooks` and `POST /webhooks`: where events go, and which.
//!
//! The list is `data.webhooks` in the source, and `data` in other readings; its records name an address and events, and hold secrets.
//! A registration makes one.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::gateway::{Receiver, Subscriptions};

use crate::json;

/// What is needed to know of a request's end and of the session.
pub(super) const EVENTS: [&str; 6] = [
    "history.sync",
    "history.sync_complete",
    "connection.connected",
    "connection.disconnected",
    "connection.logged_out",
    "connection.temporary_ban",
];
/// Everything, where somebody subscribed to that.
const ALL: [&str; 2] = ["*", "all"];

/// Where events go, and which.
pub(super) fn subscriptions(body: &str) -> Result<Subscriptions, String> {
    let data = data(body)?;
    let list = match &data {
        Value::Null => &[],
        Value::Array(list) => list.as_slice(),
        data => json::field(data, "webhooks").and_then(Value::as_array).ok_or("no list of webhooks")?.as_slice(),
    };
    let is_active = |webhook: &&Value| {
        ["active", "is_active", "enabled"]
            .iter()
            .find_map(|name| json::field(webhook, name))
            .and_then(json::flag)
            .unwrap_or(true)
    };
    let receiver = |webhook: &Value| {
        let subscribed = json::field(webhook, "events").map(words).unwrap_or_default();
        let has = |event: &str| subscribed.iter().any(|one| one.eq_ignore_ascii_case(event));
        // One that names no events gets all of them.
        let everything = subscribed.is_empty() || ALL.iter().any(|all| has(all));
        let missing = EVENTS.iter().filter(|event| !everything && !has(event)).map(|&event| event.to_owned()).collect();
        Some(Receiver { url: json::field(webhook, "url").and_then(json::text)?, missing })
    };
    let receivers = list.iter().filter(is_active).filter_map(receiver).collect();
    Ok(Subscriptions { receivers, ..Subscriptions::default() })
}

/// The secret of what was registered, where the answer holds one.
pub(super) fn secret(body: &str) -> Result<Option<SecretString>, String> {
    let data = data(body)?;
    let places: [&[&str]; 2] = [&["secret"], &["webhook", "secret"]];
    let secret = places.iter().find_map(|place| json::at(&data, place)).and_then(json::text);
    Ok(secret.filter(|secret| !secret.trim().is_empty()).map(Into::into))
}

/// A list, or the words of a text.
fn words(events: &Value) -> Vec<String> {
    match events {
        Value::Array(list) => list.iter().filter_map(json::text).collect(),
        other => {
            let listed = json::text(other).unwrap_or_default();
            listed.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        }
    }
}

/// What the envelope holds; an answer without one is taken as it is.
fn data(body: &str) -> Result<Value, String> {
    let body = body.trim_start_matches('\u{feff}').trim();
    let mut answer: Value = serde_json::from_str(body).map_err(|error| json::flaw(&error))?;
    if let Some(data) = answer.get_mut("data") {
        return Ok(data.take());
    }
    if answer.is_object() || answer.is_array() { Ok(answer) } else { Err("JSON of another shape".to_owned()) }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn what_each_receiver_misses_is_told_of_those_that_are_active() {
        let all = r#"["history.sync","history.sync_complete","connection.connected","connection.disconnected","connection.logged_out","connection.temporary_ban"]"#;
        for body in [
            format!(r#"{{"status":true,"data":[{{"id":1,"url":"https://a","events":{all},"active":true}}]}}"#),
            format!(r#"{{"data":{{"webhooks":[{{"url":"https://a","events":{all}}}]}}}}"#),
            r#"[{"url":"https://a","events":"*"}]"#.to_owned(),
            // As the source writes it: the names of its own fields, and no events for all of them.
            r#"{"data":{"webhooks":[{"ID":1,"DeviceID":"d","URL":"https://a","Secret":"00ff","Events":null,"Active":true}]}}"#.to_owned(),
            r#"{"data":{"webhooks":[{"URL":"https://a","Events":[],"Active":true}]}}"#.to_owned(),
        ] {
            let found = subscriptions(&body).unwrap();
            let [receiver] = &found.receivers[..] else { panic!("{found:?}") };
            assert_eq!((receiver.url.as_str(), receiver.missing.len()), ("https://a", 0), "{body}");
        }
        let some = r#"{"data":[{"url":"https://a","events":["history.sync"]},{"url":"https://b","events":["*"],"active":false}]}"#;
        let found = subscriptions(some).unwrap();
        assert_eq!((found.receivers.len(), found.receiver("https://a").unwrap().missing.len()), (1, 5));
        assert!(subscriptions(r#"{"data":null}"#).unwrap().receivers.is_empty());
        for body in ["", "7", r#"{"data":{}}"#] {
            assert!(subscriptions(body).is_err(), "{body}");
        }
    }

    #[test]
    fn the_secret_of_a_registration_is_taken_where_there_is_one() {
        let of = |body| secret(body).unwrap().map(|secret| secret.expose_secret().to_owned());
        assert_eq!(of(r#"{"status":true,"data":{"webhook_id":"w1","secret":"00ff"}}"#).as_deref(), Some("00ff"));
        assert_eq!(of(r#"{"webhook_id":"w1","secret":"00ff"}"#).as_deref(), Some("00ff"));
        assert_eq!(of(r#"{"data":{"webhook_id":"w1"}}"#), None);
    }
}
