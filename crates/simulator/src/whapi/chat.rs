//! The messages of one chat as `/messages/list` gives them: filtered, ordered, and with those that came in since.

use std::collections::HashMap;

use serde_json::Value;

use super::{message, readings::Readings};
use crate::server::Channel;

/// What the query asks for beside a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    from_s: Option<i64>,
    to_s: Option<i64>,
    from_me: Option<bool>,
    oldest_first: bool,
}

impl Filter {
    /// None when the gateway would refuse it.
    pub(super) fn of(asked: &HashMap<String, String>) -> Option<Self> {
        // What is not there is no filter; what is no number is refused.
        let seconds = |name: &str| match asked.get(name).filter(|text| !text.is_empty()) {
            None => Some(None),
            Some(text) => text.parse().ok().map(Some),
        };
        Some(Self {
            from_s: seconds("time_from")?,
            to_s: seconds("time_to")?,
            from_me: match asked.get("from_me").map(String::as_str) {
                None => None,
                Some(word) => Some(word.parse().ok()?),
            },
            oldest_first: match asked.get("sort").map(String::as_str) {
                None | Some("desc") => false,
                Some("asc") => true,
                Some(_) => return None,
            },
        })
    }

    fn takes(&self, readings: Readings, sent_s: i64, from_me: bool) -> bool {
        let until = |to_s| if readings.time_to_inclusive { sent_s <= to_s } else { sent_s < to_s };
        self.from_s.is_none_or(|from_s| sent_s >= from_s)
            && self.to_s.is_none_or(until)
            && self.from_me.is_none_or(|wanted| wanted == from_me)
    }
}

/// Everything under this address that the filter takes, newest first unless it asks otherwise.
pub(super) fn all(channel: &Channel, address: &str, readings: Readings, filter: Filter) -> Vec<Value> {
    let mut stored = channel.archive.chat(address, usize::MAX);
    if let Some(person) = channel.archive.person(address) {
        // Older than all others.
        stored.extend(channel.restored.of(channel, &person).into_iter().rev());
    }
    let (Some(person), Some(newest)) = (channel.archive.person(address), stored.first()) else { return Vec::new() };
    let newest_s = newest.readable_at.timestamp();
    let chat = person.phone_jid.as_deref().filter(|_| readings.resolves_lids).unwrap_or(address);

    let count = channel.arrivals.of(address);
    let later =
        (0..count).rev().filter(|number| number % 2 == 1).map(|number| (newest_s + 60 + i64::from(number), number));
    let at_once = (0..count).rev().filter(|number| number % 2 == 0).map(|number| (newest_s, number));
    let newcomers = later.chain(at_once).filter(|(sent_s, _)| filter.takes(readings, *sent_s, false));
    let newcomers = newcomers.map(|(sent_s, number)| message::newcomer(&person, address, chat, sent_s, number));

    let known =
        stored.iter().filter(|stored| filter.takes(readings, stored.readable_at.timestamp(), stored.message.from_me));
    let mut all: Vec<Value> = newcomers.chain(known.map(|stored| message::known(&person, chat, stored))).collect();
    if filter.oldest_first {
        all.reverse();
    }
    all
}
