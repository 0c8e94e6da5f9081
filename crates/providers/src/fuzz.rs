//! What a gateway could answer, given to the readers of it: for the fuzzers in `tests/fuzz`, which bring the bytes.

use chrono::DateTime;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use sincro_core::{
    gateway::{Anchor, Answer, Call, Refusal},
    hook::{Event, Told},
};

use crate::{events::PIECE, gdbrns, http::Reply, listing, positus, retry_after, room::Held, whapi, wsapi, wuzapi};

/// Reads an answer of a gateway: the first byte says of which one and to which call, the next two are its status, the rest is
/// its body.
pub fn read_answer(input: &[u8]) {
    let [which, high, low, body @ ..] = input else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let Some(call) = call(which % 4 + which / 32 * 4) else { return };
    let of = which / 4 % 8;
    if let Call::Contacts { .. } = call
        && list(of, body)
    {
        return;
    }
    let body = String::from_utf8_lossy(body).into_owned();
    let reply = Reply { status, retry_after: None, names_server: false, clock: None, body, held: Held::default() };
    match answer(of, &call, &reply) {
        Ok(Some(Answer::History(page))) => {
            assert!(page.messages.iter().all(|message| !message.id.is_empty()), "a message without a name");
        }
        Ok(Some(Answer::Accepted(told))) => assert!(!told.contains("hush-hush") && told.len() < 4_000, "{told}"),
        Ok(_) => {}
        Err(refusal) => {
            let told = refusal.to_string();
            assert!(!told.contains("hush-hush") && told.len() < 4_000, "{told}");
        }
    }
}

/// The first four are those that the oldest seeds are about.
fn call(number: u8) -> Option<Call> {
    let phone = || "5511988887777@s.whatsapp.net".parse().expect("an address");
    Some(match number {
        0 => Call::Status,
        1 => Call::LookUpLid { phone: phone() },
        2 => Call::History { address: phone(), limit: 5, cursor: None, since: None },
        3 => Call::Contacts { cursor: None },
        4 => Call::RequestHistory { count: 5 },
        5 => Call::RequestContacts,
        6 => {
            let anchor = Anchor { message_id: "A".into(), from_me: false, sent_at: DateTime::UNIX_EPOCH };
            Call::TopUp { address: phone(), anchor, count: 5 }
        }
        7 => Call::Message { id: "A".into(), resync: true },
        8 => Call::Subscriptions,
        9 => Call::Connect { url: "https://sincro".into(), kept: None },
        _ => return None,
    })
}

/// Walks through a contact list of a gateway that has them in files; whether it was one of those.
fn list(of: u8, body: &[u8]) -> bool {
    match of {
        0 => drop(wuzapi::doors::persons_in(body)),
        2 => drop(listing::persons_in(body, wsapi::doors::person)),
        4 => drop(listing::persons_in(body, gdbrns::doors::person)),
        _ => return false,
    }
    true
}

fn answer(of: u8, call: &Call, reply: &Reply) -> Result<Option<Answer>, Refusal> {
    match of {
        0 => wuzapi::doors::answer(call, reply).map(Some),
        1 => whapi::doors::answer(call, reply),
        2 => wsapi::doors::answer(call, reply).map(Some),
        3 => positus::doors::answer(call, reply).map(Some),
        4 => gdbrns::doors::answer(call, reply).map(Some),
        _ => Ok(None),
    }
}

/// Reads a webhook: the first byte says of which gateway, and in which format where there are two; the rest is its body.
pub fn read_webhook(input: &[u8]) {
    let [which, body @ ..] = input else { return };
    let body = String::from_utf8_lossy(body);
    let mut tell = |told: Told| match told.event {
        Event::Messages(batch) => {
            assert!(batch.messages.len() <= PIECE, "a batch of {}", batch.messages.len());
            assert!(batch.messages.iter().all(|message| !message.id.is_empty()), "a message without a name");
            assert!(batch.chat.phone().is_some() || batch.chat.lid().is_some(), "a chat of nobody");
        }
        Event::Contacts(contacts) => assert!((1..=PIECE).contains(&contacts.len())),
        Event::Pairings(pairings) => assert!((1..=PIECE).contains(&pairings.len())),
        _ => {}
    };
    let read = match which % 6 {
        0 => wuzapi::doors::hook("application/json", &body, Some("acct-7"), &mut tell),
        1 => wuzapi::doors::hook("application/x-www-form-urlencoded", &body, Some("acct-7"), &mut tell),
        2 => whapi::doors::hook(&body, Some("CH-1"), &mut tell),
        3 => wsapi::doors::hook(&body, Some("ins_7"), &mut tell),
        4 => positus::doors::hook(&body, &mut tell),
        _ => gdbrns::doors::hook(&body, Some("dev-1"), &mut tell),
    };
    match read {
        Ok(()) => {}
        Err(flaw) => assert!(!flaw.is_empty() && flaw.len() < 400, "{flaw}"),
    }
}

/// Reads the bytes as the wait that a gateway asks for.
pub fn read_wait(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    let _ = retry_after::read(&headers, sincro_core::clock::now());
}

#[cfg(test)]
mod tests {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds.rs"));

    #[test]
    fn every_seed_of_gateway_answer_is_read_without_harm() {
        for seed in seeds("gateway_answer") {
            super::read_answer(&seed);
        }
    }

    #[test]
    fn every_seed_of_webhook_is_read_without_harm() {
        for seed in seeds("webhook") {
            super::read_webhook(&seed);
        }
    }

    #[test]
    fn every_seed_of_gateway_wait_is_read_without_harm() {
        for seed in seeds("gateway_wait") {
            super::read_wait(&seed);
        }
    }
}
