//! What a reader must end up with: the yardstick of every end-to-end test.
//!
//! Independent of the wire: it does not go through rows, faults or limits, so a gateway that lies does not change it.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    account::{self, AccountMessage},
    archive::{Archive, Stored},
    media::Media,
    messages::Kind,
    people::Person,
};

/// The truth about one channel. Cheap to clone; outlives the simulator.
#[derive(Debug, Clone)]
pub struct Truth(Arc<Archive>);

/// A message as it really was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrueMessage {
    /// The same under both addresses where a message is stored twice.
    pub message_id: String,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// The closest to `sent_at` that what the gateway kept allows a reader to know. Differs only where the gateway lost the
    /// event.
    pub readable_at: DateTime<Utc>,
    /// Sent by the channel's owner, by phone or by API.
    pub from_me: bool,
    /// What it is.
    pub kind: Kind,
    /// Words, caption, place or card name, emoji; empty where there are none.
    pub text: String,
}

/// What one address yields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// The phone JID or LID.
    pub address: String,
    /// The newest first.
    pub messages: Vec<TrueMessage>,
}

/// The whole truth for one limit, as `/__sim/truth` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Messages asked for per address.
    pub limit: usize,
    /// Everybody, by number.
    pub persons: Vec<Person>,
    /// One per address, empty chats included.
    pub chats: Vec<Chat>,
    /// The distinct ids over all chats.
    pub message_ids: BTreeSet<String>,
}

impl Truth {
    pub(crate) fn new(archive: Arc<Archive>) -> Self {
        Self(archive)
    }

    /// Everybody, by number.
    #[must_use]
    pub fn persons(&self) -> &[Person] {
        self.0.people()
    }

    /// Every address of everybody.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.0.people().iter().flat_map(Person::addresses)
    }

    /// What a careful reader gets who wants the newest `limit` messages of this address, the newest first. Messages that arrive while a chat is
    /// read are not among them.
    #[must_use]
    pub fn chat(&self, address: &str, limit: usize) -> Vec<TrueMessage> {
        self.0.newest(address, limit).into_iter().map(TrueMessage::from).collect()
    }

    /// The distinct message ids a reader must hold after asking every address for `limit` messages.
    #[must_use]
    pub fn expected(&self, limit: usize) -> BTreeSet<String> {
        self.addresses().flat_map(|address| self.0.newest(address, limit)).map(|stored| stored.message.id).collect()
    }

    /// How many rows that reader receives in all; above `expected().len()` by the messages stored under both addresses.
    #[must_use]
    pub fn expected_rows(&self, limit: usize) -> usize {
        self.addresses().map(|address| self.0.newest(address, limit).len()).sum()
    }

    /// The bytes of the file of a message; none where it has none.
    #[must_use]
    pub fn file(&self, message_id: &str) -> Option<Vec<u8>> {
        let (_, message, _) = self.0.find(message_id)?;
        Media::of(message.kind).map(|media| media.content(&message.id))
    }

    /// What only the phone holds of the person with this address, newest first: no chat has it before it is asked for.
    #[must_use]
    pub fn older(&self, address: &str) -> Vec<TrueMessage> {
        let Some(person) = self.0.person(address) else { return Vec::new() };
        let older = self.0.older(&person).into_iter().rev();
        older.map(|message| TrueMessage::from(self.0.seen(&person, message, false))).collect()
    }

    /// The phone JID of a person known by this LID only, which nobody is told before the phone reveals it.
    #[must_use]
    pub fn hidden_phone(&self, lid: &str) -> Option<String> {
        self.0.hidden_phone(&self.0.person(lid)?)
    }

    /// What is told of the whole account: at most so many of each person, those sent last. Oldest first for each. Empty where
    /// the provider tells of addresses only.
    #[must_use]
    pub fn account(&self, per_person: usize) -> Vec<AccountMessage> {
        self.0.people().iter().flat_map(|person| account::of_person(&self.0, person, per_person)).collect()
    }

    /// Everything above in one value.
    #[must_use]
    pub fn report(&self, limit: usize) -> Report {
        let chats: Vec<Chat> = self
            .addresses()
            .map(|address| Chat { address: address.to_owned(), messages: self.chat(address, limit) })
            .collect();
        let message_ids =
            chats.iter().flat_map(|chat| &chat.messages).map(|message| message.message_id.clone()).collect();
        Report { limit, persons: self.persons().to_vec(), chats, message_ids }
    }
}

impl From<Stored> for TrueMessage {
    fn from(Stored { message, readable_at, .. }: Stored) -> Self {
        Self {
            readable_at,
            message_id: message.id,
            sent_at: message.sent_at,
            from_me: message.from_me,
            kind: message.kind,
            text: message.text,
        }
    }
}
