//! Steering a running simulator by HTTP, for tests and operators outside its process.
//!
//! | call | does |
//! |---|---|
//! | `GET /__sim/truth?limit=n&channel=k` | the [`Report`](crate::Report) (limit 50, channel 0 unless given) |
//! | `GET /__sim/account?limit=n&channel=k` | what is told of the whole account, at most so many of each person |
//! | `GET /__sim/older?address=a&channel=k` | what only the phone holds of the person with this address |
//! | `GET /__sim/calls`, `DELETE /__sim/calls` | the call log, forgetting it |
//! | `GET /__sim/faults`, `POST /__sim/faults` | the faults in force, replacing them: JSON, or the compact text |
//! | `POST /__sim/session` | `{"up":false}`, of one channel `{"up":false,"channel":k}`; `"says":"QR"` for the word of its status |
//! | `POST /__sim/sleep` | `{"channel":k}` |
//! | `POST /__sim/outage` | [`Outage`] or `null` |
//! | `POST /__sim/limit` | [`Limit`] or `null` |
//! | `POST /__sim/latency` | [`Latency`] |
//! | `POST /__sim/history` | `{"kept":false}` |
//! | `POST /__sim/readings` | [`Readings`] of Whapi's contract |
//! | `POST /__sim/restoring` | [`Restoring`] of Whapi's contract |
//! | `POST /__sim/readings/{provider}` | those of any contract, by the provider's name |
//!
//! What steers webhooks stands in `hooks::control`. No gateway has these paths; nothing here is logged, limited or struck by
//! faults. Loopback only, so no token.

use std::{fmt::Display, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    account::AccountMessage,
    call_log::Call,
    contract::Provider,
    faults::Faults,
    guarded::Guarded,
    hooks, positus,
    rate::Limit,
    server::{Channel, Server},
    session::{Change, Outage},
    settings::Latency,
    truth::{Report, TrueMessage, Truth},
    whapi::{Readings, Restoring},
};

/// What every steering path begins with.
pub(crate) const PREFIX: &str = "/__sim/";

pub(crate) type Refusal = (StatusCode, String);
type Running = State<Arc<Server>>;

pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/__sim/truth", get(truth))
        .route("/__sim/account", get(account))
        .route("/__sim/older", get(older))
        .route("/__sim/calls", get(calls).delete(forget_calls))
        .route("/__sim/faults", get(faults).post(set_faults))
        .route("/__sim/session", post(set_session))
        .route("/__sim/sleep", post(lull))
        .route("/__sim/readings", post(set_readings))
        .route("/__sim/restoring", post(set_restoring))
        .route("/__sim/readings/{provider}", post(set_readings_of))
        .route("/__sim/outage", post(set_outage))
        .route("/__sim/limit", post(set_limit))
        .route("/__sim/latency", post(set_latency))
        .route("/__sim/history", post(set_history))
        .with_state(Arc::clone(&server))
        .merge(hooks::control::router(server))
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Asked {
    limit: usize,
    channel: usize,
    address: String,
}

impl Default for Asked {
    fn default() -> Self {
        Self { limit: 50, channel: 0, address: String::new() }
    }
}

async fn truth(State(server): Running, Query(asked): Query<Asked>) -> Result<Json<Report>, Refusal> {
    Ok(Json(truth_of(&server, asked.channel)?.report(asked.limit)))
}

async fn account(State(server): Running, Query(asked): Query<Asked>) -> Result<Json<Vec<AccountMessage>>, Refusal> {
    Ok(Json(truth_of(&server, asked.channel)?.account(asked.limit)))
}

async fn older(State(server): Running, Query(asked): Query<Asked>) -> Result<Json<Vec<TrueMessage>>, Refusal> {
    Ok(Json(truth_of(&server, asked.channel)?.older(&asked.address)))
}

fn truth_of(server: &Server, number: usize) -> Result<Truth, Refusal> {
    Ok(Truth::new(Arc::clone(&channel(server, number)?.archive)))
}

