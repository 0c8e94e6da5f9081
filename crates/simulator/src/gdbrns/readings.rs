//! What page and source of gdbrns say differently, decided one way or the other.

use serde::{Deserialize, Serialize};

/// Where the events of history carry messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    /// Nowhere: they carry counts.
    #[default]
    None,
    /// In `data.messages`.
    Messages,
    /// In `data.conversations[].messages`.
    Conversations,
}

/// How the simulator decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an open point of its own")]
pub struct Readings {
    /// Whether messages are delivered at all, and where they stand.
    pub bodies: Bodies,
    /// Whether the phone answers a request.
    pub phone_answers: bool,
    /// Whether what a request brings ends with `history.sync_complete`.
    pub completes: bool,
    /// Counts outside 1..=100 are refused, as the page says; the source takes them.
    pub refuses_counts: bool,
    /// Hooks must be at public addresses, by HTTPS.
    pub public_hooks_only: bool,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            bodies: Bodies::default(),
            phone_answers: true,
            completes: true,
            refuses_counts: false,
            public_hooks_only: false,
        }
    }
}
