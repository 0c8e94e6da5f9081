//! The handlers, those of webhooks aside.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answers, events};
use crate::{
    gate::Pretence,
    hooks::emit,
    people::Person,
    server::{Channel, Server},
};

type Asking = Extension<Arc<Channel>>;
type Pretending = Extension<Pretence>;

const USUAL_COUNT: i64 = 25;

pub(super) async fn status(Extension(channel): Asking, Extension(pretence): Pretending) -> Response {
    let word = channel.session.word();
    let db_status = match (pretence.session, word.as_deref()) {
        (true, _) => "active",
        (false, Some(word)) => word,
        (false, None) => "disconnected",
    };
    let data = json!({
        "db_status": db_status,
        "client_loaded": pretence.client,
        "connected": pretence.session,
        "is_connected": pretence.session,
        "is_logged_in": pretence.session,
        "error": "",
    });
    answers::ok("Device status", &data)
}

pub(super) async fn contacts(Extension(channel): Asking, Extension(pretence): Pretending) -> Response {
    if let Some(refused) = unconnected(pretence) {
        return refused;
    }
    // A long list takes long to draw; whoever calls meanwhile must not be timed late for it.
    let listing = tokio::task::spawn_blocking(move || {
        let listed = |person: Person| person.listed_keys().map(|key| contact(&person, key)).collect::<Vec<_>>();
        answers::ok("Contacts", &channel.archive.draw_people().flat_map(listed).collect::<Value>())
    });
    listing.await.unwrap_or_else(|_| answers::error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
}

/// The address book is keyed by phone; under a LID only the push name is known.
fn contact(person: &Person, key: &str) -> Value {
    let full_name = if key.ends_with("@lid") { "" } else { person.full_name.as_str() };
    json!({
        "jid": key,
        "push_name": person.push_name,
        "business_name": if person.number % 10 == 7 { "Loja & Cia" } else { "" },
        "full_name": full_name,
        "first_name": full_name.split(' ').next().unwrap_or_default(),
    })
}

#[derive(Debug, Default, Deserialize)]
struct Wish {
    #[serde(default)]
    count: Option<i64>,
}

/// Whatever is asked for, 200 says no more than that something was sent.
pub(super) async fn request(
    State(server): State<Arc<Server>>,
    Extension(channel): Asking,
    Extension(pretence): Pretending,
    body: String,
) -> Response {
    let wish = if body.trim().is_empty() { Ok(Wish::default()) } else { serde_json::from_str::<Wish>(&body) };
    let Ok(wish) = wish else { return answers::error(StatusCode::BAD_REQUEST, "failed to parse body request") };
    if let Some(refused) = unconnected(pretence) {
        return refused;
    }
    let readings = server.gdbrns.with(|readings| *readings);
    let count = wish.count.filter(|count| *count != 0).unwrap_or(USUAL_COUNT);
    if readings.refuses_counts && !(1..=100).contains(&count) {
        return answers::error(StatusCode::BAD_REQUEST, "count must be between 1 and 100");
    }
    let fault = server.hook_faults.of_request(channel.number, events::HISTORY);
    if readings.phone_answers {
        let per_chat = usize::try_from(count).unwrap_or_default();
        let pieces = events::history(&server, &channel, "ON_DEMAND", per_chat);
        let (telling, told) = (Arc::clone(&server), Arc::clone(&channel));
        let end = std::iter::once_with(move || events::complete(&telling, &told, "ON_DEMAND"));
        emit::answer(&server, &channel, fault, pieces.chain(end.filter(move |_| readings.completes)), |_, _| {});
    }
    let data = json!({
        "requested": true,
        "count": count,
        "note": "History will be delivered via history.sync webhook event",
    });
    answers::ok("History sync requested", &data)
}

fn unconnected(pretence: Pretence) -> Option<Response> {
    let error = match (pretence.client, pretence.session) {
        (false, _) => "WhatsApp client is not valid",
        (true, false) => "WhatsApp client is not connected",
        (true, true) => return None,
    };
    Some(answers::error(StatusCode::INTERNAL_SERVER_ERROR, error))
}
