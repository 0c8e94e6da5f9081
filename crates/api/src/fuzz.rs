//! What a client can send, given to the readers of it: for the fuzzers in `tests/fuzz`, which bring the bytes.

use axum::http::Uri;
use sincro_store::access::{Principal, Scope};
use uuid::Uuid;

use crate::{
    body::parse,
    channels::{change::Change, create::Creation, fields},
    limits::replace::Replacement,
    params::Params,
    problem::Problem,
    reason::Reason,
    syncs::{start::Start, start_contact::StartContact},
};

/// Reads the bytes behind the first one as the body of the call that the first one names.
pub fn read_body(input: &[u8]) {
    let Some((call, body)) = input.split_first() else { return };
    let read = match call % 6 {
        0 => parse::<Start>(body).and_then(|start| start.read().map(drop)),
        1 => parse::<StartContact>(body).and_then(|start| start.read().map(drop)),
        2 => parse::<Replacement>(body).and_then(|replacement| replacement.read().map(drop)),
        3 => parse::<Creation>(body).and_then(|creation| creation.check()),
        4 => parse::<Change>(body).map(drop),
        _ => parse::<Reason>(body).and_then(|reason| reason.or_by(&caller()).map(drop)),
    };
    check(read);
}

/// Reads the bytes as the query of a call that takes parameters of every kind, and as the parts of a channel.
pub fn read_text(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    check(fields::name(text).map(drop));
    check(fields::base_url(text).map(drop));
    let Ok(uri) = Uri::try_from(format!("/?{text}")) else { return };
    check(Params::read(&uri, &["address", "after", "limit", "state"]).and_then(|params| {
        params.address()?;
        params.after_row()?;
        params.limit(100, 1_000)?;
        params.text("state").map(drop)
    }));
}

/// A refusal tells the client something, and does not send back all that came.
fn check(read: Result<(), Problem>) {
    if let Err(problem) = read {
        let (detail, field) = problem.for_people();
        assert!(!detail.is_empty() && detail.len() < 3_000, "{problem:?}");
        assert!(field.len() < 1_000, "{problem:?}");
    }
}

fn caller() -> Principal {
    Principal { key_id: Uuid::nil(), name: "somebody".to_owned(), scope: Scope::Admin }
}

#[cfg(test)]
mod tests {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds.rs"));

    #[test]
    fn every_seed_of_request_body_is_read_without_harm() {
        for seed in seeds("request_body") {
            super::read_body(&seed);
        }
    }

    #[test]
    fn every_seed_of_request_text_is_read_without_harm() {
        for seed in seeds("request_text") {
            super::read_text(&seed);
        }
    }
}
