//! The records of one chat -> neutral messages, the same for every gateway that answers with a list.
//!
//! One bad record does not sink the page: it is left out, counted by reason in `sincro_gateway_left_out_total`, and warned of
//! once per page. A page with records of which none can be read is no page. What a record says is the provider's to read.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sincro_core::{address::Address, message::Message, provider::Provider};

use crate::{json, telemetry};

/// WhatsApp's ids have up to 32 characters. Longer ones than this would not fit an index entry of Postgres.
pub(crate) const LONGEST_ID: usize = 255;

/// Why a record is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flaw {
    /// No object, or nested or numbered beyond what readers of JSON bear.
    Unreadable,
    /// No id anywhere in it, so it could not be told from others.
    WithoutId,
    /// No plausible time anywhere in it.
    WithoutTime,
    /// It belongs to somebody else: a person's words must not end up in another's chat.
    OtherChat,
    /// Nothing in it says which person's chat it is of.
    UnknownChat,
    /// A notice of the phone to itself, without anything that somebody wrote.
    WithoutContent,
}

impl Flaw {
    /// The word on the metric and in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::WithoutId => "without id",
            Self::WithoutTime => "without time",
            Self::OtherChat => "of another chat",
            Self::UnknownChat => "of an unknown chat",
            Self::WithoutContent => "without content",
        }
    }
}

/// What was left out, by reason.
#[derive(Debug, Default)]
pub(crate) struct Flaws(BTreeMap<Flaw, usize>);

impl Flaws {
    pub(crate) fn note(&mut self, flaw: Flaw) {
        *self.0.entry(flaw).or_default() += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts them under `place`; gives the reasons in words.
    pub(crate) fn count(&self, provider: Provider, place: &'static str) -> String {
        for (flaw, count) in &self.0 {
            telemetry::left_out(provider, place, flaw.as_str(), *count);
        }
        let reasons = self.0.iter().map(|(flaw, count)| format!("{count} {}", flaw.as_str()));
        reasons.collect::<Vec<_>>().join(", ")
    }
}

/// What a list held.
#[derive(Debug)]
pub(crate) struct Rows {
    /// In the gateway's order.
    pub(crate) messages: Vec<Message>,
    /// All records, those left out and those beyond what was asked for as well.
    pub(crate) seen: usize,
}

/// Reads a list and takes at most `most` messages of it; `null` is an empty one. Whatever ignores a limit may send the whole
/// chat; nobody asked for the rest.
pub(crate) fn read(
    provider: Provider,
    asked: &Address,
    most: usize,
    list: &str,
    message: impl Fn(&RawValue) -> Result<Message, Flaw>,
) -> Result<Rows, String> {
    let mut rows = Rows { messages: Vec::new(), seen: 0 };
    let mut flaws = Flaws::default();
    json::each_item(list, |raw| {
        rows.seen += 1;
        if rows.messages.len() < most {
            match message(raw) {
                Ok(message) => rows.messages.push(message),
                Err(flaw) => flaws.note(flaw),
            }
        }
    })
    .map_err(|error| format!("a history that is {}", json::flaw(&error)))?;
    if !flaws.is_empty() {
        let reasons = flaws.count(provider, "history");
        tracing::warn!(%provider, address = %asked, %reasons, "rows of a chat were left out");
        if rows.messages.is_empty() {
            return Err(format!("a history without a single readable row ({reasons})"));
        }
    }
    Ok(rows)
}
