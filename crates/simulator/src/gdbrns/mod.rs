//! A simulated gdbrns server (Go WhatsApp Multi-Session REST API): history is asked for once for the whole account, and what
//! comes of it may be nothing but counts.
//!
//! Spoken: `GET /devices/me/status`, `/users/me/contacts`, `POST /history/sync`, `GET`, `POST`, `PATCH` and `DELETE` of
//! `/webhooks`, and `POST /webhooks/{id}/test`. Events: `test.ping`, `history.sync`, `history.sync_complete`,
//! `connection.connected`, `connection.disconnected`, `connection.logged_out`, `connection.temporary_ban`. What page and
//! source say differently is decided by [`Readings`]. A channel's token is its JWT.
//!
//! `answers` is the shape of what is said, `calls` and `webhooks` the handlers, `events` what is told.

mod answers;
mod calls;
mod events;
mod readings;
mod webhooks;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};

pub use self::readings::{Bodies, Readings};
pub(crate) use self::webhooks::Registered;
use crate::{
    account::Account,
    archive::{Ids, Keeping, Order},
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    hooks::{
        emit,
        event::Event,
        posting::{Posting, Retries},
    },
    pairing::Step,
    request::{header_of, method_of},
    server::{Channel, Server},
    session::Change,
};

const STATUS: &str = "/devices/me/status";
const CONTACTS: &str = "/users/me/contacts";
const REQUEST: &str = "/history/sync";
const WEBHOOKS: &str = "/webhooks";
const WEBHOOK: &str = "/webhooks/{id}";
const WEBHOOK_TEST: &str = "/webhooks/{id}/test";

/// The contract.
#[derive(Debug)]
pub(crate) struct Gdbrns;

impl Contract for Gdbrns {
    fn router(&self, server: Arc<Server>) -> Router {
        Router::new()
            .route(STATUS, get(calls::status))
            .route(CONTACTS, get(calls::contacts))
            .route(REQUEST, post(calls::request))
            .route(WEBHOOKS, get(webhooks::list).post(webhooks::register))
            .route(WEBHOOK, delete(webhooks::remove).patch(webhooks::change))
            .route(WEBHOOK_TEST, post(webhooks::test))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_token))
            .fallback(|| async { answers::error(StatusCode::NOT_FOUND, "not found") })
            .with_state(server)
    }

    fn arrival(&self, server: &Server, request: &Request) -> Arrival {
        let (path, asks) = match request.uri().path() {
            STATUS => (Cow::Borrowed(STATUS), Asks::Status),
            CONTACTS => (Cow::Borrowed(CONTACTS), Asks::Contacts),
            REQUEST => (Cow::Borrowed(REQUEST), Asks::Request),
            other => (Cow::Owned(other.to_owned()), Asks::Other),
        };
        let token = token_of(request);
        Arrival {
            method: method_of(request),
            path,
            asks,
            address: None,
            since_s: None,
            channel: server.channel_of(token).map(|channel| channel.number),
            token_present: !token.is_empty(),
        }
    }

    fn concerns(&self, fault: &Fault, _: &Arrival) -> bool {
        !matches!(fault, Fault::HistoryDisabled | Fault::PaymentRequired)
    }

    fn tell(&self, _: &Server, fault: &Fault) -> Option<Response> {
        let failed = |error: &str| answers::error(StatusCode::INTERNAL_SERVER_ERROR, error);
        Some(match fault {
            Fault::TooManyRequests { retry_after_s } => {
                let wait = retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
                (wait, answers::error(StatusCode::TOO_MANY_REQUESTS, "too many requests")).into_response()
            }
            Fault::ServerError => failed("internal server error"),
            Fault::Overlimit => failed("info query returned status 429: rate-overlimit"),
            Fault::Banned => failed("failed to connect: account temporarily banned"),
            Fault::Unauthorized => unauthorized(),
            Fault::WrongShape => answers::ok("ok", &json!("unexpected")),
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        answers::error(StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }

    fn keeping(&self) -> Keeping {
        let account = Account { needs_phone: false, days: None, untold: &[], asset_days: -1 };
        Keeping { order: Order::Sent, ids: Ids::Plain, account: Some(account) }
    }

    fn name_of(&self, channel: &Channel) -> String {
        format!("dev-{}", channel.number)
    }

    fn posting(&self) -> Posting {
        let (first_wait, longest_wait) = (Duration::from_secs(2), Duration::from_secs(4));
        Posting {
            retries: Retries { attempts: Some(3), first_wait, longest_wait, linear: false },
            capacity: Some(1_000),
            signed_in: &["X-Webhook-Signature", "X-Hub-Signature-256"],
            prefix: "sha256=",
            only_200: false,
        }
    }

    fn headers(&self, _: &Channel, event: &str) -> Vec<(&'static str, String)> {
        vec![("X-Webhook-Event", event.to_owned()), ("User-Agent", "WhatsApp-API-MultiSession/1.0".to_owned())]
    }

    fn misaddress(&self, body: &mut Value) {
        body["device_id"] = json!("dev-elsewhere");
        if let Some(jid) = body.pointer_mut("/data/jid") {
            *jid = json!("5521900000000@s.whatsapp.net");
        }
    }

    fn told_of_session(&self, server: &Server, channel: &Channel, change: Change<'_>) -> Vec<Event> {
        let (name, data) = match change {
            Change::Up => ("connection.connected", json!({})),
            Change::Down => ("connection.disconnected", json!({})),
            Change::Unloaded => ("connection.logged_out", json!({ "reason": "logged out from the phone" })),
            Change::Word("temporary_ban") => {
                ("connection.temporary_ban", json!({ "reason": "sent to too many people", "expires": "1h0m0s" }))
            }
            Change::Word(word) => ("connection.logged_out", json!({ "reason": word })),
        };
        vec![events::of_session(server, channel, name, &data)]
    }

    /// The phone sends history nobody asked for.
    fn pair(&self, server: &Server, channel: &Channel, step: Step) {
        if step == Step::Finish {
            emit::tell(server, channel, events::complete(server, channel, "RECENT"));
        }
    }
}

fn unauthorized() -> Response {
    answers::error(StatusCode::UNAUTHORIZED, "invalid or expired token")
}

/// Lets a call through only with a token that opens a channel, and hands that channel on.
async fn only_with_token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let Some(channel) = server.channel_of(token_of(&request)) else { return unauthorized() };
    let channel = Arc::clone(channel);
    request.extensions_mut().insert(channel);
    next.run(request).await
}

fn token_of(request: &Request) -> &str {
    header_of(request, "authorization").strip_prefix("Bearer ").unwrap_or_default()
}
