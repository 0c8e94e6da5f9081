//! A simulated Whapi.Cloud: the calls a history reader makes, as its published descriptions say.
//!
//! Spoken: `GET /health`, `/contacts`, `/contacts/lids/{id}`, `/messages/list/{chat}`, `/messages/{id}` with its resync,
//! `/media/{id}`, `GET` and `PATCH` of `/settings`. Events: `messages`, `channel`, `users`. What the descriptions leave open is
//! decided by [`Readings`].
//!
//! `answers` is the shape of what is said, `calls`, `resync` and `channel_settings` the handlers, `chat` a page of a chat,
//! `message` one message of it, `restored` what came one by one.

mod answers;
mod calls;
mod channel_settings;
mod chat;
mod message;
mod readings;
mod restored;
mod resync;

use std::{borrow::Cow, sync::Arc, time::Duration};

use anyhow::Result;
use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

pub use self::readings::{Readings, Restoring, UnknownChat};
pub(crate) use self::restored::Restored;
use crate::{
    archive::{Ids, Keeping, Order},
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    hooks::{
        event::Event,
        posting::{Posting, Retries},
    },
    request::{header_of, method_of, percent_decoded, query_of},
    server::{Channel, Server},
    session::Change,
};

const HEALTH: &str = "/health";
const CONTACTS: &str = "/contacts";
const LID: &str = "/contacts/lids/{jid}";
const CHAT: &str = "/messages/list/{jid}";
const MESSAGE: &str = "/messages/{id}";
const FILE: &str = "/media/{id}";
const SETTINGS: &str = "/settings";

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
            .route(MESSAGE, get(resync::message))
            .route(FILE, get(calls::file))
            .route(SETTINGS, get(channel_settings::told).patch(channel_settings::change))
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
                _ if behind("/media/").is_some() => (Cow::Borrowed(FILE), Asks::File, None),
                _ if behind("/messages/").is_some() => (Cow::Borrowed(MESSAGE), Asks::Message, None),
                _ => (Cow::Owned(path.to_owned()), Asks::Other, None),
            },
        };
        let token = token_of(request);
        Arrival {
            method: method_of(request),
            path,
            asks,
            address,
            since_s: query_of(request.uri()).get("time_from").and_then(|from| from.parse().ok()),
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
        Keeping { order: Order::Sent, ids: Ids::Parted, account: None }
    }

    fn name_of(&self, channel: &Channel) -> String {
        format!("SIM-{}", channel.number)
    }

    fn posting(&self) -> Posting {
        let (first_wait, longest_wait) = (Duration::from_secs(3), Duration::from_mins(15));
        // Until it is acknowledged.
        let retries = Retries { attempts: None, first_wait, longest_wait, linear: true };
        Posting { retries, capacity: None, signed_in: &[], prefix: "", only_200: true }
    }

    fn misaddress(&self, body: &mut Value) {
        body["channel_id"] = json!("SIM-ELSEWHERE");
    }

    fn told_of_session(&self, _: &Server, channel: &Channel, change: Change<'_>) -> Vec<Event> {
        let (word, told) = match change {
            Change::Up => ("AUTH", "post"),
            Change::Down | Change::Unloaded => ("QR", "delete"),
            Change::Word(word) => (word, "delete"),
        };
        let name = self.name_of(channel);
        let health = json!({ "channel_id": name, "status": { "code": calls::code_of(word), "text": word } });
        let channel_event = json!({ "type": "channel", "event": "patch" });
        let users = json!([{ "id": message::OWN_NUMBER, "name": format!("simulated-{}", channel.number) }]);
        vec![
            Event::new("channel", json!({ "health": health, "event": channel_event, "channel_id": name })),
            Event::new(
                "users",
                json!({ "users": users, "event": { "type": "users", "event": told }, "channel_id": name }),
            ),
        ]
    }

    fn restore(&self, server: &Server, channel: &Channel, id: &str) -> Result<()> {
        resync::restore(server, channel, id)
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
