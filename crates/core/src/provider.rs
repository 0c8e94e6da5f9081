//! The five gateway APIs and what each of them offers.

use crate::word::words;

words! {
    /// The kind of gateway API behind a channel.
    pub enum Provider {
        /// asternic/wuzapi: a self-hosted whatsmeow server with a per-chat store.
        Wuzapi = "wuzapi",
        /// Positus: Meta coexistence, history is pushed once for the whole number.
        Positus = "positus",
        /// WSAPI: an account-level flush, delivered by webhook.
        Wsapi = "wsapi",
        /// Whapi.Cloud: per-chat lists with paging.
        Whapi = "whapi",
        /// gdbrns: one account-level request, completion by event.
        Gdbrns = "gdbrns",
    }
}

/// How a provider hands out history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryAccess {
    /// One call per address, answered at once: two jobs per contact.
    PerAddress,
    /// One request for the whole account, answered later by webhook.
    PerAccount,
}

/// What a provider offers; the planner turns a sync into jobs by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The provider.
    pub provider: Provider,
    /// How history is read.
    pub history: HistoryAccess,
    /// Whether a call exists that gives the LID of a phone JID.
    pub lid_lookup: bool,
}
