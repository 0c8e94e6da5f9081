//! The five gateway APIs and what each of them offers.

use std::time::Duration;

use crate::{awaiting::Completion, word::words};

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

/// How a provider's webhooks can show where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookProof {
    /// A signature over the bytes, in this header.
    Signature(&'static str),
    /// A secret in this header.
    Secret(&'static str),
}

/// Whether webhooks can be registered by a call, and what becomes of other receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connect {
    /// By hand alone.
    No,
    /// There is one receiver: another one is forgotten.
    Replaces,
    /// Beside others.
    Adds,
}

impl Connect {
    /// Whether there is such a call; who has it also has one that shows what is registered.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        !matches!(self, Self::No)
    }
}

/// A request that must not be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneShot {
    /// So long after the number was onboarded it can be made; none: as long as one likes.
    pub within: Option<Duration>,
    /// So long after its first sync the gateway has what it hands out; none: for good, or nobody knows.
    pub keeps_for: Option<Duration>,
    /// Whether the gateway's first sync after pairing has to be over.
    pub after_initial_sync: bool,
    /// What is at stake, for whoever allows it once more.
    pub risk: &'static str,
}

/// What a provider offers; the planner turns a sync into jobs by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says whether a gateway has something, and none excludes another"
)]
pub struct Capabilities {
    /// The provider.
    pub provider: Provider,
    /// The field of the credentials that says which account at the gateway is meant.
    pub account: &'static str,
    /// How history is read.
    pub history: HistoryAccess,
    /// Whether a call exists that says how the session is.
    pub status: bool,
    /// Whether a call exists that lists the contacts.
    pub contact_list: bool,
    /// Whether contacts are asked for by a call of their own, and come by webhook.
    pub contacts_request: bool,
    /// Whether a call exists that gives the LID of a phone JID.
    pub lid_lookup: bool,
    /// Whether the contact list says both addresses of a person.
    pub lids_listed: bool,
    /// Whether the phone can be asked for what is older than a message of a chat.
    pub top_up: bool,
    /// Whether such a message has to be one that the person sent: whose an own one is, the gateway misjudges.
    pub anchors_incoming: bool,
    /// Whether a single message can be restored.
    pub restore: bool,
    /// How the history shows that it is complete.
    pub completion: Completion,
    /// How webhooks show where they come from.
    pub proof: HookProof,
    /// What must be known before history is asked for, where that can be done once only.
    pub one_shot: Option<OneShot>,
    /// Whether the messages themselves are delivered.
    pub bodies: bool,
    /// Whether webhooks can be registered by a call.
    pub connect: Connect,
    /// Whether the files of messages can be fetched.
    pub media: bool,
}

impl Capabilities {
    /// A gateway that answers for each address at once, and can nothing else.
    #[must_use]
    pub const fn per_address(provider: Provider) -> Self {
        Self {
            provider,
            account: "token",
            history: HistoryAccess::PerAddress,
            status: true,
            contact_list: true,
            contacts_request: false,
            lid_lookup: false,
            lids_listed: false,
            top_up: false,
            anchors_incoming: false,
            restore: false,
            completion: Completion::Answer,
            proof: HookProof::Secret(""),
            one_shot: None,
            bodies: true,
            connect: Connect::No,
            media: false,
        }
    }

    /// A gateway that delivers everything of a number after one request, some time.
    #[must_use]
    pub const fn per_account(provider: Provider, completion: Completion) -> Self {
        Self { history: HistoryAccess::PerAccount, completion, ..Self::per_address(provider) }
    }

    /// Whether a single contact can be synced.
    #[must_use]
    pub const fn single_contacts(&self) -> bool {
        matches!(self.history, HistoryAccess::PerAddress) || self.top_up
    }
}
