//! What an answer of this gateway is: data, nothing, or which refusal. Decided here and nowhere else.
//!
//! The HTTP status counts; the error's own code only where a failure hides under a good status. A 401 means two things: a
//! token that opens nothing, and, where its text speaks of the channel's authorization, a channel whose phone is not
//! connected. No limit on requests is published and no `Retry-After` is documented; a 429 is honoured with it and without it.

use sincro_core::{
    gateway::{Call, Refusal, Session},
    limit::Level,
};

use super::wire::{Envelope, Failure};
use crate::{http::Reply, signs, wording::Wording};

/// The one state of a channel in which it can work.
pub(super) const WORKS: &str = "AUTH";

/// The channel is not connected to its phone: connected again, it goes on.
const NO_SESSION: [&str; 8] = [
    "need channel authorization",
    "channel is not authorized",
    "channel not authorized",
    "session terminated",
    "logged out",
    "not connected",
    "sync_error",
    "sync error",
];

/// A 404 that is not about the chat or the person: the token's channel does not exist any more.
const NO_CHANNEL: [&str; 2] = ["channel not found", "channel is not found"];
/// A 404 of a path, in the words of the usual servers: `base_url` points beside the gateway.
const NO_PATH: [&str; 3] = ["cannot get", "no route", "route not found"];

/// How much of an error text is searched for those words.
const LOOKED_AT: usize = 1_000;

/// The one verdict on an answer: data that is still to be read, or none, because the gateway knows no such chat, no such message, or no
/// LID for the phone, which is an expected end.
pub(super) fn judge<'a>(reply: &'a Reply, wording: &Wording<'_>) -> Result<Option<Envelope<'a>>, Refusal> {
    let envelope = Envelope::read(&reply.body);
    let failure = envelope.as_ref().ok().and_then(Envelope::failure);
    if !(200..300).contains(&reply.status) {
        let said = match (&failure, &envelope) {
            (Some(failure), _) => failure.text.clone(),
            (None, Ok(envelope)) => envelope.hearsay(),
            (None, Err(_)) => plain_text(&reply.body).to_owned(),
        };
        let author = Author { json: envelope.is_ok(), gateway: failure.is_some() };
        return refuse(reply, reply.status, &said, author, wording);
    }
    let envelope = envelope.map_err(|flaw| wording.unreadable(&flaw, &reply.body))?;
    match failure {
        Some(Failure { code, text }) => {
            refuse(reply, code.unwrap_or(500), &text, Author { json: true, gateway: true }, wording)
        }
        None => Ok(Some(envelope)),
    }
}

/// The refusal of a bad status to a call whose good answer is no JSON.
pub(super) fn refusal(reply: &Reply, wording: &Wording<'_>) -> Refusal {
    let detail = || wording.detail(&reply.status.to_string());
    judge(reply, wording).err().unwrap_or_else(|| Refusal::Permanent { code: "not_found", detail: detail() })
}

/// What the state of a channel means: a session, or why it is lost.
pub(super) fn session(word: &str, wording: &Wording<'_>) -> Result<Session, Refusal> {
    if word == WORKS {
        return Ok(Session { connected: true, logged_in: true, keeps_history: None, clock: None });
    }
    Err(Refusal::SessionLost { detail: wording.detail(&state(word)) })
}

/// A state of a channel, with what to do about it.
pub(super) fn state(word: &str) -> String {
    let advice = match word {
        "QR" => "; scan its code at Whapi",
        "SYNC_ERROR" => "; log it out and connect it again at Whapi",
        "STOP" => "; it is stopped at Whapi, as a rule by its plan",
        _ => "",
    };
    format!("the channel is {word}{advice}")
}

/// A good status and nothing behind it.
pub(super) fn is_bare(reply: &Reply) -> bool {
    (200..300).contains(&reply.status) && reply.body.trim().is_empty()
}

/// Who wrote an answer, as far as its form tells.
#[derive(Clone, Copy)]
struct Author {
    /// It is an object.
    json: bool,
    /// It is one of the gateway's errors: nothing in front of it wrote that.
    gateway: bool,
}

fn refuse<'a>(
    reply: &Reply,
    status: u16,
    text: &str,
    author: Author,
    wording: &Wording<'_>,
) -> Result<Option<Envelope<'a>>, Refusal> {
    let lower: String = text.chars().take(LOOKED_AT).collect::<String>().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let detail = wording.detail(&format!("{status} {}", if text.is_empty() { "without a reason" } else { text }));
    if status != 401
        && let Some(level) = signs::overload(reply, status, text, author.gateway)
    {
        return Err(Refusal::Throttled { level, retry_after: reply.retry_after, detail });
    }
    if author.gateway && says(&NO_SESSION) {
        return Err(Refusal::SessionLost { detail });
    }
    if author.gateway && signs::ban(text) {
        return Err(Refusal::Banned { detail });
    }
    let asks_for_one = matches!(wording.call, Call::LookUpLid { .. } | Call::History { .. } | Call::Message { .. });
    Err(match status {
        // A quota that comes back by itself says when; a plan or a trial that is used up waits for a person.
        402 if reply.retry_after.is_some() => {
            Refusal::Throttled { level: Level::Channel, retry_after: reply.retry_after, detail }
        }
        401..=403 => Refusal::Unauthorized { detail },
        404 if author.gateway && says(&NO_CHANNEL) => Refusal::Unauthorized { detail },
        // Whether an unknown chat is a 404 or an empty list is not documented: both are.
        404 if author.gateway && asks_for_one && !says(&NO_PATH) => return Ok(None),
        // An error that lost its end says nothing, not even that something is not there.
        404 if !author.json && (reply.body.is_empty() || reply.body.trim_start().starts_with('{')) => {
            wording.unreadable("an answer without its end", &reply.body)
        }
        404 => Refusal::Permanent { code: "not_found", detail },
        408 => Refusal::Transient { code: "gateway_error", detail },
        400..=499 => Refusal::Permanent { code: "bad_request", detail },
        _ => Refusal::Transient { code: "gateway_error", detail },
    })
}

fn plain_text(body: &str) -> &str {
    let text = body.trim();
    if text.starts_with('<') { "" } else { text }
}

#[cfg(test)]
mod tests;
