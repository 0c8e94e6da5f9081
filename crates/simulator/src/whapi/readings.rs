//! What the descriptions of Whapi leave open, decided one way or the other.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What a chat is answered with that holds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownChat {
    /// 200 and no messages.
    #[default]
    EmptyList,
    /// 404.
    NotFound,
}

/// How the simulator decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Readings {
    /// Errors come without their wrapper.
    pub bare_errors: bool,
    /// A chat without messages.
    pub unknown_chat: UnknownChat,
    /// Messages of a LID's chat name the person's phone, where one is known, as their chat.
    pub resolves_lids: bool,
    /// Whether `time_to` takes in its own second.
    pub time_to_inclusive: bool,
    /// The most of one page, of contacts and of messages alike; who asks for more is told so by `count`.
    pub longest_page: usize,
    /// So many messages come into a chat behind each page of it that was read: every other one in the very second of its
    /// newest message, the rest later.
    pub arriving: u32,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            bare_errors: false,
            unknown_chat: UnknownChat::default(),
            resolves_lids: true,
            time_to_inclusive: true,
            longest_page: 500,
            arriving: 0,
        }
    }
}

impl Readings {
    pub(crate) fn check(&self) -> Result<()> {
        ensure!((1..=500).contains(&self.longest_page), "longest_page must be between 1 and 500");
        Ok(())
    }
}

/// How long things take when a single message is asked for at the phone, and what a change of settings does to webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restoring {
    /// How long a resync is held, unless the message comes before, in milliseconds.
    pub hold_ms: u64,
    /// How long after a resync the phone sends the message, in milliseconds; without, it never does by itself.
    pub readable_after_ms: Option<u64>,
    /// Webhooks of a change of settings are added to those that are there, instead of replacing them.
    pub appends_webhooks: bool,
}

impl Default for Restoring {
    fn default() -> Self {
        Self { hold_ms: 50, readable_after_ms: Some(10), appends_webhooks: false }
    }
}
