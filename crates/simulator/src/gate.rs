//! What every call passes before the gateway itself sees it: the log, the rate limit, the faults, the latency.
//!
//! The arrival time is read here first. The steering calls under `/__sim` pass unlogged and untouched.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{
    call_log::{Arrival, OpenCall},
    control,
    faults::{Fault, transport},
    server::Server,
};

/// What the handlers must pretend for one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pretence {
    /// Whether the channel's session is there.
    pub(crate) session: bool,
    /// Whether the channel's client is there, connected or not.
    pub(crate) client: bool,
    /// Whether the channel keeps history.
    pub(crate) history: bool,
}

/// The outermost layer of the server.
pub(crate) async fn pass(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let at_us = server.clock.now_us();
    if request.uri().path().starts_with(control::PREFIX) {
        return next.run(request).await;
    }
    let arrival = server.contract.arrival(&server, &request);
    let call = server.calls.open(at_us, arrival.clone());
    let response = answer(&server, at_us, &arrival, &call, request, next).await;
    if let Some(seconds) = wait_asked_for(&response) {
        call.asks_to_wait(seconds);
    }
    call.answered(response.status().as_u16());
    response
}

fn wait_asked_for(response: &Response) -> Option<u64> {
    response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

async fn answer(
    server: &Server,
    at_us: u64,
    arrival: &Arrival,
    call: &OpenCall,
    mut request: Request,
    next: Next,
) -> Response {
    let session = arrival.channel.is_none_or(|number| server.channels[number].session.found_by_call(at_us));
    if let Err(refused) = server.limiter.take(at_us) {
        call.mark("limit");
        return worded(server, &Fault::TooManyRequests { retry_after_s: refused.retry_after_s });
    }
    let fault = server.faults.choose(call.number(), arrival, |fault| server.contract.concerns(fault, arrival));
    server.take_time(call.number()).await;
    if let Some(fault) = &fault {
        call.mark(fault.name());
        tracing::debug!(call = call.number(), path = %arrival.path, fault = fault.name(), "fault applied");
    }
    let history = server.history.with(|history| *history);
    request.extensions_mut().insert(Pretence {
        session: session && fault != Some(Fault::NoSession),
        client: arrival.channel.is_none_or(|number| server.channels[number].session.has_client()),
        history: history && fault != Some(Fault::HistoryDisabled),
    });
    match fault {
        None | Some(Fault::NoSession | Fault::HistoryDisabled) => next.run(request).await,
        Some(Fault::Hang) => {
            server.stopping.cancelled().await;
            server.contract.stopping()
        }
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            transport::lost()
        }
        Some(Fault::CutConnection) => transport::cut(next.run(request).await).await,
        Some(Fault::TruncatedJson) => transport::truncate(next.run(request).await).await,
        Some(Fault::HugeBody { megabytes }) => transport::huge(megabytes, server.stopping.clone()),
        Some(Fault::AnnouncedBody { megabytes }) => transport::announced(megabytes, server.stopping.clone()),
        Some(Fault::Bomb { megabytes }) => transport::bomb(megabytes).await,
        Some(Fault::Trickle) => transport::trickle(server.stopping.clone()),
        Some(Fault::Garbage) => transport::garbage(),
        Some(Fault::Redirect { location }) => transport::redirect(location.as_deref()),
        Some(Fault::Unavailable { retry_after_s }) => transport::unavailable(retry_after_s),
        Some(
            fault @ (Fault::TooManyRequests { .. }
            | Fault::PaymentRequired
            | Fault::ServerError
            | Fault::Overlimit
            | Fault::Banned
            | Fault::Unauthorized
            | Fault::WrongShape),
        ) => worded(server, &fault),
    }
}

/// A fault in the provider's words.
fn worded(server: &Server, fault: &Fault) -> Response {
    server.contract.tell(server, fault).unwrap_or_else(|| StatusCode::NOT_IMPLEMENTED.into_response())
}