/// The channel with this number, or 404.
pub(crate) fn channel(server: &Server, number: usize) -> Result<&Arc<Channel>, Refusal> {
    let missing = || (StatusCode::NOT_FOUND, format!("there is no channel {number}\n"));
    server.channels.get(number).ok_or_else(missing)
}

async fn calls(State(server): Running) -> Json<Vec<Call>> {
    Json(server.calls.all())
}

async fn forget_calls(State(server): Running) -> StatusCode {
    server.calls.clear();
    StatusCode::NO_CONTENT
}

async fn faults(State(server): Running) -> Json<Faults> {
    Json(server.faults.current())
}

async fn set_faults(State(server): Running, body: String) -> Result<Json<Faults>, Refusal> {
    let faults: Faults =
        if body.trim_start().starts_with('{') { parse(&body)? } else { body.trim().parse().map_err(refuse)? };
    faults.check().map_err(refuse)?;
    server.faults.set(faults.clone());
    Ok(Json(faults))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionSwitch {
    up: bool,
    #[serde(default)]
    channel: Option<usize>,
    #[serde(default)]
    says: Option<String>,
}

async fn set_session(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let SessionSwitch { up, channel: wanted, says } = parse(&body)?;
    if up && says.is_some() {
        return Err(refuse("a session that is there has no word of its own"));
    }
    if let Some(missing) = wanted.filter(|wanted| *wanted >= server.channels.len()) {
        return Err(refuse(format!("there is no channel {missing}")));
    }
    let meant = server.channels.iter().filter(|channel| wanted.is_none_or(|wanted| wanted == channel.number));
    for channel in meant {
        match &says {
            Some(word) => {
                // Awake and without what it said before.
                channel.session.change(Change::Up);
                server.change_session(channel, Change::Word(word));
            }
            None => server.change_session(channel, if up { Change::Up } else { Change::Down }),
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sleeper {
    channel: usize,
}

async fn lull(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let Sleeper { channel } = parse(&body)?;
    let sleeper = server.channels.get(channel).ok_or_else(|| refuse(format!("there is no channel {channel}")))?;
    sleeper.session.lull();
    Ok(StatusCode::NO_CONTENT)
}

async fn set_readings(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let readings: Readings = parse(&body)?;
    readings.check().map_err(refuse)?;
    server.readings.with(|kept| *kept = readings);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_restoring(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let restoring: Restoring = parse(&body)?;
    replace(&server.restoring, restoring);
    Ok(StatusCode::NO_CONTENT)
}

async fn set_readings_of(
    State(server): Running,
    Path(provider): Path<Provider>,
    body: String,
) -> Result<StatusCode, Refusal> {
    match provider {
        Provider::Wuzapi => replace(&server.wuzapi, parse(&body)?),
        Provider::Positus => {
            let readings: positus::Readings = parse(&body)?;
            readings.check().map_err(refuse)?;
            replace(&server.positus, readings);
        }
        Provider::Wsapi => replace(&server.wsapi, parse(&body)?),
        Provider::Whapi => return set_readings(State(server), body).await,
        Provider::Gdbrns => replace(&server.gdbrns, parse(&body)?),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn replace<T>(kept: &Guarded<T>, value: T) {
    kept.with(|kept| *kept = value);
}

async fn set_outage(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let outage: Option<Outage> = parse(&body)?;
    server.channels.iter().for_each(|channel| channel.session.plan(outage));
    Ok(StatusCode::NO_CONTENT)
}

async fn set_limit(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let limit: Option<Limit> = parse(&body)?;
    limit.map_or(Ok(()), Limit::check).map_err(refuse)?;
    server.limiter.set(limit, server.clock.now_us());
    Ok(StatusCode::NO_CONTENT)
}

async fn set_latency(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let latency: Latency = parse(&body)?;
    server.set_latency(latency);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistorySwitch {
    kept: bool,
}

async fn set_history(State(server): Running, body: String) -> Result<StatusCode, Refusal> {
    let HistorySwitch { kept } = parse(&body)?;
    server.history.with(|history| *history = kept);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    serde_json::from_str(body).map_err(refuse)
}

pub(crate) fn refuse(why: impl Display) -> Refusal {
    (StatusCode::BAD_REQUEST, format!("{why}\n"))
}
