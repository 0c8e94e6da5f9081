//! A simulated wuzapi server: the calls a history reader makes, as stock `asternic/wuzapi` answers them.
//!
//! Spoken: `GET /health`, `/session/status`, `/user/contacts`, `/user/lid/{jid}`, `/chat/history`, `/session/history` (a
//! request to the phone), `GET`, `POST`, `PUT` and `DELETE` of `/webhook`, `GET`, `POST` and `DELETE` of
//! `/session/hmac/config`. Events: `HistorySync`, `PairSuccess`, `Connected`, `Disconnected`, `LoggedOut`, `TemporaryBan`.
//! Not spoken: sending, network look-ups; those paths are unknown here (404). What differs between releases is decided by
//! [`Readings`].
//!
//! `envelope` is the shape of every answer, `calls`, `deep` and `webhooks` the handlers, `rows` and `event` what a stored
//! message looks like, `news` what is told.

mod calls;
mod deep;
mod envelope;
mod event;
mod news;
mod readings;
mod rows;
mod webhooks;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

pub(crate) use self::deep::Deep;
pub use self::readings::{AnswersUnder, Format, Readings};

use crate::{
    archive::{Ids, Keeping, Order},
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    hooks::{
        Hook,
        body::{Body, form_encoded},
        emit,
        event::Event,
        posting::{Posting, Retries},
    },
    pairing::Step,
    request::{header_of, method_of, percent_decoded, query_of},
    server::{Channel, Server},
    session::Change,
};

const STATUS: &str = "/session/status";
const CONTACTS: &str = "/user/contacts";
const LID: &str = "/user/lid/{jid}";
const HISTORY: &str = "/chat/history";
const DEEP: &str = "/session/history";
const WEBHOOK: &str = "/webhook";
/// In a place for files, which knows no token.
const FILE: &str = "/files/{channel}/{id}";
const HMAC: &str = "/session/hmac/config";

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
            .route(DEEP, get(deep::request))
            .route(WEBHOOK, get(webhooks::told).post(webhooks::register).put(webhooks::change).delete(webhooks::remove))
            .route(HMAC, get(webhooks::hmac).post(webhooks::set_hmac).delete(webhooks::remove_hmac))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_token))
            .route("/health", get(calls::health))
            .route(FILE, get(calls::file))
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
            (DEEP, _) => (Cow::Borrowed(DEEP), Asks::Request, query_of(request.uri()).remove("chat_jid")),
            (STATUS, _) => (Cow::Borrowed(STATUS), Asks::Status, None),
            (CONTACTS, _) => (Cow::Borrowed(CONTACTS), Asks::Contacts, None),
            (file, _) if file.starts_with("/files/") => (Cow::Borrowed(FILE), Asks::File, None),
            (other, _) => (Cow::Owned(other.to_owned()), Asks::Other, None),
        };
        Arrival {
            method: method_of(request),
            path,
            asks,
            address,
            since_s: None,
            channel: server.channel_of(&token).map(|channel| channel.number),
            token_present: !token.is_empty(),
        }
    }

    fn concerns(&self, fault: &Fault, arrival: &Arrival) -> bool {
        match fault {
            Fault::NoSession => matches!(arrival.asks, Asks::Status | Asks::Contacts | Asks::Lid | Asks::Request),
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
            Fault::WrongShape => envelope::ok(&json!("unexpected")),
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        envelope::error(StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }

    fn keeping(&self) -> Keeping {
        Keeping { order: Order::Inserted, ids: Ids::Plain, account: None }
    }

    fn name_of(&self, channel: &Channel) -> String {
        rows::user_id(channel)
    }

    fn posting(&self) -> Posting {
        let (first_wait, longest_wait) = (Duration::from_secs(30), Duration::from_hours(1));
        Posting {
            retries: Retries { attempts: Some(5), first_wait, longest_wait, linear: false },
            capacity: None,
            signed_in: &["x-hmac-signature"],
            prefix: "",
            only_200: false,
        }
    }

    fn wants(&self, hook: &Hook, event: &str) -> bool {
        hook.events.is_empty() || hook.events.iter().any(|wanted| wanted == event || wanted == "All")
    }

    fn wrap(&self, server: &Server, channel: &Channel, json: Body) -> Body {
        if server.wuzapi.with(|readings| readings.format) == Format::Json {
            return json;
        }
        let before = format!("instanceName={}&jsonData=", form_encoded(&news::instance_name(channel)));
        json.in_form(&before, &format!("&userID={}", rows::user_id(channel)))
    }

    fn misaddress(&self, body: &mut Value) {
        (body["userID"], body["instanceName"]) = (json!("elsewhere"), json!("simulated-elsewhere"));
    }

    fn told_of_session(&self, _: &Server, channel: &Channel, change: Change<'_>) -> Vec<Event> {
        let (name, event) = match change {
            Change::Up => ("Connected", json!({})),
            Change::Down => ("Disconnected", json!({})),
            Change::Unloaded => ("LoggedOut", json!({ "OnConnect": false, "Reason": 401 })),
            // Durations of Go are nanoseconds.
            Change::Word("TemporaryBan") => ("TemporaryBan", json!({ "Code": 101, "Expire": 3_600_000_000_000_u64 })),
            Change::Word(_) => ("LoggedOut", json!({ "OnConnect": true, "Reason": 403 })),
        };
        vec![news::event(channel, name, &event)]
    }

    fn pair(&self, server: &Server, channel: &Channel, step: Step) {
        let readings = server.wuzapi.with(|readings| *readings);
        let event = match step {
            Step::Begin => {
                let event = json!({ "ID": rows::OWN_DEVICE_JID, "LID": "", "BusinessName": "", "Platform": "android" });
                news::event(channel, "PairSuccess", &event)
            }
            Step::Finish => news::recent(channel, readings),
        };
        emit::tell(server, channel, event);
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
