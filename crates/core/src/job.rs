//! The unit of work: one address, or one account-level step.
//!
//! ```text
//! queued -> running -> succeeded | empty | skipped | failed | cancelled
//!    ^         |
//!    |         +-- the next step of the same job ----> queued, at the head of its channel
//!    |         +-- not now (snooze, costs no attempt) -> queued
//!    |         +-- accepted, delivery comes later --> awaiting -> queued, or over
//!    +-- delayed <- failed attempt, more are left
//! ```
//!
//! `running` is known to the queue alone; the ledger records what is settled.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, AddressKind},
    awaiting::{Awaits, Completion},
    channel::ChannelId,
    check::Stage,
    contact::ContactId,
    media::SignedLink,
    sync::SyncId,
    word::words,
};

/// A job's row in the ledger; the queue knows nothing else of it.
pub type JobId = i64;

words! {
    /// What a job does.
    pub enum JobKind {
        /// Pages the gateway's contacts and writes the sync's jobs.
        Plan = "plan",
        /// Reads the history of one address.
        History = "history",
        /// Asks for the history of the whole number.
        Account = "account",
        /// Brings one message back.
        Restore = "restore",
        /// Looks at the channel's set-up.
        Check = "check",
        /// Fetches the file of one message.
        Media = "media",
    }
}

words! {
    /// Where a job is in its life.
    pub enum JobState {
        /// Waits for its turn.
        Queued = "queued",
        /// Claimed by a worker; only the queue knows.
        Running = "running",
        /// Waits for its next attempt.
        Delayed = "delayed",
        /// Accepted by the gateway, delivery comes by webhook.
        Awaiting = "awaiting",
        /// Held back with its sync or channel.
        Paused = "paused",
        /// Its messages are stored.
        Succeeded = "succeeded",
        /// The chat exists nowhere or holds nothing: an expected end.
        Empty = "empty",
        /// There was nothing to ask, for a reason on the receipt.
        Skipped = "skipped",
        /// Out of attempts, or refused for good; can be retried by hand.
        Failed = "failed",
        /// Its sync was cancelled.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether the job is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Empty | Self::Skipped | Self::Failed | Self::Cancelled)
    }
}

words! {
    /// Why a job had nothing to ask.
    pub enum SkipReason {
        /// The gateway knows no LID for this phone number.
        LidUnknown = "lid unknown",
        /// The gateway gave a LID only, and no call leads from it to a phone number.
        PhoneUnknown = "phone unknown",
        /// The address belongs to a contact that has a job of its own in this sync.
        AskedByAnotherJob = "asked by another job",
        /// The phone is asked for what is older than a message, and there is none.
        NoAnchor = "no anchor",
        /// The phone answered none of the requests before this one.
        PhoneSilent = "phone silent",
        /// The file is larger than files may be.
        TooLarge = "too large",
    }
}

words! {
    /// Why nothing came, as it may be.
    pub enum NothingReason {
        /// The gateway took the request, and nothing came of it.
        NothingReceived = "nothing received",
        /// The gateway tells how much there is and delivers none of it.
        NoBodies = "no bodies",
        /// The message did not come back.
        Unrecovered = "unrecovered",
        /// It can be asked for once, and an earlier sync did.
        AlreadyRequested = "already requested",
        /// The gateway does not have the file any more.
        MediaGone = "media gone",
    }
}

/// On the receipt of a job that succeeded although something is missing.
pub const PARTIAL: &str = "partial";

/// What the next claim of a job will do; kept in the ledger between calls, so a crash resumes here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// Read a page of the contact list, or plan what was read of it.
    Contacts {
        /// Where to go on; none at the beginning.
        cursor: Option<String>,
        /// Set once the page is written down: its contacts wait to be planned, and the gateway is not asked again. An older
        /// version does not know it and reads the page once more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        listed: Option<Listed>,
    },
    /// Ask the gateway for the LID behind a phone JID.
    LookUpLid {
        /// The phone JID.
        phone: Address,
    },
    /// Read a page of one chat.
    History {
        /// The chat.
        address: Address,
        /// Where to go on; none at the beginning.
        cursor: Option<String>,
    },
    /// See whether the number can be asked for everything.
    Prepare,
    /// Ask for the contacts of the whole number.
    RequestContacts,
    /// Ask for the history of the whole number.
    RequestHistory,
    /// Ask the phone for what is older than the oldest message of a chat.
    TopUp {
        /// The chat.
        address: Address,
    },
    /// Bring a message back: ask for it, then look for it.
    Restore {
        /// The provider's id.
        message_id: String,
        /// How often it was looked for.
        reads: u8,
    },
    /// Fetch the file of a message.
    Media {
        /// The provider's id of the message.
        message_id: String,
        /// Where the gateway said that it is to be had, when it was asked for it; none before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<SignedLink>,
    },
    /// Look at the channel's set-up, and have webhooks sent here where that was asked for.
    Look {
        /// At what.
        at: Stage,
        /// Set where webhooks are to be registered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connect: Option<Registering>,
    },
}

/// How webhooks are to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registering {
    /// Whether another receiver may be forgotten for it.
    pub replace: bool,
    /// Who saw what is registered, and is about to change it; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// What is registered was looked at twice.
    #[serde(default)]
    pub again: bool,
    /// It was made, and nobody knows what came of it: it is not made again.
    #[serde(default)]
    pub lost: bool,
}

/// An execution that saw what is registered. Another one looks again before it changes that, and so does the same one after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its attempt.
    pub attempt: i32,
    /// The life of the queue it was claimed in.
    pub epoch: i64,
    /// When.
    pub at: DateTime<Utc>,
}

