//! A simulated WSAPI: the calls a history reader makes and the events it gets, as the open source and the published pages
//! say.
//!
//! Spoken: `GET /session/status`, `/contacts`, `/media/download`, `POST /session/flush-history`, `/chats/{chat}/messages`;
//! `GET`, `POST` and `PUT` of `/admin/instances/{instance}/config`, with the key of whoever runs the server. Events:
//! `message_history_sync`, `initial_sync_finished`, `logged_in`, `logged_out`. What the pages leave open is decided by
//! [`Readings`]. A channel's token is its API key; its instance is `ins_` and its number. Whether history is kept is looked
//! at when a channel is paired.
//!
//! `admin` is for setting up, `answers` is the shape of what is said, `calls` the handlers, `cache` what is held until it is
//! flushed, `events` what is told, `message` one message of it.

mod admin;
mod answers;
mod cache;
mod calls;
mod events;
mod message;
mod readings;

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

pub use self::admin::ADMIN_KEY;
pub(crate) use self::cache::Cache;
pub use self::readings::Readings;
use crate::{
    account::Account,
    archive::{Ids, Keeping, Order},
    call_log::{Arrival, Asks},
    contract::Contract,
    faults::Fault,
    hooks::{Hook, emit, event::Event, posting::Posting},
    pairing::Step,
    request::{header_of, method_of, percent_decoded},
    server::{Channel, Server},
    session::Change,
};

const STATUS: &str = "/session/status";
const CONTACTS: &str = "/contacts";
const FLUSH: &str = "/session/flush-history";
const MORE: &str = "/chats/{jid}/messages";
const DOWNLOAD: &str = "/media/download";
const CONFIG: &str = "/admin/instances/{instance}/config";
/// What stands before the number of a channel.
const INSTANCE: &str = "ins_";

/// The contract.
#[derive(Debug)]
pub(crate) struct Wsapi;

