//! One thing that a gateway tells, before it is put on the wire.

use std::borrow::Cow;

use serde_json::Value;
use tokio::sync::oneshot;

use super::HookFault;

/// An event of a channel.
#[derive(Debug)]
pub(crate) struct Event {
    /// Counts from 0 over all channels; given when it is laid into an outbox.
    pub(crate) number: u64,
    /// As the provider names its kind.
    pub(crate) name: Cow<'static, str>,
    /// All of what is posted, envelope included.
    pub(crate) body: Value,
    /// Whether it brings messages of the past.
    pub(crate) history: bool,
    /// What struck it, if faults have been asked already, so that it goes now.
    pub(crate) struck: Option<HookFault>,
    /// Dropped when the event was sent for the first time, or given up.
    pub(crate) left: Option<oneshot::Sender<()>>,
}

impl Event {
    /// News.
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, body: Value) -> Self {
        Self { number: 0, name: name.into(), body, history: false, struck: None, left: None }
    }

    /// Messages of the past.
    pub(crate) fn history(name: impl Into<Cow<'static, str>>, body: Value) -> Self {
        Self { history: true, ..Self::new(name, body) }
    }
}
