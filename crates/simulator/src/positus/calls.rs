//! The handlers.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    answers, events, message,
    onboarding::{Refused, Wish},
    readings::{Readings, Refusal},
};
use crate::{
    gate::Pretence,
    hooks::{HookFault, emit},
    media::Media,
    messages,
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
    Extension(channel): Asking,
    Extension(pretence): Pretending,
    Path((_, id)): Path<(String, String)>,
) -> Response {
    if !pretence.session {
        return disconnected();
    }
    let found = id.strip_prefix(message::MEDIA).and_then(|id| channel.archive.find(id));
    let found = found.filter(|(_, message, _)| (messages::told_at() - message.sent_at).num_days() <= FILES_LAST_DAYS);
    let media = found.and_then(|(_, message, _)| Media::of(message.kind));
    media.map_or_else(
        || answers::error(StatusCode::NOT_FOUND, "404", "Media not found", "The media does not exist or has expired"),
        Media::download,
    )
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
