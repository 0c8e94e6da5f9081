//! `GET /settings` and `PATCH /settings`: where webhooks go, and which.
//!
//! A list that is patched may replace the one that stands there (nobody has tried), so what stands there is sent along, as it came.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use sincro_core::gateway::{Kept, Receiver, Subscriptions};

use crate::json;

/// What is needed: new and restored messages, and the state of the channel.
const EVENTS: [&str; 2] = ["messages", "channel"];
/// The header under which a receiver of ours is told its secret.
pub(super) const KEY_HEADER: &str = "X-Ingest-Key";

/// Where webhooks go.
pub(super) fn subscriptions(body: &str) -> Result<Subscriptions, String> {
    let names = ["webhooks", "full_history", "webhook_max_age_seconds"];
    let [list, full_history, max_age] = json::pick(body.trim_start_matches('\u{feff}').trim(), names)
        .map_err(|error| format!("settings that are {}", json::flaw(&error)))?;
    let list = list.map_or("[]", RawValue::get);
    let mut receivers = Vec::new();
    json::each_item(list, |raw| receivers.extend(json::object(raw.get()).and_then(|webhook| receiver(&webhook))))
        .map_err(|error| format!("webhooks that are {}", json::flaw(&error)))?;
    let value = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let max_age = value(max_age).and_then(|age| json::text(&age)).and_then(|age| age.parse().ok());
    Ok(Subscriptions {
        receivers,
        keeps_history: value(full_history).as_ref().and_then(json::flag),
        forgets_after: max_age.filter(|age| *age > 0).map(Duration::from_secs),
        kept: Some(Kept(list.to_owned())),
    })
}

/// Who gets webhooks; what it is not told of it misses.
fn receiver(webhook: &Value) -> Option<Receiver> {
    let url = json::field(webhook, "url").and_then(json::text).filter(|url| !url.trim().is_empty())?;
    let events = json::field(webhook, "events").and_then(Value::as_array).into_iter().flatten();
    let subscribed: Vec<String> = events.filter_map(arriving).collect();
    let missing = EVENTS.iter().filter(|event| !subscribed.iter().any(|one| one.eq_ignore_ascii_case(event)));
    Some(Receiver { url, missing: missing.map(|&event| event.to_owned()).collect() })
}

/// The type of an event; none where nothing but changes or deletions of it are sent.
fn arriving(event: &Value) -> Option<String> {
    let kind = json::text(event).or_else(|| json::field(event, "type").and_then(json::text))?;
    let method = json::field(event, "method").and_then(json::text);
    let arrives =
        !kind.eq_ignore_ascii_case("messages") || method.is_none_or(|method| method.eq_ignore_ascii_case("post"));
    arrives.then_some(kind)
}

#[derive(Serialize)]
struct Patch {
    webhooks: Vec<Box<RawValue>>,
}

/// The settings that add a receiver to those that stand there; none where these are not known or cannot be read.
pub(super) fn patch(url: &str, key: Option<&str>, kept: Option<&Kept>) -> Option<String> {
    let mut webhooks = Vec::new();
    json::each_item(&kept?.0, |raw| {
        let is_ours = json::object(raw.get())
            .is_some_and(|webhook| json::field(&webhook, "url").and_then(json::text).as_deref() == Some(url));
        if !is_ours {
            webhooks.push(raw.to_owned());
        }
    })
    .ok()?;
    let methods = [("messages", "post"), ("channel", "post"), ("channel", "patch")];
    let events: Vec<Value> = methods.iter().map(|(kind, method)| json!({"type": kind, "method": method})).collect();
    let mut ours = json!({"mode": "body", "url": url, "events": events});
    if let Some(key) = key {
        ours["headers"] = json!({KEY_HEADER: key});
    }
    webhooks.push(serde_json::value::to_raw_value(&ours).ok()?);
    serde_json::to_string(&Patch { webhooks }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://ingest.example/whapi/7";
    const PAGE: &str = r#"{"webhooks":[{"mode":"body","url":"https://ingest.example/whapi/7","headers":{"X-Ingest-Key":".."},
   "events":[{"type":"messages","method":"post"},{"type":"statuses","method":"post"},{"type":"channel","method":"post"}]}],
 "callback_persist":true,"callback_backoff_delay_ms":3000,"max_callback_backoff_delay_ms":900000,
 "full_history":true,"offline_mode":false,"media":{"auto_download":["image"]}}"#;

    #[test]
    fn the_settings_of_the_page_are_read_and_what_is_missing_is_named() {
        let found = subscriptions(PAGE).unwrap();
        assert_eq!(found.receivers, [Receiver { url: OURS.to_owned(), missing: Vec::new() }]);
        assert_eq!((found.keeps_history, found.forgets_after), (Some(true), None));
        let odd = subscriptions(r#"{"full_history":false,"webhook_max_age_seconds":"600"}"#).unwrap();
        assert_eq!((odd.keeps_history, odd.forgets_after), (Some(false), Some(Duration::from_mins(10))));
        assert_eq!(subscriptions(r#"{"webhook_max_age_seconds":0}"#).unwrap().forgets_after, None);
        let only_changes = r#"{"webhooks":[{"url":"https://a","events":[{"type":"messages","method":"patch"}]}]}"#;
        assert_eq!(subscriptions(only_changes).unwrap().receivers[0].missing, ["messages", "channel"]);
        for none in ["{}", r#"{"webhooks":null}"#, r#"{"webhooks":[]}"#] {
            assert!(subscriptions(none).unwrap().receivers.is_empty(), "{none}");
        }
        assert!(subscriptions(r#"{"webhooks":7}"#).is_err() && subscriptions("[1]").is_err());
    }

    #[test]
    fn a_patch_may_replace_the_list_so_what_stands_there_is_sent_along_as_it_came() {
        let theirs = r#"{"url":"https://theirs","headers":{"X-Key":"hush"},"new_option" : 1}"#;
        let kept = subscriptions(&format!(r#"{{"webhooks":[{theirs}]}}"#)).unwrap().kept;
        assert_eq!(format!("{kept:?}"), "Some(Kept(..))", "their secrets are shown to nobody");
        let sent = patch(OURS, Some("s3cret"), kept.as_ref()).unwrap();
        assert!(sent.starts_with(&format!(r#"{{"webhooks":[{theirs},"#)), "{sent}");
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["webhooks"][1]["headers"], json!({"X-Ingest-Key": "s3cret"}));
        assert_eq!(sent["webhooks"][1]["events"][0], json!({"type": "messages", "method": "post"}));
        assert_eq!(sent.as_object().unwrap().len(), 1, "no other setting is touched");
    }

    #[test]
    fn our_own_receiver_takes_its_place_anew_and_nothing_is_sent_blindly() {
        let kept = subscriptions(PAGE).unwrap().kept;
        let sent: Value = serde_json::from_str(&patch(OURS, None, kept.as_ref()).unwrap()).unwrap();
        assert_eq!(sent["webhooks"].as_array().unwrap().len(), 1);
        assert_eq!(sent["webhooks"][0].get("headers"), None);
        assert_eq!(patch(OURS, None, None), None);
        assert_eq!(patch(OURS, None, Some(&Kept("{".into()))), None);
    }
}
