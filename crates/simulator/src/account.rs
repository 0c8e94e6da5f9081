//! What a gateway tells of a whole account at once: which persons' messages, how far back, and of which kinds nothing but
//! that there was something.

use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    archive::Archive,
    messages::{self, Kind, Message},
    people::Person,
};

/// The rules of a provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// Whether nothing is told of persons whose phone is not known.
    pub(crate) needs_phone: bool,
    /// How many days are told of, counted back from the telling; all of them without.
    pub(crate) days: Option<i64>,
    /// Kinds of which only that there was something is told.
    pub(crate) untold: &'static [Kind],
    /// Of those, the ones so many days old are told whole afterwards, on their own.
    pub(crate) asset_days: i64,
}

/// How much of a message is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// All of it.
    Whole,
    /// That there was one, and when; never its words nor what it is.
    Placeholder,
    /// The same, and all of it later, on its own.
    Asset,
}

/// A message of an account, as a reader must end up with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountMessage {
    /// As the provider writes it.
    pub message_id: String,
    /// The phone JID of the person it was written to or by, where it is known.
    pub phone_jid: Option<String>,
    /// The LID of that person, where it is known.
    pub lid: Option<String>,
    /// When it was sent, in whole seconds.
    pub sent_at: DateTime<Utc>,
    /// Sent by the channel's owner.
    pub from_me: bool,
    /// What it is.
    pub kind: Kind,
    /// Words, caption, place or card name, emoji; empty where there are none, and where they are never told.
    pub text: String,
    /// How much of it is told.
    pub told: Told,
}

impl Account {
    fn told(&self, message: &Message) -> Option<Told> {
        let age = messages::told_at() - message.sent_at;
        if self.days.is_some_and(|days| age > Duration::days(days)) {
            return None;
        }
        Some(match self.untold.contains(&message.kind) {
            false => Told::Whole,
            true if age <= Duration::days(self.asset_days) => Told::Asset,
            true => Told::Placeholder,
        })
    }
}

/// What is told of one person, oldest first, at most `limit`: those sent last.
pub(crate) fn told_of(archive: &Archive, person: &Person, limit: usize) -> Vec<(Message, Told)> {
    let Some(account) = archive.account() else { return Vec::new() };
    if account.needs_phone && person.phone_jid.is_none() {
        return Vec::new();
    }
    let stored = archive.stored(person).into_iter();
    let mut told: Vec<(Message, Told)> =
        stored.filter_map(|message| account.told(&message).map(|told| (message, told))).collect();
    told.drain(..told.len().saturating_sub(limit));
    told
}

/// The same as the truth tells it.
pub(crate) fn of_person(archive: &Archive, person: &Person, limit: usize) -> Vec<AccountMessage> {
    let told = told_of(archive, person, limit).into_iter();
    told.map(|(message, told)| AccountMessage {
        message_id: message.id,
        phone_jid: person.phone_jid.clone(),
        lid: person.lid.clone(),
        sent_at: message.sent_at.trunc_subsecs(0),
        from_me: message.from_me,
        kind: message.kind,
        text: if told == Told::Placeholder { String::new() } else { message.text },
        told,
    })
    .collect()
}
