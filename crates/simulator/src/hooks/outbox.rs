//! What a channel has to tell and to whom: its registered hooks, and the queue of events that wait to be sent.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Hook, event::Event};
use crate::guarded::Guarded;

/// An event that waits, as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// As in the log of deliveries.
    pub number: u64,
    /// As the provider names its kind.
    pub event: String,
    /// All of what is posted, envelope included.
    pub body: serde_json::Value,
}

/// The hooks and the queue of one channel.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Guarded<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    hooks: Vec<Hook>,
    /// The key for hooks that have none of their own.
    secret: Option<String>,
    waiting: VecDeque<Event>,
    held: bool,
    /// Those that go although the rest is held, in this order.
    released: VecDeque<u64>,
    /// Sent for the first time right now.
    posting: usize,
    /// Not at their end yet, among those that were taken out.
    under_way: usize,
}

impl State {
    fn take(&mut self, at_once: usize) -> Option<Event> {
        if self.posting >= at_once {
            return None;
        }
        let event = if self.held {
            let index = loop {
                let number = self.released.pop_front()?;
                if let Some(index) = self.waiting.iter().position(|event| event.number == number) {
                    break index;
                }
            };
            self.waiting.remove(index)?
        } else {
            self.waiting.pop_front()?
        };
        self.posting += 1;
        self.under_way += 1;
        Some(event)
    }
}

impl Outbox {
    /// Where events go.
    pub(crate) fn hooks(&self) -> Vec<Hook> {
        self.state.with(|state| state.hooks.clone())
    }

    pub(crate) fn change_hooks<R>(&self, change: impl FnOnce(&mut Vec<Hook>) -> R) -> R {
        self.state.with(|state| change(&mut state.hooks))
    }

    pub(crate) fn secret(&self) -> Option<String> {
        self.state.with(|state| state.secret.clone())
    }

    pub(crate) fn set_secret(&self, secret: Option<String>) {
        self.state.with(|state| state.secret = secret);
    }

    /// Lays an event behind the others, or gives it back where so many wait already.
    pub(crate) fn put(&self, event: Event, capacity: Option<usize>) -> Option<Event> {
        let refused = self.state.with(|state| {
            if capacity.is_some_and(|capacity| state.waiting.len() >= capacity) {
                return Some(event);
            }
            state.waiting.push_back(event);
            None
        });
        self.changed.notify_waiters();
        refused
    }

    /// Lays an event right behind the next one; gives it back where there is none.
    pub(crate) fn put_behind_next(&self, event: Event) -> Option<Event> {
        let refused = self.state.with(|state| {
            if state.waiting.is_empty() {
                return Some(event);
            }
            state.waiting.insert(1, event);
            None
        });
        self.changed.notify_waiters();
        refused
    }

    /// Takes out all that waits.
    pub(crate) fn clear(&self) -> Vec<Event> {
        let dropped = self.state.with(|state| state.waiting.drain(..).collect());
        self.changed.notify_waiters();
        dropped
    }

    /// Lets nothing go but what is released.
    pub(crate) fn hold(&self) {
        self.state.with(|state| state.held = true);
    }

    /// Lets everything go.
    pub(crate) fn go_on(&self) {
        self.state.with(|state| {
            state.held = false;
            state.released.clear();
        });
        self.changed.notify_waiters();
    }

    /// Lets one go, behind those that were released before; false if it does not wait.
    pub(crate) fn release(&self, number: u64) -> bool {
        let waits = self.state.with(|state| {
            let waits = state.waiting.iter().any(|event| event.number == number);
            if waits {
                state.released.push_back(number);
            }
            waits
        });
        self.changed.notify_waiters();
        waits
    }

    pub(crate) fn held(&self) -> Vec<Held> {
        let seen =
            |event: &Event| Held { number: event.number, event: event.name.to_string(), body: event.body.clone() };
        self.state.with(|state| state.waiting.iter().map(seen).collect())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state.with(|state| state.waiting.len())
    }

    pub(crate) fn is_held(&self) -> bool {
        self.state.with(|state| state.held)
    }

    /// Has whoever waits look again.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// The next event that may go.
    pub(crate) async fn next(&self, at_once: impl Fn() -> usize) -> Event {
        self.until(|state| state.take(at_once())).await
    }

    /// Until an event waits.
    pub(crate) async fn filled(&self) {
        self.until(|state| (!state.waiting.is_empty()).then_some(())).await;
    }

    /// Until fewer than so many wait.
    pub(crate) async fn has_room(&self, room: usize) {
        self.until(|state| (state.waiting.len() < room).then_some(())).await;
    }

    /// Until nothing waits and nothing is under way, attempts to come included.
    pub(crate) async fn idle(&self) {
        self.until(|state| (state.waiting.is_empty() && state.under_way == 0).then_some(())).await;
    }

    /// Until at least so many wait.
    pub(crate) async fn holds(&self, count: usize) {
        self.until(|state| (state.waiting.len() >= count).then_some(())).await;
    }

    async fn until<R>(&self, mut wanted: impl FnMut(&mut State) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before looking, so that a change between the two is not missed.
            changed.as_mut().enable();
            if let Some(found) = self.state.with(&mut wanted) {
                return found;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.with(change);
        self.changed.notify_waiters();
    }
}

/// One event on its way. Dropped, it is at its end.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    outbox: Arc<Outbox>,
    posting: bool,
}

impl OnItsWay {
    /// For an event that was just taken out.
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, posting: true }
    }

    /// The next one may go; this one may be tried again.
    pub(crate) fn let_others_go(&mut self) {
        if std::mem::take(&mut self.posting) {
            self.outbox.change(|state| state.posting -= 1);
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.let_others_go();
        self.outbox.change(|state| state.under_way -= 1);
    }
}
