//! A simulated Whapi.Cloud: the calls a history reader makes, as its published descriptions say.
//!
//! Spoken: `GET /health`, `/contacts`, `/contacts/lids/{id}`, `/messages/list/{chat}`. Not spoken yet: `/messages/{id}` and its
//! resync, settings, media, webhooks. What the descriptions leave open is decided by [`Readings`].
//!
//! `answers` is the shape of what is said, `calls` the handlers, `chat` a page of a chat, `message` one message of it.

mod answers;
mod calls;
mod chat;
mod message;
mod readings;

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

pub use self::readings::{Readings, UnknownChat};
use crate::{
    archive::Keeping,
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    request::{header_of, method_of, percent_decoded},
    server::Server,
};

const HEALTH: &str = "/health";
const CONTACTS: &str = "/contacts";
const LID: &str = "/contacts/lids/{jid}";
const CHAT: &str = "/messages/list/{jid}";

/// The contract.
#[derive(Debug)]
pub(crate) struct Whapi;

impl Contract for Whapi {
    fn router(&self, server: Arc<Server>) -> Router {
        Router::new()
            .route(HEALTH, get(calls::health))
            .route(CONTACTS, get(calls::contacts))
            .route(LID, get(calls::lid))
            .route(CHAT, get(calls::chat))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_token))
            .fallback(unknown_path)
            .with_state(server)
    }

    fn arrival(&self, server: &Server, request: &Request) -> Arrival {
        let path = request.uri().path();
        let behind = |prefix: &str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty()).and_then(percent_decoded);
        let (path, asks, address) = match path {
            HEALTH => (Cow::Borrowed(HEALTH), Asks::Status, None),
            CONTACTS => (Cow::Borrowed(CONTACTS), Asks::Contacts, None),
            path => match (behind("/contacts/lids/"), behind("/messages/list/")) {
                // Asked for by number alone; the log knows people by their addresses.
                (Some(number), _) => (Cow::Borrowed(LID), Asks::Lid, Some(format!("{number}@s.whatsapp.net"))),
                (_, Some(chat)) => (Cow::Borrowed(CHAT), Asks::History, Some(chat)),
                _ => (Cow::Owned(path.to_owned()), Asks::Other, None),
            },
        };
        let token = token_of(request);
        Arrival {
            method: method_of(request),
            path,
            asks,
            address,
            channel: server.channel_of(token).map(|channel| channel.number),
            token_present: !token.is_empty(),
        }
    }

    fn concerns(&self, fault: &Fault, _: &Arrival) -> bool {
        // Whether the cache is deep is a setting of the channel, not an answer.
        !matches!(fault, Fault::HistoryDisabled)
    }

    fn tell(&self, server: &Server, fault: &Fault) -> Option<Response> {
        let error = |status, message: &str| answers::error(server, status, message);
        Some(match fault {
            Fault::TooManyRequests { retry_after_s } => {
                let wait = retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
                (wait, error(StatusCode::TOO_MANY_REQUESTS, "Too many requests")).into_response()
            }
            Fault::PaymentRequired => error(StatusCode::PAYMENT_REQUIRED, "Trial version limit exceeded"),
            Fault::ServerError => error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
            Fault::Overlimit => error(StatusCode::INTERNAL_SERVER_ERROR, "rate-overlimit"),
            Fault::Banned => error(StatusCode::FORBIDDEN, "number is blocked by WhatsApp"),
            Fault::Unauthorized => unauthorized(server),
            Fault::WrongShape => {
                let odd = "unexpected";
                answers::ok(&json!({ "messages": odd, "contacts": odd, "lid": {}, "status": {} }))
            }
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn keeping(&self) -> Keeping {
        Keeping::Sent
    }
}

async fn unknown_path(State(server): State<Arc<Server>>, request: Request) -> Response {
    let message = format!("Cannot {} {}", request.method(), request.uri().path());
    answers::error(&server, StatusCode::NOT_FOUND, &message)
}

fn unauthorized(server: &Server) -> Response {
    answers::error(server, StatusCode::UNAUTHORIZED, "Unauthorized")
}

/// Lets a call through only with a token that opens a channel, and hands that channel on.
async fn only_with_token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let Some(channel) = server.channel_of(token_of(&request)) else { return unauthorized(&server) };
    request.extensions_mut().insert(Arc::clone(channel));
    next.run(request).await
}

fn token_of(request: &Request) -> &str {
    header_of(request, "authorization").strip_prefix("Bearer ").unwrap_or_default()
}
