//! The handlers.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

use axum::{
    Extension,
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answers, events, message};
use crate::{
    gate::Pretence,
    hooks::emit,
    media,
    messages::{self, Message},
    people::Person,
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;
type Pretending = Extension<Pretence>;
type Running = State<Arc<Server>>;

/// How many messages of a chat are asked for at once.
const COUNT: RangeInclusive<usize> = 1..=500;
const USUAL_COUNT: usize = 50;
/// Files of older messages are gone.
const FILES_LAST_DAYS: i64 = 30;

pub(super) async fn status(Extension(pretence): Pretending) -> Response {
    let device = if pretence.session { "5511999990000:3@s.whatsapp.net" } else { "" };
    answers::ok(&json!({ "isConnected": pretence.session, "isLoggedIn": pretence.session, "deviceId": device }))
}

pub(super) async fn contacts(Extension(channel): Asking, Extension(pretence): Pretending) -> Response {
    if let Some(refused) = unpaired(pretence) {
        return refused;
    }
    // A long list takes long to draw; whoever calls meanwhile must not be timed late for it.
    let listing = tokio::task::spawn_blocking(move || {
        let listed: Value = channel.archive.draw_people().map(|person| contact(&person)).collect();
        answers::ok(&listed)
    });
    listing.await.unwrap_or_else(|_| answers::error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
}

/// Both identities are in one record, named by the phone where it is known.
fn contact(person: &Person) -> Value {
    let mut fields = json!({
        "id": person.phone_jid.as_ref().or(person.lid.as_ref()),
        "fullName": person.full_name,
        "pushName": person.push_name,
        "inPhoneAddressBook": !person.full_name.is_empty(),
    });
    if let Some(lid) = &person.lid {
        fields["lid"] = json!(lid);
    }
    if let Some(phone) = &person.phone_jid {
        fields["phone"] = json!(phone.split('@').next());
    }
    fields
}

/// Hands out what is held, and forgets it when the last of it was sent, received or not.
pub(super) async fn flush(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
) -> Response {
    if !pretence.client {
        return unavailable();
    }
    if !pretence.session {
        return answers::error(StatusCode::BAD_REQUEST, "device not paired");
    }
    let fault = server.hook_faults.of_request(channel.number, events::HISTORY);
    let chats = channel.cache.with(|cache| cache.chats());
    let (telling, told) = (Arc::clone(&server), Arc::clone(&channel));
    let events = chats.flat_map(move |number| events::chat(&telling, &told, &told.archive.numbered(number)));
    emit::answer(&server, &channel, fault, events, |_, channel| channel.cache.with(super::Cache::forget));
    let is_200 = server.wsapi.with(|readings| readings.flush_is_200);
    answers::accepted(if is_200 { StatusCode::OK } else { StatusCode::ACCEPTED })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Anchor {
    last_message_id: String,
    #[serde(default)]
    last_message_sender_id: String,
    #[serde(default)]
    count: Option<usize>,
}

/// Asks the phone for what is before a message. It answers for a message of the chat, and only if its sender was told right.
pub(super) async fn more(
    State(server): Running,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
    Path(chat): Path<String>,
    body: String,
) -> Response {
    if let Some(refused) = unpaired(pretence) {
        return refused;
    }
    let anchor = serde_json::from_str::<Anchor>(&body).ok().filter(|anchor| !anchor.last_message_id.is_empty());
    let Some(anchor) = anchor else { return answers::error(StatusCode::BAD_REQUEST, "lastMessageId is required") };
    let count = anchor.count.unwrap_or(USUAL_COUNT);
    if !COUNT.contains(&count) {
        return answers::error(StatusCode::BAD_REQUEST, "count must be between 1 and 500");
    }
    let fault = server.hook_faults.of_request(channel.number, events::HISTORY);
    let nameless = server.wsapi.with(|readings| readings.nameless_answers);
    let event = before(&channel, &chat, &anchor, count)
        .and_then(|(person, messages)| events::history(&server, &channel, &person, &messages, nameless));
    emit::answer(&server, &channel, fault, event.into_iter(), |_, _| {});
    answers::accepted(StatusCode::ACCEPTED)
}

/// The last so many messages before the anchor, where the phone answers and there are any.
fn before(channel: &Channel, chat: &str, anchor: &Anchor, count: usize) -> Option<(Person, Vec<Message>)> {
    let person = channel.archive.person(chat)?;
    let thread = channel.archive.thread(&person);
    let at = thread.iter().position(|message| message.id == anchor.last_message_id)?;
    // The gateway compares the sender with the own phone alone, whatever else the owner is known as.
    let taken_for_own = anchor.last_message_sender_id == message::OWN_JID;
    if taken_for_own != thread[at].from_me || at == 0 {
        return None;
    }
    Some((person, thread[at.saturating_sub(count)..at].to_vec()))
}

pub(super) async fn download(
    Extension(channel): Asking,
    Extension(pretence): Pretending,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    if let Some(refused) = unpaired(pretence) {
        return refused;
    }
    let Some(id) = asked.get("id").filter(|id| !id.is_empty()) else {
        return answers::error(StatusCode::BAD_REQUEST, "id is required");
    };
    let found = id.strip_prefix(message::MEDIA).and_then(|id| media::find(&channel, id));
    let lasts = |message: &Message| (messages::told_at() - message.sent_at).num_days() <= FILES_LAST_DAYS;
    found.filter(|(message, _)| lasts(message)).map_or_else(
        || answers::error(StatusCode::NOT_FOUND, "media not found"),
        |(message, media)| media.download(&message),
    )
}

fn unpaired(pretence: Pretence) -> Option<Response> {
    if !pretence.client {
        return Some(unavailable());
    }
    (!pretence.session).then(|| answers::error(StatusCode::CONFLICT, "device not paired"))
}

fn unavailable() -> Response {
    answers::error(StatusCode::SERVICE_UNAVAILABLE, "instance not available")
}
