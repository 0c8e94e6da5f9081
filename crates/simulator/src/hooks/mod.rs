//! What a gateway tells of itself: webhooks, posted to whoever registered for a channel.
//!
//! A contract makes an [`Event`](event::Event) and lays it into the [`Outbox`](outbox::Outbox) of its channel; the channel's
//! own task (`poster`) takes them out one after the other, at the [`Pace`], unless a test holds them back. What becomes of
//! one on its way is decided by [`HookFaults`], what it looks like on the wire by the contract, and how often it is tried
//! again by the contract's [`Posting`](posting::Posting). Every attempt is in the [`DeliveryLog`].
//!
//! The gateway's own calls for registering are in the contracts; `control` and [`Hooks`] do the same from outside of it.

pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod emit;
pub(crate) mod event;
pub(crate) mod faults;
mod log;
pub(crate) mod outbox;
mod post;
pub(crate) mod poster;
pub(crate) mod posting;
mod steer;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub use faults::{HookFault, HookFaults, HookRule};
pub use log::{Delivery, DeliveryLog};
pub use outbox::Held;
pub use steer::Hooks;

/// Where the webhooks of a channel go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    /// `http://host:port/path`; nothing else is posted to.
    pub url: String,
    /// The key of the signature, where the provider signs; nothing is signed without.
    pub secret: Option<String>,
    /// Sent with every webhook.
    pub headers: BTreeMap<String, String>,
    /// The events it gets, by name; all of them if it names none.
    pub events: Vec<String>,
}

impl Hook {
    /// One that gets every event, unsigned.
    #[must_use]
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Signed with this key.
    #[must_use]
    pub fn signed(self, secret: &str) -> Self {
        Self { secret: Some(secret.to_owned()), ..self }
    }

    /// With a header of its own.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// How fast webhooks are sent, how often one is tried, and how large they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Between one webhook of a channel and the next, in milliseconds.
    pub between_ms: u64,
    /// How many webhooks of a channel are under way at once, not counting those that are tried again. One at a time arrive in
    /// their order.
    pub at_once: usize,
    /// How long an answer is waited for, in milliseconds.
    pub timeout_ms: u64,
    /// What the waits of the provider between two attempts are multiplied by.
    pub time_scale: f64,
    /// How many may wait in a channel's queue before it drops what comes; what the provider is known for, unless given.
    pub capacity: Option<usize>,
    /// About how many megabytes are added to every webhook that brings history. They are made while they are sent.
    pub pad_history_mb: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { between_ms: 2, at_once: 1, timeout_ms: 10_000, time_scale: 0.001, capacity: None, pad_history_mb: 0 }
    }
}

impl Pace {
    pub(crate) fn check(self) -> Result<()> {
        ensure!(self.at_once >= 1, "pace.at_once must be at least 1");
        let drawable = self.time_scale.is_finite() && self.time_scale >= 0.0;
        ensure!(drawable, "pace.time_scale must not be negative, but it is {}", self.time_scale);
        Ok(())
    }
}
