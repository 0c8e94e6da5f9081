//! The handlers.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde_json::json;

use super::{
    answers, events, message,
    onboarding::{Refused, Wish},
    readings::{Readings, Refusal},
};
use crate::{
    gate::Pretence,
    hooks::{HookFault, emit},
    media::{self, Media},
    messages::{self, Message},
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;
type Pretending = Extension<Pretence>;
type Running = State<Arc<Server>>;

/// Files are kept for so long.
const FILES_LAST_DAYS: i64 = 14;

pub(super) async fn contacts(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
) -> Response {
    let (readings, fault) = (readings(&server), server.hook_faults.of_request(channel.number, events::CONTACTS));
    if let Some(refused) = refused(&channel, pretence, readings, Wish::Contacts, fault) {
        return refused;
    }
    let telling = Arc::clone(&channel);
    let told = std::iter::once_with(move || events::contacts(&telling, readings)).flatten();
    emit::answer(&server, &channel, fault, events::batched(told, readings.batch), |_, _| {});
    answers::accepted(readings.accepted_is_202, "Contacts synchronization requested")
}

pub(super) async fn history(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
) -> Response {
    let (readings, fault) = (readings(&server), server.hook_faults.of_request(channel.number, events::HISTORY));
    if let Some(refused) = refused(&channel, pretence, readings, Wish::History, fault) {
        return refused;
    }
    if fault == Some(HookFault::Declined) {
        emit::tell(&server, &channel, events::declined(&channel, readings));
    } else {
        let telling = Arc::clone(&channel);
        // Which chunk is the last one is known here.
        let complete = fault != Some(HookFault::LastMissing);
        let told = std::iter::once_with(move || events::history(&telling, readings, complete)).flatten();
        let told = events::batched(told, readings.batch);
        emit::answer(&server, &channel, fault.filter(|_| complete), told, |_, _| {});
    }
    answers::accepted(readings.accepted_is_202, "Message history synchronization requested")
}

pub(super) async fn media(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
    Path((number, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !pretence.session {
        return disconnected();
    }
    let Some((message, media)) = find(&channel, &id) else { return gone() };
    if !readings(&server).files_by_address {
        return media.download(&message);
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let told = json!({
        "messaging_product": "whatsapp", "id": id, "mime_type": media.mime_type, "file_size": media.bytes, "sha256": "9b1f",
        "url": format!("http://{host}/v2/whatsapp/numbers/{number}/files/{id}"),
    });
    answers::respond(StatusCode::OK, &told)
}

pub(super) async fn file(Extension(channel): Asking, Path((_, id)): Path<(String, String)>) -> Response {
    find(&channel, &id).map_or_else(gone, |(message, media)| media.download(&message))
}

/// Files are kept for some days.
fn find(channel: &Channel, id: &str) -> Option<(Message, Media)> {
    let found = media::find(channel, id.strip_prefix(message::MEDIA)?);
    found.filter(|(message, _)| (messages::told_at() - message.sent_at).num_days() <= FILES_LAST_DAYS)
}

fn gone() -> Response {
    answers::error(StatusCode::NOT_FOUND, "404", "Media not found", "The media does not exist or has expired")
}

fn readings(server: &Server) -> Readings {
    server.positus.with(|readings| *readings)
}

fn refused(
    channel: &Channel,
    pretence: Pretence,
    readings: Readings,
    wish: Wish,
    fault: Option<HookFault>,
) -> Option<Response> {
    if !pretence.session {
        return Some(disconnected());
    }
    let asked = channel.onboarding.with(|onboarding| onboarding.ask(wish));
    let asked = if fault == Some(HookFault::AlreadyRequested) { Err(Refused::Repeated) } else { asked };
    let (code, subcode, words) = match (asked.err()?, readings.refusal) {
        (Refused::Repeated, Refusal::LimitExceeded) => (4, None, "sync request limit exceeded"),
        (Refused::Repeated, Refusal::AlreadySynced) => (100, Some(2_593_107), "already synced"),
        (Refused::TooLate, _) => (100, Some(2_593_108), "sync request outside of the onboarding window"),
    };
    Some(if readings.meta_errors {
        answers::graph(StatusCode::BAD_REQUEST, code, subcode, words)
    } else {
        let told = subcode.unwrap_or(code).to_string();
        answers::error(StatusCode::BAD_REQUEST, &told, words, &format!("(#{code}) {words}"))
    })
}

fn disconnected() -> Response {
    answers::error(StatusCode::FORBIDDEN, "403", "Number not connected", "The number is not connected to the platform")
}
