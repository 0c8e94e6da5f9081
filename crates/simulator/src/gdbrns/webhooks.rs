//! Registering for webhooks: up to five of a device, each with a secret that is told once.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answers, events};
use crate::{
    dice,
    hooks::{Hook, emit},
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;

/// The most of one device.
const MOST: usize = 5;

/// What the gateway remembers of registrations beside the hooks themselves.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    /// Their ids, in the order of the hooks.
    ids: Vec<u64>,
    last: u64,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    url: String,
    #[serde(default)]
    events: Vec<String>,
}

pub(super) async fn register(State(server): State<Arc<Server>>, Extension(channel): Asking, body: String) -> Response {
    let Ok(Wanted { url, events }) = serde_json::from_str(&body) else {
        return answers::error(StatusCode::BAD_REQUEST, "invalid request body");
    };
    if server.gdbrns.with(|readings| readings.public_hooks_only) && !is_public(&url) {
        return answers::error(StatusCode::BAD_REQUEST, "webhook url must be https and publicly reachable");
    }
    let secret = format!(
        "{:016x}{:016x}{:016x}{:016x}",
        dice::scramble(server.clock.now_us()),
        dice::scramble(channel.archive.seed()),
        dice::scramble(server.next_unique()),
        dice::scramble(!server.clock.now_us()),
    );
    let hook = Hook { url, secret: Some(secret.clone()), events, ..Hook::default() };
    let id = channel.outbox.change_hooks(|hooks| {
        channel.registered.with(|registered| {
            registered.follow(hooks.len());
            if hooks.len() >= MOST {
                return None;
            }
            hooks.push(hook);
            registered.follow(hooks.len());
            registered.ids.last().copied()
        })
    });
    match id {
        Some(id) => answers::created("Webhook created", &json!({ "webhook_id": id, "secret": secret })),
        None => answers::error(StatusCode::BAD_REQUEST, "maximum of 5 webhooks per device reached"),
    }
}

pub(super) async fn list(Extension(channel): Asking) -> Response {
    let hooks = channel.outbox.hooks();
    let ids = channel.registered.with(|registered| {
        registered.follow(hooks.len());
        registered.ids.clone()
    });
    let listed: Vec<Value> = hooks
        .iter()
        .zip(ids)
        .map(|(hook, id)| json!({ "webhook_id": id, "url": hook.url, "events": hook.events, "active": true }))
        .collect();
    answers::ok("Webhooks", &json!(listed))
}

pub(super) async fn remove(Extension(channel): Asking, Path(id): Path<u64>) -> Response {
    let found = channel.outbox.change_hooks(|hooks| {
        channel.registered.with(|registered| {
            let index = registered.index_of(id, hooks.len())?;
            registered.ids.remove(index);
            hooks.remove(index);
            Some(())
        })
    });
    match found {
        Some(()) => answers::ok("Webhook deleted", &Value::Null),
        None => missing(),
    }
}

#[derive(Debug, Deserialize)]
struct Changed {
    url: Option<String>,
    events: Option<Vec<String>>,
}

pub(super) async fn change(Extension(channel): Asking, Path(id): Path<u64>, body: String) -> Response {
    let Ok(Changed { url, events }) = serde_json::from_str(&body) else {
        return answers::error(StatusCode::BAD_REQUEST, "invalid request body");
    };
    let found = channel.outbox.change_hooks(|hooks| {
        let index = channel.registered.with(|registered| registered.index_of(id, hooks.len()))?;
        let hook = hooks.get_mut(index)?;
        hook.url = url.unwrap_or_else(|| hook.url.clone());
        hook.events = events.unwrap_or_else(|| hook.events.clone());
        Some(())
    });
    match found {
        Some(()) => answers::ok("Webhook updated", &Value::Null),
        None => missing(),
    }
}

/// Tells something to everybody who wants all events or this one.
pub(super) async fn test(
    State(server): State<Arc<Server>>,
    Extension(channel): Asking,
    Path(id): Path<u64>,
) -> Response {
    let hooks = channel.outbox.hooks().len();
    if channel.registered.with(|registered| registered.index_of(id, hooks)).is_none() {
        return missing();
    }
    emit::tell(&server, &channel, events::of_session(&server, &channel, "test.ping", &json!({ "message": "ping" })));
    answers::ok("Test event queued", &Value::Null)
}

fn missing() -> Response {
    answers::error(StatusCode::NOT_FOUND, "webhook not found")
}

impl Registered {
    fn index_of(&mut self, id: u64, hooks: usize) -> Option<usize> {
        self.follow(hooks);
        self.ids.iter().position(|known| *known == id)
    }

    /// Hooks that were set from outside of the gateway have ids as well.
    fn follow(&mut self, hooks: usize) {
        self.ids.truncate(hooks);
        while self.ids.len() < hooks {
            self.last += 1;
            self.ids.push(self.last);
        }
    }
}

fn is_public(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| {
        let inside = ["localhost", "127.", "10.", "192.168.", "0.0.0.0"];
        !inside.iter().any(|inside| rest.starts_with(inside))
    })
}
