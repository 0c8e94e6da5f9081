//! `GET /webhook`: where events go, and which. Names that a release does not know are dropped without a word when they are
//! registered, so what is missing has to be looked for.

use serde_json::Value;
use sincro_core::gateway::{Receiver, Subscriptions};

use crate::json;

/// What is needed: answers of phones, new messages, and what becomes of the session.
pub(super) const EVENTS: [&str; 9] = [
    "Message",
    "HistorySync",
    "Connected",
    "Disconnected",
    "LoggedOut",
    "ConnectFailure",
    "TemporaryBan",
    "StreamReplaced",
    "PairSuccess",
];
const ALL: &str = "All";

pub(super) fn read(data: &str) -> Result<Subscriptions, String> {
    let data = json::object(data).ok_or("a webhook that is no object")?;
    let url = ["webhook", "webhookurl", "url"].iter().find_map(|name| json::field(&data, name)).and_then(json::text);
    let subscribed = match ["subscribe", "events"].iter().find_map(|name| json::field(&data, name)) {
        Some(Value::Array(list)) => list.iter().filter_map(json::text).collect(),
        Some(list) => json::text(list).unwrap_or_default().split(',').map(|name| name.trim().to_owned()).collect(),
        None => Vec::new(),
    };
    let has = |event: &str| subscribed.iter().any(|one| one.eq_ignore_ascii_case(event));
    let everything = has(ALL);
    let missing = EVENTS.iter().filter(|event| !everything && !has(event)).map(|&event| event.to_owned()).collect();
    let url = url.filter(|url| !url.trim().is_empty());
    let receivers = url.map(|url| Receiver { url, missing }).into_iter().collect();
    Ok(Subscriptions { receivers, ..Subscriptions::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_were_dropped_without_a_word_are_missing() {
        let found = read(r#"{"webhook":"https://a","subscribe":["Message","HistorySync","LoggedOut"]}"#).unwrap();
        let missing = |found: &Subscriptions| found.receiver("https://a").unwrap().missing.clone();
        assert_eq!(
            missing(&found),
            ["Connected", "Disconnected", "ConnectFailure", "TemporaryBan", "StreamReplaced", "PairSuccess"]
        );
        for all in [r#"{"webhook":"https://a","subscribe":["All"]}"#, r#"{"Webhook":"https://a","events":"All"}"#] {
            assert!(missing(&read(all).unwrap()).is_empty(), "{all}");
        }
        let none = read(r#"{"webhook":"","subscribe":null}"#).unwrap();
        assert!(none.receivers.is_empty());
        assert!(read("[]").is_err());
    }
}
