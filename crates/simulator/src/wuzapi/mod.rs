//! A simulated wuzapi server: the calls a history reader makes, as stock `asternic/wuzapi` answers them.
//!
//! Spoken: `GET /health`, `/session/status`, `/user/contacts`, `/user/lid/{jid}`, `/chat/history`. Not spoken: pairing,
//! sending, webhooks, network look-ups, history requests to the phone; those paths are unknown here (404).
//!
//! `envelope` is the shape of every answer, `calls` the handlers, `rows` and `event` what a stored message looks like.

mod calls;
mod envelope;
mod event;
mod rows;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{Query, Request, State},
    http::{StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{call_log::Arrival, faults::Fault, server::Server};

/// The path of a look at the session.
pub(crate) const STATUS: &str = "/session/status";
const CONTACTS: &str = "/user/contacts";
const LID: &str = "/user/lid/{jid}";
const HISTORY: &str = "/chat/history";

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(STATUS, get(calls::status))
        .route(CONTACTS, get(calls::contacts))
        .route(LID, get(calls::lid))
        .route(HISTORY, get(calls::history))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_token))
        .route("/health", get(calls::health))
        // The real server hands unknown paths to a file server.
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .with_state(server)
}

/// What a call is about, read from its head alone.
pub(crate) fn arrival(server: &Server, request: &Request) -> Arrival {
    let token = token_of(request);
    let jid = request.uri().path().strip_prefix("/user/lid/").filter(|jid| !jid.is_empty());
    let (path, address) = match (request.uri().path(), jid) {
        (_, Some(jid)) => (Cow::Borrowed(LID), percent_decoded(jid)),
        (HISTORY, _) => (Cow::Borrowed(HISTORY), query_of(request.uri()).remove("chat_jid")),
        (STATUS, _) => (Cow::Borrowed(STATUS), None),
        (CONTACTS, _) => (Cow::Borrowed(CONTACTS), None),
        (other, _) => (Cow::Owned(other.to_owned()), None),
    };
    Arrival {
        method: match request.method().as_str() {
            "GET" => Cow::Borrowed("GET"),
            "POST" => Cow::Borrowed("POST"),
            other => Cow::Owned(other.to_owned()),
        },
        path,
        address,
        channel: server.channel_of(&token).map(|channel| channel.number),
        token_present: !token.is_empty(),
    }
}

/// Whether a fault can be told on this path at all.
pub(crate) fn concerns(fault: &Fault, path: &str) -> bool {
    match fault {
        Fault::NoSession => [STATUS, CONTACTS, LID].contains(&path),
        Fault::HistoryDisabled => path == HISTORY,
        _ => true,
    }
}

/// Not from wuzapi itself, which never says 429; in its words, as a proxy with good manners would.
pub(crate) fn too_many_requests(retry_after_s: Option<u64>) -> Response {
    let refusal = envelope::error(StatusCode::TOO_MANY_REQUESTS, "too many requests");
    match retry_after_s {
        Some(seconds) => ([(header::RETRY_AFTER, seconds.to_string())], refusal).into_response(),
        None => refusal,
    }
}

pub(crate) fn server_error() -> Response {
    envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "pq: sorry, too many clients already")
}

/// What WhatsApp says to groups of look-ups that come too fast, as the real server hands it on.
pub(crate) fn overlimit() -> Response {
    envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "info query returned status 429: rate-overlimit")
}

/// What whatsmeow says of a failed connection with the reason 402, as the real server hands it on.
pub(crate) fn banned() -> Response {
    envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "failed to connect: account temporarily banned")
}

pub(crate) fn unauthorized() -> Response {
    envelope::error(StatusCode::UNAUTHORIZED, "unauthorized")
}

pub(crate) fn wrong_shape() -> Response {
    envelope::ok(&serde_json::json!("unexpected"))
}

/// For calls that were kept waiting when the simulator stops.
pub(crate) fn stopping() -> Response {
    envelope::error(StatusCode::SERVICE_UNAVAILABLE, "stopping")
}

/// Lets a call through only with a token that opens a channel, and hands that channel on.
async fn only_with_token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let Some(channel) = server.channel_of(&token_of(&request)) else { return unauthorized() };
    request.extensions_mut().insert(Arc::clone(channel));
    next.run(request).await
}

/// The header wins over the query.
fn token_of(request: &Request) -> String {
    let header = request.headers().get("token").and_then(|token| token.to_str().ok()).filter(|token| !token.is_empty());
    header.map(str::to_owned).or_else(|| query_of(request.uri()).remove("token")).unwrap_or_default()
}

fn query_of(uri: &Uri) -> HashMap<String, String> {
    Query::try_from_uri(uri).map(|Query(query)| query).unwrap_or_default()
}

/// A path segment read as if it were a query value, the one decoder at hand; a plus sign means itself in a path.
fn percent_decoded(segment: &str) -> Option<String> {
    let uri: Uri = format!("/?jid={}", segment.replace('+', "%2B")).parse().ok()?;
    query_of(&uri).remove("jid")
}
