//! The calls a job can make and the ways a gateway can answer.
//!
//! Providers translate these to their own HTTP; nobody else knows a path or a header of theirs.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::{
    address::Address,
    contact::Contact,
    job::Step,
    limit::Level,
    media::MediaPlace,
    message::{Message, Page, Pairing},
};

/// One gateway call. Every one of them costs a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Is the number connected and logged in?
    Status,
    /// A page of the contact list.
    Contacts {
        /// Where to go on; none at the beginning.
        cursor: Option<String>,
    },
    /// The LID behind a phone JID.
    LookUpLid {
        /// The phone JID.
        phone: Address,
    },
    /// The newest messages of one chat.
    History {
        /// The chat.
        address: Address,
        /// How many messages, 1 to 100.
        limit: u32,
        /// Where to go on; none at the beginning.
        cursor: Option<String>,
        /// None from before then, where the gateway can be asked for that.
        since: Option<DateTime<Utc>>,
    },
    /// The contacts of the whole number, by webhook.
    RequestContacts,
    /// The history of the whole number, by webhook.
    RequestHistory {
        /// How many messages per chat, 1 to 100, where the gateway asks for that.
        count: u32,
    },
    /// What the phone has of one chat before a message, by webhook.
    TopUp {
        /// The chat.
        address: Address,
        /// The message.
        anchor: Anchor,
        /// How many messages, 1 to 100.
        count: u32,
    },
    /// One message.
    Message {
        /// The provider's id.
        id: String,
        /// Whether the phone is to send it once more.
        resync: bool,
    },
    /// The file of a message.
    Media {
        /// Where it is to be had.
        place: MediaPlace,
        /// What its message says of its type.
        mime: Option<String>,
        /// More bytes than these are not taken.
        most: u64,
    },
    /// Where webhooks go, and which.
    Subscriptions,
    /// From now on webhooks go there.
    Connect {
        /// The channel's `hook_url`.
        url: String,
        /// What [`Subscriptions`] showed, where the gateway would forget it otherwise.
        kept: Option<Kept>,
    },
}

/// Receivers that stand beside ours, in the provider's JSON. It may hold secrets of theirs and is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept(pub String);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(..)")
    }
}

/// The oldest message that is known of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The provider's id.
    pub message_id: String,
    /// Sent by the channel's own number.
    pub from_me: bool,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
}

impl Call {
    /// The call that carries out a job's step; none where the step needs to know more than it holds.
    #[must_use]
    pub fn for_step(step: &Step, messages_wanted: u32, since: Option<DateTime<Utc>>) -> Option<Self> {
        Some(match step {
            Step::Contacts { cursor, .. } => Self::Contacts { cursor: cursor.clone() },
            Step::LookUpLid { phone } => Self::LookUpLid { phone: phone.clone() },
            Step::History { address, cursor } => {
                Self::History { address: address.clone(), limit: messages_wanted, cursor: cursor.clone(), since }
            }
            Step::Prepare => Self::Status,
            Step::RequestContacts => Self::RequestContacts,
            Step::RequestHistory => Self::RequestHistory { count: messages_wanted },
            Step::Restore { message_id, reads } => Self::Message { id: message_id.clone(), resync: *reads == 0 },
            Step::TopUp { .. } | Step::Look { .. } | Step::Media { .. } => return None,
        })
    }

    /// A short name for metrics and errors.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Contacts { .. } => "contacts",
            Self::LookUpLid { .. } => "lid_lookup",
            Self::History { .. } => "history",
            Self::RequestContacts => "request_contacts",
            Self::RequestHistory { .. } => "request_history",
            Self::TopUp { .. } => "top_up",
            Self::Message { .. } => "message",
            Self::Media { .. } => "media",
            Self::Subscriptions => "subscriptions",
            Self::Connect { .. } => "connect",
        }
    }
}

