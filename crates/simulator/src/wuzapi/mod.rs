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

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    archive::Keeping,
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    request::{header_of, method_of, percent_decoded, query_of},
    server::Server,
};

const STATUS: &str = "/session/status";
const CONTACTS: &str = "/user/contacts";
const LID: &str = "/user/lid/{jid}";
const HISTORY: &str = "/chat/history";

/// The contract.
#[derive(Debug)]
pub(crate) struct Wuzapi;

impl Contract for Wuzapi {
    fn router(&self, server: Arc<Server>) -> Router {
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

    fn arrival(&self, server: &Server, request: &Request) -> Arrival {
        let token = token_of(request);
        let jid = request.uri().path().strip_prefix("/user/lid/").filter(|jid| !jid.is_empty());
        let (path, asks, address) = match (request.uri().path(), jid) {
            (_, Some(jid)) => (Cow::Borrowed(LID), Asks::Lid, percent_decoded(jid)),
            (HISTORY, _) => (Cow::Borrowed(HISTORY), Asks::History, query_of(request.uri()).remove("chat_jid")),
            (STATUS, _) => (Cow::Borrowed(STATUS), Asks::Status, None),
            (CONTACTS, _) => (Cow::Borrowed(CONTACTS), Asks::Contacts, None),
            (other, _) => (Cow::Owned(other.to_owned()), Asks::Other, None),
        };
        Arrival {
            method: method_of(request),
            path,
            asks,
            address,
            channel: server.channel_of(&token).map(|channel| channel.number),
            token_present: !token.is_empty(),
        }
    }

    fn concerns(&self, fault: &Fault, arrival: &Arrival) -> bool {
        match fault {
            Fault::NoSession => matches!(arrival.asks, Asks::Status | Asks::Contacts | Asks::Lid),
            Fault::HistoryDisabled => arrival.asks == Asks::History,
            Fault::PaymentRequired => false,
            _ => true,
        }
    }

    fn tell(&self, _: &Server, fault: &Fault) -> Option<Response> {
        Some(match fault {
            Fault::TooManyRequests { retry_after_s } => too_many_requests(*retry_after_s),
            Fault::ServerError => {
                envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "pq: sorry, too many clients already")
            }
            // What WhatsApp says to groups of look-ups that come too fast, as the real server hands it on.
            Fault::Overlimit => {
                envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "info query returned status 429: rate-overlimit")
            }
            // What whatsmeow says of a failed connection with the reason 402, as the real server hands it on.
            Fault::Banned => {
                envelope::error(StatusCode::INTERNAL_SERVER_ERROR, "failed to connect: account temporarily banned")
            }
            Fault::Unauthorized => unauthorized(),
            Fault::WrongShape => envelope::ok(&serde_json::json!("unexpected")),
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        envelope::error(StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }

    fn keeping(&self) -> Keeping {
        Keeping::Inserted
    }
}

/// Not from wuzapi itself, which never says 429; in its words, as a proxy with good manners would.
fn too_many_requests(retry_after_s: Option<u64>) -> Response {
    let refusal = envelope::error(StatusCode::TOO_MANY_REQUESTS, "too many requests");
    match retry_after_s {
        Some(seconds) => ([(header::RETRY_AFTER, seconds.to_string())], refusal).into_response(),
        None => refusal,
    }
}

fn unauthorized() -> Response {
    envelope::error(StatusCode::UNAUTHORIZED, "unauthorized")
}

/// Lets a call through only with a token that opens a channel, and hands that channel on.
async fn only_with_token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let Some(channel) = server.channel_of(&token_of(&request)) else { return unauthorized() };
    request.extensions_mut().insert(Arc::clone(channel));
    next.run(request).await
}

/// The header wins over the query.
fn token_of(request: &Request) -> String {
    let header = Some(header_of(request, "token")).filter(|token| !token.is_empty());
    header.map(str::to_owned).or_else(|| query_of(request.uri()).remove("token")).unwrap_or_default()
}
