//! The handlers. Each answers in the order of checks of the real server, because the order decides which error a caller
//! with two problems sees.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{envelope, rows, webhooks};
use crate::{
    gate::Pretence,
    media,
    people::Person,
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;

/// In the field order of the real answer, which has no envelope.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    timestamp: String,
    uptime: String,
    active_connections: usize,
    total_users: usize,
    connected_users: usize,
    logged_in_users: usize,
    memory_stats: Value,
    goroutines: usize,
    version: &'static str,
}

pub(crate) async fn health(State(server): State<Arc<Server>>) -> Response {
    let now_us = server.clock.now_us();
    let up = server.channels.iter().filter(|channel| channel.session.is_up(now_us)).count();
    let now: DateTime<Utc> = i64::try_from(now_us).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default();
    let health = Health {
        status: "ok",
        timestamp: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        uptime: format!("{:?}", server.clock.uptime()),
        active_connections: up,
        total_users: server.channels.len(),
        connected_users: up,
        logged_in_users: up,
        memory_stats: json!({ "alloc_mb": 21, "num_gc": 34, "sys_mb": 48, "total_alloc_mb": 310 }),
        goroutines: 24,
        version: "1.0.8",
    };
    let body = serde_json::to_string(&health).unwrap_or_default() + "\n";
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Tells the token in clear, as the real one does: a reader must not log this answer.
pub(crate) async fn status(Extension(channel): Asking, Extension(pretence): Extension<Pretence>) -> Response {
    envelope::ok(&json!({
        "id": rows::user_id(&channel),
        "name": format!("simulated-{}", channel.number),
        "connected": pretence.session,
        "loggedIn": pretence.session,
        "token": channel.token,
        "jid": rows::OWN_DEVICE_JID,
        "webhook": channel.outbox.hooks().first().map(|hook| hook.url.clone()).unwrap_or_default(),
        "events": webhooks::subscribed(&channel).map_or_else(|| "Message,HistorySync".to_owned(), |events| events.join(",")),
        "proxy_url": "",
        "qrcode": "",
        "history": if pretence.history { "100" } else { "0" },
        "proxy_config": { "enabled": false, "proxy_url": "" },
        "s3_config": {
            "access_key": "***", "bucket": "", "enabled": false, "endpoint": "", "media_delivery": "", "path_style": false,
            "public_url": "", "region": "", "retention_days": 0,
        },
        "hmac_configured": channel.outbox.secret().is_some(),
    }))
}

pub(crate) async fn contacts(Extension(channel): Asking, Extension(pretence): Extension<Pretence>) -> Response {
    if !pretence.session {
        return no_session();
    }
    // A long list takes long to draw; whoever calls meanwhile must not be timed late for it.
    let listing = tokio::task::spawn_blocking(move || envelope::ok(&list(&channel)));
    listing.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn list(channel: &Channel) -> Value {
    let listed = |person: Person| {
        let entry = |key: &str| (key.to_owned(), contact(&person, key));
        person.listed_keys().map(entry).collect::<Vec<_>>()
    };
    Value::Object(channel.archive.draw_people().flat_map(listed).collect::<Map<_, _>>())
}

/// The address book is keyed by phone; under a LID only the push name is known.
fn contact(person: &Person, key: &str) -> Value {
    let full_name = if key.ends_with("@lid") { "" } else { person.full_name.as_str() };
    json!({
        "Found": true,
        "FirstName": full_name.split(' ').next().unwrap_or_default(),
        "FullName": full_name,
        "PushName": person.push_name,
        "BusinessName": if person.number % 10 == 7 { "Loja & Cia" } else { "" },
        "RedactedPhone": "",
    })
}

pub(crate) async fn lid(
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Path(asked): Path<String>,
) -> Response {
    if !pretence.session {
        return no_session();
    }
    let Some(jid) = parse_jid(&asked) else { return envelope::error(StatusCode::BAD_REQUEST, "invalid jid format") };
    if !jid.ends_with("@s.whatsapp.net") {
        let why = format!("LID not found for this number: invalid GetLIDForPN call with non-PN JID {jid}");
        return envelope::error(StatusCode::NOT_FOUND, &why);
    }
    match channel.archive.person(&jid).and_then(|person| person.lid) {
        Some(lid) => envelope::ok(&json!({ "jid": jid, "lid": lid })),
        None => envelope::error(StatusCode::NOT_FOUND, "LID not found for this number"),
    }
}

/// A number alone counts as a phone JID; a leading plus is dropped. A user part that is not a number is malformed.
fn parse_jid(asked: &str) -> Option<String> {
    let asked = asked.strip_prefix('+').unwrap_or(asked);
    let (user, server) = asked.split_once('@').unwrap_or((asked, "s.whatsapp.net"));
    let well_formed = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit()) && !server.is_empty();
    well_formed.then(|| format!("{user}@{server}"))
}

/// Reads what is stored, session or not, as long as the client is loaded.
pub(crate) async fn history(
    State(server): State<Arc<Server>>,
    Extension(channel): Asking,
    Extension(pretence): Extension<Pretence>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !pretence.client {
        return no_session();
    }
    if !pretence.history {
        return envelope::error(StatusCode::NOT_IMPLEMENTED, "message history is disabled for this user");
    }
    let Some(address) = asked.get("chat_jid").filter(|address| !address.is_empty()) else {
        return envelope::error(StatusCode::BAD_REQUEST, "chat_jid is required");
    };
    if address == "index" {
        return envelope::ok(&rows::index(&server));
    }
    let limit = match asked.get("limit").filter(|limit| !limit.is_empty()).map(|limit| limit.parse::<i64>()) {
        None => 50,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return envelope::error(StatusCode::BAD_REQUEST, "invalid limit"),
    };
    let Ok(limit) = usize::try_from(limit) else {
        let why = "failed to get message history: pq: LIMIT must not be negative";
        return envelope::error(StatusCode::INTERNAL_SERVER_ERROR, why);
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let files = server.wuzapi.with(|readings| readings.keeps_files);
    let files = files.then(|| format!("http://{host}/files/{}", channel.number));
    envelope::ok(&rows::chat(&channel, address, limit, files.as_deref()))
}

/// A file, for whoever has its address.
pub(super) async fn file(State(server): State<Arc<Server>>, Path((number, id)): Path<(usize, String)>) -> Response {
    let found = server.channels.get(number).and_then(|channel| media::find(channel, &id));
    found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |(message, media)| media.download(&message))
}

pub(super) fn no_session() -> Response {
    envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "no session")
}