/// Whether a gateway's session can work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Connected to WhatsApp.
    pub connected: bool,
    /// Paired with a phone.
    pub logged_in: bool,
    /// Whether the gateway keeps history, where it says so.
    pub keeps_history: Option<bool>,
    /// What time it was at the gateway, where it says so.
    pub clock: Option<DateTime<Utc>>,
}

/// One address that webhooks go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The address.
    pub url: String,
    /// Names of events that are needed and not sent there.
    pub missing: Vec<String>,
}

impl Subscriptions {
    /// The receiver with this address.
    #[must_use]
    pub fn receiver(&self, url: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.url == url)
    }
}

/// Where a gateway sends webhooks of a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// Who gets them.
    pub receivers: Vec<Receiver>,
    /// Whether the gateway takes in history, where that is told beside.
    pub keeps_history: Option<bool>,
    /// Events that are older are not sent, where that is told beside.
    pub forgets_after: Option<Duration>,
    /// What a [`Call::Connect`] has to be given, where the gateway knows no other way to add a receiver.
    pub kept: Option<Kept>,
}

/// One message, with whom it is about.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The chat.
    pub address: Address,
    /// The message.
    pub message: Message,
}

/// A piece of a contact list: so much as is written down at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactsPiece {
    /// Persons; the same person may appear twice, once under each address, in this piece or in another one.
    pub contacts: Vec<Contact>,
    /// Identities that belong together, where the gateway says so.
    pub pairings: Vec<Pairing>,
}

/// A gateway's good answer, read whole. One to [`Call::Contacts`] is too long for that, and comes in pieces; one to [`Call::Media`] is
/// a file.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Call::Status`].
    Session(Session),
    /// To [`Call::LookUpLid`]; none when the gateway knows none.
    Lid(Option<Address>),
    /// To [`Call::History`]; an empty page is a good answer.
    History(Page),
    /// To what is answered by webhook: status and body as they came, shortened, for people.
    Accepted(String),
    /// To [`Call::Message`]; none while it is not there.
    Message(Option<Box<Restored>>),
    /// To [`Call::Subscriptions`].
    Subscriptions(Subscriptions),
    /// To [`Call::Connect`]: the secret for signatures, where the gateway makes one.
    Connected(Option<SecretString>),
}

/// A gateway's answer that is none, named by what the caller has to do about it.
///
/// `detail` names the call and the cause and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too fast: the channel, or the whole server where the answer says so, has to slow down. Costs no attempt.
    #[error("throttled: {detail}")]
    Throttled {
        /// Who has to slow down.
        level: Level,
        /// How long the gateway asks us to wait, where it says so.
        retry_after: Option<Duration>,
        /// The call and the cause.
        detail: String,
    },
    /// The number is not connected or not logged in: nothing of this channel can work now. Costs no attempt.
    #[error("no session: {detail}")]
    SessionLost {
        /// The call and the cause.
        detail: String,
    },
    /// Nobody answers at the gateway's address: the server is down, for every channel behind it. Costs no attempt.
    #[error("unreachable: {detail}")]
    Unreachable {
        /// The call and the cause.
        detail: String,
    },
    /// The credentials are refused: a person has to act. Costs no attempt.
    #[error("unauthorized: {detail}")]
    Unauthorized {
        /// The call and the cause.
        detail: String,
    },
    /// WhatsApp has banned the number: a person has to act. Costs no attempt.
    #[error("banned: {detail}")]
    Banned {
        /// The call and the cause.
        detail: String,
    },
    /// Asking again cannot help this job.
    #[error("{code}: {detail}")]
    Permanent {
        /// A stable word for counting.
        code: &'static str,
        /// The call and the cause.
        detail: String,
    },
    /// It may work the next time.
    #[error("{code}: {detail}")]
    Transient {
        /// A stable word for counting: `timeout`, `connection`, `gateway_error`, `unreadable_answer`, ...
        code: &'static str,
        /// The call and the cause.
        detail: String,
    },
}
