//! What a gateway could answer, given to the readers of it: for the fuzzers in `tests/fuzz`, which bring the bytes.

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use sincro_core::gateway::{Answer, Call};

use crate::{http::Reply, retry_after, room::Held, whapi, wuzapi};

/// Reads an answer of a gateway: the first byte says of which one and to which call, the next two are its status, the rest is
/// its body.
pub fn read_answer(input: &[u8]) {
    let [which, high, low, body @ ..] = input else { return };
    let of_whapi = which / 4 % 2 == 1;
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    let phone = || "5511988887777@s.whatsapp.net".parse().expect("an address");
    let call = match which % 4 {
        0 => Call::Status,
        1 => Call::LookUpLid { phone: phone() },
        2 => Call::History { address: phone(), limit: 5, cursor: None, since: None },
        _ if of_whapi => Call::Contacts { cursor: None },
        _ => {
            drop(wuzapi::doors::persons_in(body));
            return;
        }
    };
    let body = String::from_utf8_lossy(body).into_owned();
    let reply = Reply { status, retry_after: None, names_server: false, body, held: Held::default() };
    let answer =
        if of_whapi { whapi::doors::answer(&call, &reply) } else { wuzapi::doors::answer(&call, &reply).map(Some) };
    match answer {
        Ok(Some(Answer::History(page))) => {
            assert!(page.messages.iter().all(|message| !message.id.is_empty()), "a message without a name");
        }
        Ok(_) => {}
        Err(refusal) => {
            let told = refusal.to_string();
            assert!(!told.contains("hush-hush") && told.len() < 4_000, "{told}");
        }
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
    fn every_seed_of_gateway_wait_is_read_without_harm() {
        for seed in seeds("gateway_wait") {
            super::read_wait(&seed);
        }
    }
}