impl Contract for Wsapi {
    fn router(&self, server: Arc<Server>) -> Router {
        Router::new()
            .route(STATUS, get(calls::status))
            .route(CONTACTS, get(calls::contacts))
            .route(FLUSH, post(calls::flush))
            .route(MORE, post(calls::more))
            .route(DOWNLOAD, get(calls::download))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&server), only_with_key))
            .route(CONFIG, get(admin::told).post(admin::change).put(admin::change))
            .fallback(|| async { answers::error(StatusCode::NOT_FOUND, "not found") })
            .with_state(server)
    }

    fn arrival(&self, server: &Server, request: &Request) -> Arrival {
        let path = request.uri().path();
        let chat = path.strip_prefix("/chats/").and_then(|rest| rest.strip_suffix("/messages"));
        let (path, asks, address) = match (path, chat) {
            (_, Some(chat)) => (Cow::Borrowed(MORE), Asks::Request, percent_decoded(chat)),
            (STATUS, _) => (Cow::Borrowed(STATUS), Asks::Status, None),
            (CONTACTS, _) => (Cow::Borrowed(CONTACTS), Asks::Contacts, None),
            (DOWNLOAD, _) => (Cow::Borrowed(DOWNLOAD), Asks::File, None),
            (FLUSH, _) => (Cow::Borrowed(FLUSH), Asks::Request, None),
            (other, _) => (Cow::Owned(other.to_owned()), Asks::Other, None),
        };
        Arrival {
            method: method_of(request),
            path,
            asks,
            address,
            since_s: None,
            channel: opened(server, request).ok().map(|channel| channel.number),
            token_present: !header_of(request, "x-api-key").is_empty(),
        }
    }

    fn concerns(&self, fault: &Fault, _: &Arrival) -> bool {
        // Whether history is kept shows when it is not there.
        !matches!(fault, Fault::HistoryDisabled | Fault::PaymentRequired)
    }

    fn tell(&self, _: &Server, fault: &Fault) -> Option<Response> {
        Some(match fault {
            Fault::TooManyRequests { retry_after_s } => {
                let wait = retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
                (wait, answers::error(StatusCode::TOO_MANY_REQUESTS, "too many requests")).into_response()
            }
            Fault::ServerError => answers::error(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
            Fault::Overlimit => {
                answers::error(StatusCode::BAD_GATEWAY, "info query returned status 429: rate-overlimit")
            }
            Fault::Banned => answers::error(StatusCode::BAD_GATEWAY, "account temporarily banned"),
            Fault::Unauthorized => unauthorized(),
            Fault::WrongShape => answers::ok(&json!("unexpected")),
            _ => return None,
        })
    }

    fn stopping(&self) -> Response {
        answers::error(StatusCode::SERVICE_UNAVAILABLE, "stopping")
    }

    fn keeping(&self) -> Keeping {
        let account = Account { needs_phone: true, days: None, untold: message::UNKNOWN, asset_days: -1 };
        Keeping { order: Order::Sent, ids: Ids::Plain, account: Some(account) }
    }

    fn name_of(&self, channel: &Channel) -> String {
        format!("{INSTANCE}{}", channel.number)
    }

    fn posting(&self) -> Posting {
        Posting { signed_in: &["X-Webhook-Signature"], prefix: "sha256=", ..Posting::ONCE }
    }

    fn wants(&self, hook: &Hook, event: &str) -> bool {
        let named = hook.events.is_empty() || hook.events.iter().any(|wanted| wanted == event);
        named || events::OF_SESSION.contains(&event)
    }

    fn headers(&self, channel: &Channel, _: &str) -> Vec<(&'static str, String)> {
        vec![("X-Instance-Id", self.name_of(channel))]
    }

    fn misaddress(&self, body: &mut Value) {
        body["instanceId"] = json!("ins_elsewhere");
    }

    fn told_of_session(&self, server: &Server, channel: &Channel, change: Change<'_>) -> Vec<Event> {
        let (name, data) = match change {
            Change::Up => ("logged_in", json!({ "deviceId": "5511999990000:3@s.whatsapp.net" })),
            Change::Down => ("logged_out", json!({ "reason": "server_logout" })),
            Change::Unloaded => ("logged_out", json!({ "reason": "instance_deleted" })),
            Change::Word(word) => ("logged_out", json!({ "reason": word })),
        };
        vec![events::of_session(server, channel, name, &data)]
    }

    fn pair(&self, server: &Server, channel: &Channel, step: Step) {
        let crowd = channel.archive.crowd();
        if step == Step::Begin {
            let kept = server.history.with(|history| *history);
            channel.cache.with(|cache| cache.begin(kept, crowd));
            return;
        }
        let Some(kept) = channel.cache.with(|cache| cache.finish(crowd)) else { return };
        if kept || server.wsapi.with(|readings| readings.finishes_without_history) {
            emit::tell(server, channel, events::of_session(server, channel, events::FINISHED, &json!({})));
        }
    }
}

fn unauthorized() -> Response {
    answers::error(StatusCode::UNAUTHORIZED, "unauthorized")
}

/// Lets a call through only with a key and an instance that is the key's, and hands that channel on.
async fn only_with_key(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    match opened(&server, &request) {
        Ok(channel) => request.extensions_mut().insert(channel),
        Err((status, detail)) => return answers::error(status, detail),
    };
    next.run(request).await
}

fn opened(server: &Server, request: &Request) -> Result<Arc<Channel>, (StatusCode, &'static str)> {
    let channel = server.channel_of(header_of(request, "x-api-key"));
    let channel = channel.ok_or((StatusCode::UNAUTHORIZED, "unauthorized"))?;
    match header_of(request, "x-instance-id") {
        "" => Err((StatusCode::BAD_REQUEST, "X-Instance-Id header is required")),
        instance if instance == server.contract.name_of(channel) => Ok(Arc::clone(channel)),
        _ => Err((StatusCode::NOT_FOUND, "instance not found")),
    }
}
