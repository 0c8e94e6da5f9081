//! Laying events into an outbox: one at once, or the many that a phone answers a request with.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{HookFault, event::Event, poster};
use crate::server::{Channel, Server};

/// How many events of an answer wait in an outbox before the next is made.
const READY: usize = 256;

/// Has the channel tell this, as soon as its outbox lets it go.
pub(crate) fn tell(server: &Server, channel: &Channel, mut event: Event) {
    event.number = server.next_event();
    let capacity = server.pace().capacity.or(server.contract.posting().capacity);
    if let Some(event) = channel.outbox.put(event, capacity) {
        poster::drop_event(server, channel, &event, "full");
    }
}

/// Has the channel tell what a request is answered with, one event after the other, and does something when the last of them
/// was sent. `fault` is what strikes the request.
pub(crate) fn answer(
    server: &Arc<Server>,
    channel: &Arc<Channel>,
    fault: Option<HookFault>,
    events: impl Iterator<Item = Event> + Send + 'static,
    afterwards: impl FnOnce(&Server, &Channel) + Send + 'static,
) {
    let (server, channel) = (Arc::clone(server), Arc::clone(channel));
    tokio::spawn(async move {
        let stopping = server.stopping.clone();
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tell_all(&server, &channel, fault, events) => afterwards(&server, &channel),
        }
    });
}

async fn tell_all(
    server: &Server,
    channel: &Channel,
    fault: Option<HookFault>,
    events: impl Iterator<Item = Event> + Send,
) {
    if matches!(fault, Some(HookFault::Silent | HookFault::Declined)) {
        return;
    }
    let patient = server.contract.posting().capacity.is_none();
    let mut last_left = None;
    let mut events = events.peekable();
    while let Some(event) = events.next() {
        if fault == Some(HookFault::LastMissing) && events.peek().is_none() {
            break;
        }
        // A queue that drops what is too much is not spared.
        if patient {
            channel.outbox.has_room(READY).await;
        }
        let (left, leaves) = oneshot::channel();
        tell(server, channel, Event { left: Some(left), ..event });
        last_left = Some(leaves);
        // Making one may take long; whoever calls meanwhile must not be timed late for it.
        tokio::task::yield_now().await;
    }
    if let Some(leaves) = last_left {
        // Given up or sent: both end the wait.
        let _ = leaves.await;
    }
}
