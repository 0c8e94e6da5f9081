//! The task that sends a channel's webhooks: one after the other in their order, and again where they were not received.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Delivery, Hook, HookFault, body::Body, event::Event, outbox::OnItsWay, post};
use crate::server::{Channel, Server};

/// How long an event waits for the one that is to overtake it.
const FOR_ANOTHER: Duration = Duration::from_millis(25);
/// What is signed with where the signature is to be wrong.
const ANOTHER_KEY: &str = "not the key";

/// Sends whatever the channel's outbox lets go, until the simulator stops.
pub(crate) async fn run(server: Arc<Server>, channel: Arc<Channel>) {
    loop {
        tokio::select! {
            () = server.stopping.cancelled() => return,
            () = send_next(&server, &channel) => {}
        }
    }
}

async fn send_next(server: &Arc<Server>, channel: &Arc<Channel>) {
    let event = channel.outbox.next(|| server.pace().at_once).await;
    let mut way = OnItsWay::new(Arc::clone(&channel.outbox));
    tokio::time::sleep(Duration::from_millis(server.pace().between_ms)).await;
    let struck_before = event.struck.is_some();
    let fault = event.struck.or_else(|| server.hook_faults.of_event(channel.number, &event.name, event.number));
    match fault {
        Some(fault @ HookFault::Lost) => drop_event(server, channel, &event, fault.name()),
        Some(fault @ HookFault::QueueDropped) => {
            drop_event(server, channel, &event, fault.name());
            drop_waiting(server, channel, fault.name());
        }
        Some(fault @ HookFault::SessionLost) => {
            drop_event(server, channel, &event, fault.name());
            drop_waiting(server, channel, fault.name());
            server.lose_session(channel);
        }
        Some(HookFault::Reordered) if !struck_before && !channel.outbox.is_held() => {
            // At most one in a row: an event that waits for another holds up none.
            let _ = tokio::time::timeout(FOR_ANOTHER, channel.outbox.filled()).await;
            let event = Event { struck: fault, ..event };
            if let Some(event) = channel.outbox.put_behind_next(event) {
                spawn(server, channel, event, way, fault);
            }
        }
        Some(HookFault::Delayed { .. }) => {
            way.let_others_go();
            spawn(server, channel, event, way, fault);
        }
        fault => spawn(server, channel, event, way, fault),
    }
}

fn spawn(server: &Arc<Server>, channel: &Arc<Channel>, event: Event, way: OnItsWay, fault: Option<HookFault>) {
    let (server, channel) = (Arc::clone(server), Arc::clone(channel));
    tokio::spawn(async move {
        let stopping = server.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = deliver(&server, &channel, event, way, fault) => {}
        }
    });
}

/// Sends an event to everybody who wants it, and again to those who did not receive it.
async fn deliver(server: &Server, channel: &Channel, mut event: Event, mut way: OnItsWay, fault: Option<HookFault>) {
    if let Some(HookFault::Delayed { ms }) = fault {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let posting = server.contract.posting();
    let mut hooks = channel.outbox.hooks();
    hooks.retain(|hook| server.contract.wants(hook, &event.name));
    if hooks.is_empty() {
        return drop_event(server, channel, &event, "no hook");
    }
    if fault == Some(HookFault::Duplicated) {
        hooks = hooks.iter().flat_map(|hook| [hook.clone(), hook.clone()]).collect();
    }
    let letter = Letter::of(server, channel, &mut event, fault);
    let mut refused = Vec::new();
    for hook in hooks {
        let received = letter.attempt(server, channel, &event, &hook, 1, fault).await;
        if !received {
            refused.push(hook);
        }
    }
    event.left = None;
    way.let_others_go();

    let mut attempt = 1;
    while let Some(wait) = posting.retries.wait_after(attempt).filter(|_| !refused.is_empty()) {
        tokio::time::sleep(wait.mul_f64(server.pace().time_scale)).await;
        attempt += 1;
        let mut still = Vec::new();
        for hook in refused {
            if !letter.attempt(server, channel, &event, &hook, attempt, fault).await {
                still.push(hook);
            }
        }
        refused = still;
    }
}

/// An event on the wire.
struct Letter {
    body: Body,
    headers: Vec<(&'static str, String)>,
}

impl Letter {
    fn of(server: &Server, channel: &Channel, event: &mut Event, fault: Option<HookFault>) -> Self {
        if fault == Some(HookFault::WrongNumber) {
            server.contract.misaddress(&mut event.body);
        }
        let padding = if event.history { u64::from(server.pace().pad_history_mb) * 1_048_576 } else { 0 };
        let body = server.contract.wrap(server, channel, Body::json(&event.body.to_string(), padding));
        let body = if fault == Some(HookFault::Garbled) { body.cut() } else { body };
        Self { body, headers: server.contract.headers(channel, &event.name) }
    }

    /// Whether it was received.
    async fn attempt(
        &self,
        server: &Server,
        channel: &Channel,
        event: &Event,
        hook: &Hook,
        attempt: u32,
        fault: Option<HookFault>,
    ) -> bool {
        let headers = self.headers_for(server, channel, hook, fault);
        let at_us = server.clock.now_us();
        let patience = Duration::from_millis(server.pace().timeout_ms);
        let answer = tokio::time::timeout(patience, post::post(&hook.url, &headers, &self.body)).await;
        let status = match answer {
            Ok(Ok(answer)) => Some(answer.status),
            Ok(Err(error)) => {
                tracing::debug!(event = %event.name, attempt, %error, "webhook not received");
                None
            }
            Err(_) => None,
        };
        server.deliveries.note(Delivery {
            attempt,
            bytes: self.body.len(),
            at_us,
            ms: server.clock.now_us().saturating_sub(at_us) / 1_000,
            status,
            ..unsent(server, channel, event, fault.map(HookFault::name))
        });
        status.is_some_and(|status| server.contract.posting().is_received(status))
    }

    fn headers_for(
        &self,
        server: &Server,
        channel: &Channel,
        hook: &Hook,
        fault: Option<HookFault>,
    ) -> Vec<(String, String)> {
        let posting = server.contract.posting();
        let mut headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        headers.extend(hook.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let key = match fault {
            Some(HookFault::Unsigned) => None,
            Some(HookFault::WronglySigned) => Some(ANOTHER_KEY.to_owned()),
            _ => hook.secret.clone().or_else(|| channel.outbox.secret()),
        };
        if let Some(key) = key.filter(|_| !posting.signed_in.is_empty()) {
            let signature = format!("{}{}", posting.prefix, self.body.signature(&key));
            headers.extend(posting.signed_in.iter().map(|name| ((*name).to_owned(), signature.clone())));
        }
        headers
    }
}

/// Notes events that are not sent at all.
fn drop_waiting(server: &Server, channel: &Channel, why: &'static str) {
    for event in channel.outbox.clear() {
        drop_event(server, channel, &event, why);
    }
}

pub(super) fn drop_event(server: &Server, channel: &Channel, event: &Event, why: &'static str) {
    server.deliveries.note(unsent(server, channel, event, Some(why)));
}

fn unsent(server: &Server, channel: &Channel, event: &Event, why: Option<&'static str>) -> Delivery {
    Delivery {
        number: event.number,
        channel: channel.number,
        event: event.name.to_string(),
        history: event.history,
        attempt: 0,
        bytes: 0,
        at_us: server.clock.now_us(),
        ms: 0,
        status: None,
        fault: why.map(Cow::Borrowed),
    }
}
