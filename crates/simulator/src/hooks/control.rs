//! Steering the webhooks of a running simulator by HTTP. What is of one channel names it with `channel` (0 unless given).
//!
//! | call | does |
//! |---|---|
//! | `POST /__sim/hook` | `{"channel":k,"hook":`[`Hook`]` or null}` |
//! | `GET /__sim/hook?channel=k` | the hooks of the channel, whoever registered them |
//! | `GET /__sim/hook-faults`, `POST /__sim/hook-faults` | the faults of webhooks, replacing them: JSON, or the compact text |
//! | `POST /__sim/pace` | [`Pace`] |
//! | `GET /__sim/deliveries`, `DELETE /__sim/deliveries` | the log of deliveries, forgetting it |
//! | `GET /__sim/held?channel=k` | what waits |
//! | `POST /__sim/hold`, `POST /__sim/go-on` | `{"channel":k}` |
//! | `POST /__sim/release` | `{"channel":k,"number":n}` |
//! | `POST /__sim/tell` | `{"channel":k,"event":"name","body":{...}}` |
//! | `POST /__sim/pair` | `{"channel":k,"step":"begin"}`, or `"finish"`, or both without a step |
//! | `POST /__sim/restore` | `{"channel":k,"message":"id"}`: a message becomes readable, where the provider restores single ones |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;

use super::{Delivery, Held, Hook, HookFaults, Hooks, Pace};
use crate::{
    control::{Refusal, channel, parse, refuse},
    pairing::Step,
    server::Server,
};

type Running = State<Arc<Server>>;

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/__sim/hook", get(hooks).post(set_hook))
        .route("/__sim/hook-faults", get(faults).post(set_faults))
        .route("/__sim/pace", post(set_pace))
        .route("/__sim/deliveries", get(deliveries).delete(forget))
        .route("/__sim/held", get(held))
        .route("/__sim/hold", post(hold))
        .route("/__sim/go-on", post(go_on))
        .route("/__sim/release", post(release))
        .route("/__sim/tell", post(tell))
        .route("/__sim/pair", post(pair))
        .route("/__sim/restore", post(restore))
        .with_state(server)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfChannel {
    channel: usize,
}

async fn hooks(State(server): Running, Query(of): Query<OfChannel>) -> Result<Json<Vec<Hook>>, Refusal> {
    Ok(Json(channel(&server, of.channel)?.outbox.hooks()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookOf {
    #[serde(default)]
    channel: usize,
    hook: Option<Hook>,
}

async fn set_hook(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let HookOf { channel: number, hook } = parse(&body)?;
    Hooks::new(&server, channel(&server, number)?).set(hook);
    Ok(StatusCode::NO_CONTENT)
}

async fn faults(State(server): Running) -> Json<HookFaults> {
    Json(server.hook_faults.current())
}

async fn set_faults(State(server): Running, body: String) -> Result<Json<HookFaults>, Refusal> {
    let faults: HookFaults =
        if body.trim_start().starts_with('{') { parse(&body)? } else { body.trim().parse().map_err(refuse)? };
    faults.check().map_err(refuse)?;
    server.hook_faults.set(faults.clone());
    Ok(Json(faults))
}

async fn set_pace(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let pace: Pace = parse(&body)?;
    pace.check().map_err(refuse)?;
    server.set_pace(pace);
    Ok(StatusCode::NO_CONTENT)
}

async fn deliveries(State(server): Running) -> Json<Vec<Delivery>> {
    Json(server.deliveries.all())
}

async fn forget(State(server): Running) -> StatusCode {
    server.deliveries.clear();
    StatusCode::NO_CONTENT
}

async fn held(State(server): Running, Query(of): Query<OfChannel>) -> Result<Json<Vec<Held>>, Refusal> {
    Ok(Json(channel(&server, of.channel)?.outbox.held()))
}

async fn hold(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let of: OfChannel = parse(&body)?;
    channel(&server, of.channel)?.outbox.hold();
    Ok(StatusCode::NO_CONTENT)
}

async fn go_on(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let of: OfChannel = parse(&body)?;
    channel(&server, of.channel)?.outbox.go_on();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    #[serde(default)]
    channel: usize,
    number: u64,
}

async fn release(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let Release { channel: of, number } = parse(&body)?;
    Hooks::new(&server, channel(&server, of)?).release(number).map_err(refuse)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct News {
    #[serde(default)]
    channel: usize,
    event: String,
    body: Value,
}

async fn tell(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let News { channel: number, event, body } = parse(&body)?;
    Hooks::new(&server, channel(&server, number)?).tell(&event, body);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    #[serde(default)]
    channel: usize,
    #[serde(default)]
    step: Option<Step>,
}

async fn pair(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let Pair { channel: number, step } = parse(&body)?;
    server.pair(channel(&server, number)?, step);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    #[serde(default)]
    channel: usize,
    message: String,
}

async fn restore(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let Restore { channel: number, message } = parse(&body)?;
    server.contract.restore(&server, channel(&server, number)?, &message).map_err(refuse)?;
    Ok(StatusCode::NO_CONTENT)
}
