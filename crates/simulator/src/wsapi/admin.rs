//! Setting an instance up, with the key of whoever runs the server: where events go, how they are signed, and whether
//! history is kept from the next pairing on (of all instances: the server has one such switch here).

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use super::answers;
use crate::{
    hooks::Hook,
    server::{Channel, Server},
};

/// The key of whoever runs the server.
pub const ADMIN_KEY: &str = "simulated-admin-key";

type Running = State<Arc<Server>>;

/// What is not given stays as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    webhook_url: Option<String>,
    signing_secret: Option<String>,
    event_filters: Option<Vec<String>>,
    history_sync: Option<bool>,
}

pub(super) async fn change(
    State(server): Running,
    Path(instance): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let channel = match instance_of(&server, &instance, &headers) {
        Ok(channel) => channel,
        Err(refused) => return refused,
    };
    let Ok(given) = serde_json::from_str::<Given>(&body) else {
        return answers::error(StatusCode::BAD_REQUEST, "invalid request body");
    };
    channel.outbox.change_hooks(|hooks| {
        let mut hook = hooks.drain(..).next().unwrap_or_default();
        hook.url = given.webhook_url.unwrap_or(hook.url);
        hook.secret = given.signing_secret.or(hook.secret);
        hook.events = given.event_filters.unwrap_or(hook.events);
        hooks.extend(Some(hook).filter(|hook| !hook.url.is_empty()));
    });
    if let Some(kept) = given.history_sync {
        server.history.with(|history| *history = kept);
    }
    told_of(&server, channel)
}

pub(super) async fn told(State(server): Running, Path(instance): Path<String>, headers: HeaderMap) -> Response {
    match instance_of(&server, &instance, &headers) {
        Ok(channel) => told_of(&server, channel),
        Err(refused) => refused,
    }
}

fn told_of(server: &Server, channel: &Channel) -> Response {
    let Hook { url, secret, events, .. } = channel.outbox.hooks().into_iter().next().unwrap_or_default();
    answers::ok(&json!({
        "webhookUrl": url,
        "signingSecret": secret.map(|_| "***"),
        "eventFilters": events,
        "historySync": server.history.with(|history| *history),
    }))
}

#[expect(clippy::result_large_err, reason = "an answer is what it is, and made once")]
fn instance_of<'a>(server: &'a Server, instance: &str, headers: &HeaderMap) -> Result<&'a Arc<Channel>, Response> {
    if headers.get("x-api-key").is_none_or(|key| key != ADMIN_KEY) {
        return Err(super::unauthorized());
    }
    let found = server.channels.iter().find(|channel| server.contract.name_of(channel) == instance);
    found.ok_or_else(|| answers::error(StatusCode::NOT_FOUND, "instance not found"))
}
