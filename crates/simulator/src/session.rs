//! Whether a channel is connected: switched by hand, or lost and back by itself. While it is not, the gateway still reads
//! what it stored; when its client is gone as well, it does not even do that. A session may also sleep, until a look at it
//! wakes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{clock, guarded::Guarded};

/// A session that gets lost in the middle of the work and comes back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Calls of the channel that still find the session, counted from when the outage was set.
    pub after_calls: u64,
    /// For how long it is gone, in milliseconds, counted from the first call that finds it gone.
    pub for_ms: u64,
}

/// What becomes of a session by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// It is there, awake, and its client is loaded.
    Up,
    /// It is gone.
    Down,
    /// It is gone, and its client with it.
    Unloaded,
    /// It is gone, and its status says this word.
    Word(&'a str),
}

/// The session of one channel.
#[derive(Debug)]
pub(crate) struct Session(Guarded<State>);

#[derive(Debug)]
struct State {
    switched_on: bool,
    client_loaded: bool,
    asleep: bool,
    /// What the status says of a session that is gone, where the usual word is not meant.
    word: Option<String>,
    outage: Option<Outage>,
    calls: u64,
    lost_at_us: Option<u64>,
}

impl Session {
    pub(crate) fn new(outage: Option<Outage>) -> Self {
        Self(Guarded::new(State {
            switched_on: true,
            client_loaded: true,
            asleep: false,
            word: None,
            outage,
            calls: 0,
            lost_at_us: None,
        }))
    }

    /// Switches by hand, and says whether that is news.
    pub(crate) fn change(&self, change: Change<'_>) -> bool {
        self.0.with(|state| {
            let (was, word) = (state.switched_on, state.word.clone());
            match change {
                Change::Up => {
                    (state.switched_on, state.client_loaded, state.asleep, state.word) = (true, true, false, None);
                }
                Change::Down => {
                    (state.switched_on, state.client_loaded, state.asleep, state.word) = (false, true, false, None);
                }
                Change::Unloaded => (state.switched_on, state.client_loaded) = (false, false),
                Change::Word(word) => (state.switched_on, state.word) = (false, Some(word.to_owned())),
            }
            was != state.switched_on || word != state.word && state.word.is_some()
        })
    }

    /// What the status is to say of a session that is gone.
    pub(crate) fn word(&self) -> Option<String> {
        self.0.with(|state| state.word.clone())
    }

    /// Puts it to sleep until it is woken or switched on.
    pub(crate) fn lull(&self) {
        self.0.with(|state| state.asleep = true);
    }

    /// Whether it sleeps.
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.with(|state| state.asleep)
    }

    /// Wakes it, if it sleeps.
    pub(crate) fn wake(&self) {
        self.0.with(|state| state.asleep = false);
    }

    /// Whether the client is there, connected or not.
    pub(crate) fn has_client(&self) -> bool {
        self.0.with(|state| state.client_loaded)
    }

    /// Plans an outage, or calls off the planned one.
    pub(crate) fn plan(&self, outage: Option<Outage>) {
        self.0.with(|state| (state.outage, state.calls, state.lost_at_us) = (outage, 0, None));
    }

    /// Counts one call of the channel and says whether that call finds the session.
    pub(crate) fn found_by_call(&self, now_us: u64) -> bool {
        self.0.with(|state| {
            state.calls += 1;
            state.switched_on && !state.asleep && !state.in_outage(now_us)
        })
    }

    /// Whether the session is there, without counting a call.
    pub(crate) fn is_up(&self, now_us: u64) -> bool {
        self.0.with(|state| state.switched_on && !state.asleep && !state.in_outage(now_us))
    }
}

impl State {
    fn in_outage(&mut self, now_us: u64) -> bool {
        let Some(outage) = self.outage.filter(|outage| self.calls > outage.after_calls) else { return false };
        let lost_at_us = *self.lost_at_us.get_or_insert(now_us);
        now_us.saturating_sub(lost_at_us) < clock::micros(Duration::from_millis(outage.for_ms))
    }
}