impl Seen {
    /// Whether that was this very execution.
    #[must_use]
    pub const fn is_by(&self, attempt: i32, epoch: i64) -> bool {
        self.attempt == attempt && self.epoch == epoch
    }
}

impl Step {
    /// Whether its request is answered by webhook.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        matches!(self, Self::RequestHistory | Self::TopUp { .. })
    }

    /// Whether it has a person's phone asked for something, which bears only so many requests.
    #[must_use]
    pub const fn asks_phone(&self) -> bool {
        matches!(self, Self::TopUp { .. } | Self::Restore { reads: 0, .. })
    }

    /// Whether it plans what the ledger has already, without a call.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        matches!(self, Self::Contacts { listed: Some(_), .. })
    }
}

/// A page of the contact list that the ledger has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Where the list goes on behind it; none when this was all.
    pub next: Option<String>,
}

/// A job as a worker needs it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Row id.
    pub id: JobId,
    /// The sync it belongs to.
    pub sync: SyncId,
    /// The channel it calls.
    pub channel: ChannelId,
    /// The channel's version as of now: what was known of an older one is out of date.
    pub channel_version: i64,
    /// The contact it is about; none for account-level jobs.
    pub contact: Option<ContactId>,
    /// What it does.
    pub kind: JobKind,
    /// Which identity it asks; none for account-level jobs.
    pub address_kind: Option<AddressKind>,
    /// What its next call is.
    pub step: Step,
    /// How many steps are settled: part of the fence.
    pub steps_done: i32,
    /// Attempts settled so far.
    pub attempts: i32,
    /// The attempt after which it fails.
    pub attempt_limit: i32,
    /// Whether it was let run with nothing else beside it that could be what kills its workers.
    pub ran_alone: bool,
    /// How many messages to ask for, 1 to 100.
    pub messages_wanted: u32,
    /// Whether the phone is asked for what the gateway does not hold.
    pub deep: bool,
    /// Messages from before then are left out.
    pub window_from: Option<DateTime<Utc>>,
    /// Messages it has brought by earlier steps.
    pub fetched: i64,
    /// Somebody has paused its sync, of which the queue may not have heard yet.
    pub sync_paused: bool,
}

/// What went wrong, for people and for counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: `timeout`, `bad_token`, ...
    pub code: String,
    /// The call and the cause, in a sentence.
    pub detail: String,
}

impl Failure {
    /// A failure with its stable word.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Messages were read and stored.
    Succeeded,
    /// Messages were stored, and something is missing: what.
    Partial(String),
    /// Nothing was there.
    Empty,
    /// Nothing came, and that may be: why, and what is known of it.
    Nothing(NothingReason, Option<String>),
    /// Nothing was asked.
    Skipped(SkipReason),
    /// Given up.
    Failed(Failure),
}

/// What one execution of a job came to; the store records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The job is over.
    Ended(Ending),
    /// One step is done; this is the next, under the same attempt.
    Next(Step),
    /// One step is done, and there is nothing to call now.
    Await(Await),
    /// The attempt failed; the next one is due then.
    Retry {
        /// Why.
        failure: Failure,
        /// When.
        due: DateTime<Utc>,
    },
}

/// What a job waits for, and what it does afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Await {
    /// For what.
    pub awaits: Awaits,
    /// How a delivery shows its end.
    pub rule: Completion,
    /// Until when at most.
    pub until: DateTime<Utc>,
    /// Nobody knows whether the gateway took the request.
    pub uncertain: bool,
    /// What it does when it goes on.
    pub step: Step,
}

/// A job as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobLine {
    /// Row id.
    #[cfg_attr(feature = "schema", schema(value_type = i64))]
    pub id: JobId,
    /// The contact it is about; none for account-level jobs.
    #[cfg_attr(feature = "schema", schema(value_type = Option<i64>))]
    pub contact_id: Option<ContactId>,
    /// Phone or LID; none for account-level jobs.
    pub address_kind: Option<AddressKind>,
    /// The address, as soon as it is known.
    pub address: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// Attempts settled so far.
    pub attempts: i32,
    /// A stable word for why it was skipped or failed.
    pub reason: Option<String>,
    /// The last failed call and its cause.
    pub last_error: Option<String>,
    /// What it waits for, while it waits.
    pub waiting_for: Option<String>,
    /// When it is due, for delayed jobs; when it will be its turn as far as that can be told, for queued ones.
    pub next_at: Option<DateTime<Utc>>,
    /// Messages read.
    pub fetched: i64,
    /// New rows among them.
    pub stored: i64,
    /// Messages that were older than was asked for.
    #[serde(default)]
    pub left_out: i64,
    /// Until when it waits at most, for awaiting jobs.
    #[serde(default)]
    pub awaiting_until: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_survives_its_way_through_the_ledger() {
        let step = Step::History { address: "190000000000001@lid".parse().unwrap(), cursor: Some("40".into()) };
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(json, r#"{"do":"history","address":"190000000000001@lid","cursor":"40"}"#);
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), step);
    }

    /// The step as versions before [`Listed`] know it.
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "do", rename_all = "snake_case")]
    enum Older {
        Contacts { cursor: Option<String> },
    }

    #[test]
    fn a_list_that_is_written_down_is_read_again_by_a_version_that_does_not_know_that() {
        let unread = Step::Contacts { cursor: Some("40".into()), listed: None };
        assert_eq!(serde_json::to_string(&unread).unwrap(), r#"{"do":"contacts","cursor":"40"}"#);
        let listed = Step::Contacts { cursor: Some("40".into()), listed: Some(Listed { next: Some("80".into()) }) };
        let json = serde_json::to_string(&listed).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), listed);
        assert_eq!(serde_json::from_str::<Older>(&json).unwrap(), Older::Contacts { cursor: Some("40".into()) });
    }
}
