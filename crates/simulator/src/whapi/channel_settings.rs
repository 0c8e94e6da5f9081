//! What a channel is set to, its webhooks among it. Whapi signs nothing: a secret header is set with the address.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{answers, calls};
use crate::{
    hooks::Hook,
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;

/// The most headers of one webhook.
const MOST_HEADERS: usize = 5;

#[derive(Debug, Deserialize)]
struct Webhook {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    events: Vec<Wanted>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(rename = "type")]
    kind: String,
}

pub(super) async fn told(Extension(channel): Asking) -> Response {
    answers::ok(&all(&channel))
}

/// Fields that are given replace what was there.
pub(super) async fn change(State(server): State<Arc<Server>>, Extension(channel): Asking, body: String) -> Response {
    let Ok(mut given) = serde_json::from_str::<Map<String, Value>>(&body) else {
        return calls::bad_parameters(&server);
    };
    if let Some(webhooks) = given.remove("webhooks") {
        let Some(webhooks) = read(webhooks) else { return calls::bad_parameters(&server) };
        let appends = server.restoring.with(|restoring| restoring.appends_webhooks);
        channel.outbox.change_hooks(|hooks| {
            if !appends {
                hooks.clear();
            }
            hooks.extend(webhooks);
        });
    }
    channel.settings.with(|settings| settings.extend(given));
    answers::ok(&all(&channel))
}

fn read(webhooks: Value) -> Option<Vec<Hook>> {
    let webhooks: Vec<Webhook> = serde_json::from_value(webhooks).ok()?;
    if webhooks.iter().any(|webhook| webhook.headers.len() > MOST_HEADERS) {
        return None;
    }
    let hook = |webhook: Webhook| Hook {
        url: webhook.url,
        secret: None,
        headers: webhook.headers,
        events: webhook.events.into_iter().map(|wanted| wanted.kind).collect(),
    };
    Some(webhooks.into_iter().map(hook).collect())
}

fn all(channel: &Channel) -> Value {
    let mut settings = json!({
        "callback_persist": true,
        "callback_backoff_delay_ms": 3_000,
        "max_callback_backoff_delay_ms": 900_000,
        "full_history": false,
        "offline_mode": false,
        "media": { "auto_download": [] },
    });
    channel.settings.with(|given| {
        for (name, value) in given.iter() {
            settings[name.as_str()] = value.clone();
        }
    });
    let webhook = |hook: &Hook| {
        let events: Vec<Value> = hook.events.iter().map(|kind| json!({ "type": kind, "method": "post" })).collect();
        json!({ "mode": "body", "url": hook.url, "headers": hook.headers, "events": events })
    };
    settings["webhooks"] = channel.outbox.hooks().iter().map(webhook).collect();
    settings
}
