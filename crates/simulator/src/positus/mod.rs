//! A simulated Positus, with Meta's coexistence behind it: history is pushed once, for the whole number.
//!
//! Spoken, below `/v2/whatsapp/numbers/{number}`: `POST /onboarding-smb-app/sync-contacts`,
//! `/onboarding-smb-app/sync-message-history`, `GET /media/{id}`. Events, in Meta's shape: `smb_app_state_sync`, `history`
//! (chunks, files on their own, the refusal to share), `account_update`. What the pages leave open is decided by
//! [`Readings`]. A channel's token is the access token; its number is `number-` and its number. To pair is to onboard: each
//! request is taken once in an onboarding.
//!
//! `answers` is the shape of what is said, `calls` the handlers, `events` what is told, `message` one message of it,
//! `onboarding` what was asked for.

mod answers;
mod calls;
mod events;
mod message;
mod onboarding;
mod readings;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

pub(crate) use self::onboarding::Onboarding;
pub use self::readings::{Readings, Refusal};
use crate::{
    account::Account,
    archive::{Ids, Keeping, Order},
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    hooks::{
        event::Event,
        posting::{Posting, Retries},
    },
    pairing::Step,
    request::{header_of, method_of},
    server::{Channel, Server},
    session::Change,
};

const NUMBERS: &str = "/v2/whatsapp/numbers/";
const SYNC_CONTACTS: &str = "/v2/whatsapp/numbers/{number}/onboarding-smb-app/sync-contacts";
const SYNC_HISTORY: &str = "/v2/whatsapp/numbers/{number}/onboarding-smb-app/sync-message-history";
const MEDIA: &str = "/v2/whatsapp/numbers/{number}/media/{id}";
/// Where an answer leads that is an address.
const FILE: &str = "/v2/whatsapp/numbers/{number}/files/{id}";
/// What stands before the number of a channel.
const NUMBER: &str = "number-";

/// The contract.
#[derive(Debug)]
pub(crate) struct Positus;

impl Contract for Positus {
    fn router(&self, server: Arc<Server>) -> Router {
        Router::new()
            .route(SYNC_CONTACTS, post(calls::contacts))
            .route(SYNC_HISTORY, post(calls::history))
            .route(MEDIA, get(calls::media))
            .route(FILE, get(calls::file))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_token))
            .fallback(|| async { not_found("Not found") })
            .with_state(server)
    }

    fn arrival(&self, server: &Server, request: &Request) -> Arrival {
        let path = request.uri().path();
        let (path, asks) = match path.strip_prefix(NUMBERS).and_then(|rest| rest.split_once('/')) {
            Some((_, "onboarding-smb-app/sync-contacts")) => (Cow::Borrowed(SYNC_CONTACTS), Asks::Contacts),
            Some((_, "onboarding-smb-app/sync-message-history")) => (Cow::Borrowed(SYNC_HISTORY), Asks::Request),
            Some((_, rest)) if rest.starts_with("media/") => (Cow::Borrowed(MEDIA), Asks::File),
            Some((_, rest)) if rest.starts_with("files/") => (Cow::Borrowed(FILE), Asks::File),
            _ => (Cow::Owned(path.to_owned()), Asks::Other),
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
        Some(match fault {
            Fault::TooManyRequests { retry_after_s } => {
                let wait = retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
                let refusal = answers::error(StatusCode::TOO_MANY_REQUESTS, "429", "Too many requests", "");
                (wait, refusal).into_response()
            }
            Fault::ServerError => answers::error(StatusCode::INTERNAL_SERVER_ERROR, "500", "Internal server error", ""),
            Fault::Overlimit => answers::graph(StatusCode::BAD_REQUEST, 130_429, None, "Rate limit hit"),
            Fault::Banned => {
                answers::graph(StatusCode::FORBIDDEN, 368, None, "Temporarily blocked for policies violations")
            }
            Fault::Unauthorized => unauthorized(),
            Fault::WrongShape => answers::respond(StatusCode::OK, &json!("unexpected")),
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn keeping(&self) -> Keeping {
        let account = Account { needs_phone: true, days: Some(180), untold: message::FILES, asset_days: 14 };
        Keeping { order: Order::Sent, ids: Ids::Wamid, account: Some(account) }
    }

    fn name_of(&self, channel: &Channel) -> String {
        format!("{NUMBER}{}", channel.number)
    }

    fn posting(&self) -> Posting {
        let (first_wait, longest_wait) = (Duration::from_secs(10), Duration::from_hours(12));
        // Ever less often, for days.
        let retries = Retries { attempts: Some(20), first_wait, longest_wait, linear: false };
        Posting { retries, capacity: None, signed_in: &["X-Hub-Signature-256"], prefix: "sha256=", only_200: true }
    }

    fn misaddress(&self, body: &mut Value) {
        if let Some(metadata) = body.pointer_mut("/entry/0/changes/0/value/metadata") {
            *metadata = json!({ "display_phone_number": "5521900000000", "phone_number_id": "999999" });
        }
    }

    fn told_of_session(&self, _: &Server, _: &Channel, change: Change<'_>) -> Vec<Event> {
        vec![match change {
            Change::Up => events::account("ACCOUNT_RECONNECTED", None),
            Change::Down => events::account("PARTNER_REMOVED", Some("ACCOUNT_DISCONNECTED")),
            Change::Unloaded => events::account("ACCOUNT_OFFBOARDED", None),
            Change::Word(word) => events::account("PARTNER_REMOVED", Some(word)),
        }]
    }

    fn pair(&self, _: &Server, channel: &Channel, step: Step) {
        if step == Step::Begin {
            channel.onboarding.with(|onboarding| *onboarding = Onboarding::default());
        }
    }
}

fn unauthorized() -> Response {
    answers::error(StatusCode::UNAUTHORIZED, "401", "Unauthorized", "The access token is invalid")
}

fn not_found(title: &str) -> Response {
    answers::error(StatusCode::NOT_FOUND, "404", title, "")
}

/// Lets a call through only with a token whose number the path names, and hands that channel on.
async fn only_with_token(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let Some(channel) = server.channel_of(token_of(&request)) else { return unauthorized() };
    let number = request.uri().path().strip_prefix(NUMBERS).and_then(|rest| rest.split('/').next());
    if number != Some(server.contract.name_of(channel).as_str()) {
        return not_found("Number not found");
    }
    let channel = Arc::clone(channel);
    request.extensions_mut().insert(channel);
    next.run(request).await
}

fn token_of(request: &Request) -> &str {
    header_of(request, "authorization").strip_prefix("Bearer ").unwrap_or_default()
}
