//! What the descriptions of WSAPI leave open, decided one way or the other.

use serde::{Deserialize, Serialize};

/// How the simulator decides them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Readings {
    /// `initial_sync_finished` comes although no history is kept: as the page says, not the source.
    pub finishes_without_history: bool,
    /// What a chat is asked for comes without saying which chat it is; its messages say it.
    pub nameless_answers: bool,
    /// What the flush is answered with: 200 instead of 202.
    pub flush_is_200: bool,
}
