//! One message: read, or asked for at the phone, which takes as long as the phone likes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use axum::{
    Extension,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{answers, calls, message};
use crate::{
    gate::Pretence,
    hooks::{HookFault, emit, event::Event},
    messages::Message,
    people::Person,
    server::{Channel, Server},
};

/// The event that brings messages.
const MESSAGES: &str = "messages";

pub(super) async fn message(
    State(server): State<Arc<Server>>,
    Extension(channel): Extension<Arc<Channel>>,
    Extension(pretence): Extension<Pretence>,
    Path(id): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    if !pretence.session {
        return calls::no_session(&server);
    }
    if !is_message_id(&id) {
        return calls::bad_parameters(&server);
    }
    if asked.get("resync").is_some_and(|resync| resync == "true") && readable(&server, &channel, &id).is_none() {
        ask_the_phone(&server, &channel, &id);
        let hold = Duration::from_millis(server.restoring.with(|restoring| restoring.hold_ms));
        tokio::select! {
            () = channel.restored.wait_for(&id) => {}
            () = tokio::time::sleep(hold) => {}
            () = server.stopping.cancelled() => {}
        }
    }
    match readable(&server, &channel, &id) {
        Some(message) => answers::ok(&message),
        None => answers::error(&server, StatusCode::NOT_FOUND, "message not found"),
    }
}

/// What the phone does about it, and when.
fn ask_the_phone(server: &Arc<Server>, channel: &Arc<Channel>, id: &str) {
    let fault = server.hook_faults.of_request(channel.number, MESSAGES);
    let after_ms = server.restoring.with(|restoring| restoring.readable_after_ms);
    let Some(after_ms) = after_ms.filter(|_| fault != Some(HookFault::Silent)) else { return };
    let (server, channel, id) = (Arc::clone(server), Arc::clone(channel), id.to_owned());
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(after_ms)) => {
                // What the phone does not hold never comes.
                let _ = restore(&server, &channel, &id);
            }
            () = server.stopping.cancelled() => {}
        }
    });
}

/// Makes a message readable and tells of it as of one that just came.
pub(super) fn restore(server: &Server, channel: &Channel, id: &str) -> Result<()> {
    let found = channel.archive.find(id);
    ensure!(found.is_some(), "the phone holds no message {id}");
    if let Some((person, message, false)) = found
        && channel.restored.add(id)
    {
        let body = json!({
            "messages": [written(server, channel, &person, message)],
            "event": { "type": MESSAGES, "event": "post" },
            "channel_id": server.contract.name_of(channel),
        });
        emit::tell(server, channel, Event::history(MESSAGES, body));
    }
    Ok(())
}

fn readable(server: &Server, channel: &Channel, id: &str) -> Option<Value> {
    let (person, message, stored) = channel.archive.find(id)?;
    (stored || channel.restored.has(id)).then(|| written(server, channel, &person, message))
}

fn written(server: &Server, channel: &Channel, person: &Person, known: Message) -> Value {
    let (phone, lid) = (person.phone_jid.as_deref(), person.lid.as_deref());
    let stored_in = if known.in_phone_chat { phone.or(lid) } else { lid };
    let resolved = phone.filter(|_| server.readings.with(|readings| readings.resolves_lids));
    let chat = resolved.or(stored_in).unwrap_or_default();
    message::known(person, chat, &channel.archive.seen(person, known, false))
}

/// Two or three parts of letters, digits, points and underscores.
fn is_message_id(id: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
    };
    (2..=3).contains(&id.split('-').count()) && id.split('-').all(word)
}
