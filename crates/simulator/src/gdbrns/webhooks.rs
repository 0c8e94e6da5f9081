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

use super::answers;
use crate::{
    dice,
    hooks::Hook,
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
            registered.follow(hooks.len());
            let index = registered.ids.iter().position(|known| *known == id)?;
            registered.ids.remove(index);
            hooks.remove(index);
            Some(())
        })
    });
    match found {
        Some(()) => answers::ok("Webhook deleted", &Value::Null),
        None => answers::error(StatusCode::NOT_FOUND, "webhook not found"),
    }
}

impl Registered {
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
