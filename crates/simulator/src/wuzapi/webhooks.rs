//! Registering for webhooks: one address for each instance, and the key they are signed with. An event nobody knows is
//! dropped without a word.

use std::sync::Arc;

use axum::{Extension, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::envelope;
use crate::{hooks::Hook, server::Channel};

type Asking = Extension<Arc<Channel>>;

/// The events that can be subscribed to, those of a history reader among them.
const KNOWN: [&str; 18] = [
    "All",
    "ClientOutdated",
    "ConnectFailure",
    "Connected",
    "Disconnected",
    "HistorySync",
    "KeepAliveRestored",
    "KeepAliveTimeout",
    "LoggedOut",
    "Message",
    "OfflineSyncCompleted",
    "OfflineSyncPreview",
    "PairSuccess",
    "QR",
    "ReadReceipt",
    "StreamReplaced",
    "TemporaryBan",
    "UndecryptableMessage",
];
/// What stands for no event at all: a hook without names gets all of them.
const NOTHING: &str = "";
/// The shortest key.
const SHORTEST_KEY: usize = 32;

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(alias = "webhook")]
    webhookurl: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    active: Option<bool>,
}

/// What the first hook gets, if there is one.
pub(super) fn subscribed(channel: &Channel) -> Option<Vec<String>> {
    let hook = channel.outbox.hooks().into_iter().next()?;
    if hook.events.is_empty() {
        return Some(vec!["All".to_owned()]);
    }
    Some(hook.events.into_iter().filter(|event| event != NOTHING).collect())
}

pub(super) async fn told(Extension(channel): Asking) -> Response {
    let url = channel.outbox.hooks().into_iter().next().map(|hook| hook.url).unwrap_or_default();
    envelope::ok(&json!({ "webhook": url, "subscribe": subscribed(&channel).unwrap_or_default() }))
}

pub(super) async fn register(Extension(channel): Asking, body: String) -> Response {
    let Some(wanted) = parse(&body) else { return undecodable() };
    let url = wanted.webhookurl.clone();
    set(&channel, wanted);
    envelope::ok(&json!({ "webhook": url }))
}

pub(super) async fn change(Extension(channel): Asking, body: String) -> Response {
    let Some(wanted) = parse(&body) else { return undecodable() };
    let (url, active) = (wanted.webhookurl.clone(), wanted.active.unwrap_or(true));
    if active {
        set(&channel, wanted);
    } else {
        channel.outbox.change_hooks(Vec::clear);
    }
    envelope::ok(&json!({ "webhook": url, "events": subscribed(&channel).unwrap_or_default(), "active": active }))
}

pub(super) async fn remove(Extension(channel): Asking) -> Response {
    channel.outbox.change_hooks(Vec::clear);
    envelope::ok(&json!({ "Details": "Webhook and events deleted successfully" }))
}

fn parse(body: &str) -> Option<Wanted> {
    serde_json::from_str(body).ok()
}

fn set(channel: &Channel, wanted: Wanted) {
    let mut events: Vec<String> = wanted.events.into_iter().filter(|event| KNOWN.contains(&event.as_str())).collect();
    if events.is_empty() {
        events.push(NOTHING.to_owned());
    }
    let hook = Hook { url: wanted.webhookurl, events, ..Hook::default() };
    channel.outbox.change_hooks(|hooks| *hooks = vec![hook]);
}

#[derive(Debug, Deserialize)]
struct Key {
    hmac_key: String,
}

pub(super) async fn hmac(Extension(channel): Asking) -> Response {
    let masked = if channel.outbox.secret().is_some() { "***" } else { "" };
    envelope::ok(&json!({ "hmac_key": masked }))
}

pub(super) async fn set_hmac(Extension(channel): Asking, body: String) -> Response {
    let Ok(Key { hmac_key }) = serde_json::from_str(&body) else { return undecodable() };
    if hmac_key.len() < SHORTEST_KEY {
        return envelope::error(StatusCode::BAD_REQUEST, "HMAC key must be at least 32 characters long");
    }
    channel.outbox.set_secret(Some(hmac_key));
    envelope::ok(&json!({ "Details": "HMAC configuration saved successfully" }))
}

pub(super) async fn remove_hmac(Extension(channel): Asking) -> Response {
    channel.outbox.set_secret(None);
    envelope::ok(&json!({ "Details": "HMAC configuration deleted successfully" }))
}

fn undecodable() -> Response {
    envelope::error(StatusCode::BAD_REQUEST, "could not decode payload")
}
