//! Webhooks: what shows that one comes from the gateway, and what it tells.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{
    channel::Connection,
    contact::Contact,
    job::Failure,
    message::{Message, Pairing},
};

/// Follows the bytes of a webhook as they arrive.
pub trait Seal: Send {
    /// The next of them.
    fn take(&mut self, bytes: &[u8]);

    /// Whether the gateway has signed these bytes and no others.
    fn holds(self: Box<Self>) -> bool;
}

/// What the headers of a webhook say of where it comes from.
pub enum Proof {
    /// The channel has no secret for webhooks: whoever knows the address is believed.
    Address,
    /// The secret came with it.
    Secret,
    /// It is signed; whether rightly, the body will show.
    Signature(Box<dyn Seal>),
    /// What the channel's credentials ask for is not there, or is another: which header that is about.
    Missing(&'static str),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "Address",
            Self::Secret => "Secret",
            Self::Signature(_) => "Signature",
            Self::Missing(_) => "Missing",
        })
    }
}

/// Finds the proof of a webhook for a channel; a header is asked for by its name in small letters.
pub type Prove = fn(&Connection, &dyn Fn(&str) -> Option<String>) -> Proof;

/// What whoever registers an address for webhooks has to be answered; none where the provider does not ask, or this is no such
/// question, and `Err` where what it says of itself is wrong. A parameter of the query is asked for by its name.
pub type Challenge = fn(&Connection, &dyn Fn(&str) -> Option<String>) -> Option<Result<String, ()>>;

/// How far a delivery is, as far as the webhook says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Which part of the past.
    pub phase: Option<u32>,
    /// Its place within the phase.
    pub chunk: Option<u32>,
    /// 0 to 100, of everything.
    pub percent: Option<u32>,
    /// Chats that it announces.
    pub conversations: Option<u64>,
}

/// Why messages came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A part of the number's history.
    History,
    /// The answer to a request for one chat.
    OnDemand,
    /// A part of the past that nobody can have asked for, where the gateway marks what is an answer.
    Unasked,
    /// New, or restored: the webhook does not say.
    Live,
    /// The content of messages that came without it before. Nothing waits for it.
    LateAsset,
}

/// Messages of one chat; a long chat comes in several batches.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Why they came.
    pub source: Source,
    /// The person on the other side, under all addresses that the webhook names.
    pub chat: Contact,
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether the phone has nothing older of this chat, where it says so.
    pub exhausted: bool,
}

/// What became of a number's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChange {
    /// It is there.
    Up,
    /// It is gone, and may come back.
    Lost(String),
    /// It is gone until a person acts: banned, offboarded.
    Ended(String),
}

/// One thing that a webhook tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// Messages of one chat.
    Messages(Batch),
    /// Persons, with names; whoever is not known yet comes in by it.
    Contacts(Vec<Contact>),
    /// Addresses that belong to one person.
    Pairings(Vec<Pairing>),
    /// How far a delivery is.
    Progress(Progress),
    /// A delivery is complete; said of a request that was made before then, where the webhook has a time.
    Complete(Option<DateTime<Utc>>),
    /// Whoever owns the number declined.
    Declined(Failure),
    /// The gateway's first sync after the number was paired is over; when, where the webhook has a time.
    InitialSync(Option<DateTime<Utc>>),
    /// The number was paired, or onboarded anew; when, where the webhook has a time.
    Paired(Option<DateTime<Utc>>),
    /// What became of the session.
    Session(SessionChange),
    /// It is about another number than the channel's; which, for people.
    Foreign(String),
    /// Understood, and of no use here.
    Ignored,
    /// Nothing that this version understands.
    Unknown,
}

/// An event under the name that the gateway gives it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The gateway's name for it, for counting; bounded by whoever keeps it.
    pub name: String,
    /// What it tells.
    pub event: Event,
}
