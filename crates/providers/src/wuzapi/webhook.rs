//! `GET /webhook`: where events go, and which. Names that a release does not know are dropped without a word when they are
//! registered, so what is missing has to be looked for.

use serde_json::Value;
use sincro_core::gateway::Subscriptions;

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
    Ok(Subscriptions {
        urls: url.into_iter().filter(|url| !url.trim().is_empty()).collect(),
        missing: EVENTS.iter().filter(|event| !everything && !has(event)).map(|&event| event.to_owned()).collect(),
        ..Subscriptions::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_were_dropped_without_a_word_are_missing() {
        let found = read(r#"{"webhook":"https://a","subscribe":["Message","HistorySync","LoggedOut"]}"#).unwrap();
        assert_eq!(found.urls, ["https://a"]);
        assert_eq!(
            found.missing,
            ["Connected", "Disconnected", "ConnectFailure", "TemporaryBan", "StreamReplaced", "PairSuccess"]
        );
        for all in [r#"{"webhook":"https://a","subscribe":["All"]}"#, r#"{"Webhook":"https://a","events":"All"}"#] {
            assert!(read(all).unwrap().missing.is_empty(), "{all}");
        }
        let none = read(r#"{"webhook":"","subscribe":null}"#).unwrap();
        assert_eq!((none.urls.len(), none.missing.len()), (0, EVENTS.len()));
        assert!(read("[]").is_err());
    }
}
