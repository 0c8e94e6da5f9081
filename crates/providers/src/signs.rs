//! What an answer tells about limits and bans, whichever gateway or proxy wrote it: who has to slow down, and whether the
//! number is banned.
//!
//! Gateways and what stands in front of them have few words for it, and they are the same everywhere; each provider's
//! verdict asks here and adds what only its own gateway says. A channel is asked to slow down unless the answer names the
//! server: to slow a whole server down for one number's sake would hold up all the others.

use reqwest::header::HeaderMap;
use sincro_core::limit::Level;

use crate::http::Reply;

/// How much of a text is searched.
const LOOKED_AT: usize = 1_000;

/// Too much from one number. `rate-overlimit` is what WhatsApp itself says, to usync and group queries.
const TOO_FAST: [&str; 6] =
    ["rate overlimit", "ratelimit", "rate limit", "too many requests", "overlimit", "slow down"];
/// Too much for the server, or from everybody behind one address.
const SERVER_WIDE: [&str; 12] = [
    "global rate limit",
    "global ratelimit",
    "server is busy",
    "server busy",
    "server too busy",
    "server is too busy",
    "server is overloaded",
    "server overloaded",
    "overloaded server",
    "service overloaded",
    "at capacity",
    "over capacity",
];

/// What WhatsApp does to numbers, in the words of whatsmeow, Baileys and those who wrap them. A contact that blocks somebody
/// and an address that a proxy bans are other matters.
const BANNED: [&str; 16] = [
    " temporarily banned ",
    " temporary ban ",
    " temporaryban ",
    " temp banned ",
    " account banned ",
    " account is banned ",
    " number banned ",
    " number is banned ",
    " been banned ",
    " banned by whatsapp ",
    " banned from whatsapp ",
    " blocked by whatsapp ",
    " number is blocked ",
    " account is blocked ",
    " account locked ",
    " account is locked ",
];

/// How a failed connection says so with nothing but a number: banned for a time (402), the phone's own session taken away
/// (403, 406).
const BANNING_FAILURES: [&str; 3] = ["402", "403", "406"];

/// Whether the headers say that a limit counts more than the one caller.
pub(crate) fn name_server(headers: &HeaderMap) -> bool {
    let says = |name: &str, words: &[&str]| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        words.iter().any(|word| value.eq_ignore_ascii_case(word))
    };
    says("x-ratelimit-global", &["true"]) || says("x-ratelimit-scope", &["global", "server", "ip"])
}

/// Who has to slow down after this answer; none when it asks nobody to.
///
/// `status` is the one to judge by, which can hide under a good one. `from_gateway` says that the gateway itself wrote the
/// answer: a wait that is named by something in front of it counts for everybody behind that.
pub(crate) fn overload(reply: &Reply, status: u16, text: &str, from_gateway: bool) -> Option<Level> {
    let said = Said::of(text);
    let asked_to_wait = status == 503 && reply.retry_after.is_some();
    let server_said = said.any(&SERVER_WIDE);
    if status != 429 && !asked_to_wait && !server_said && !said.any(&TOO_FAST) {
        return None;
    }
    let server = reply.names_server || server_said || (asked_to_wait && !from_gateway);
    Some(if server { Level::Server } else { Level::Channel })
}

/// Whether a gateway's own text says that WhatsApp has banned the number.
pub(crate) fn ban(text: &str) -> bool {
    let said = Said::of(text);
    said.any(&BANNED) || said.failed_connection().is_some_and(|code| BANNING_FAILURES.contains(&code))
}

/// A text in a form that is easy to search: small letters and digits, everything between them one space.
struct Said(String);

impl Said {
    fn of(text: &str) -> Self {
        let mut said = String::from(" ");
        for c in text.chars().take(LOOKED_AT) {
            if c.is_alphanumeric() {
                said.extend(c.to_lowercase());
            } else if !said.ends_with(' ') {
                said.push(' ');
            }
        }
        said.push(' ');
        Self(said)
    }

    fn any(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.0.contains(phrase))
    }

    /// The first number behind `connect failure`.
    fn failed_connection(&self) -> Option<&str> {
        let (_, behind) = self.0.split_once("connect failure").or_else(|| self.0.split_once("connectfailure"))?;
        behind.split(' ').find(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GATEWAY: bool = true;
    const IN_FRONT: bool = false;

    fn reply(retry_after_s: u64, names_server: bool) -> Reply {
        let retry_after = (retry_after_s > 0).then(|| Duration::from_secs(retry_after_s));
        Reply {
            status: 0,
            retry_after,
            names_server,
            clock: None,
            body: String::new(),
            held: crate::room::Held::default(),
        }
    }

    #[test]
    fn a_channel_has_to_slow_down_unless_the_answer_names_the_server() {
        let (channel, server) = (Some(Level::Channel), Some(Level::Server));
        for (status, retry_after_s, names_server, text, author, expected) in [
            (429, 0, false, "", GATEWAY, channel),
            (429, 9, false, "", IN_FRONT, channel),
            (429, 9, true, "", IN_FRONT, server),
            (429, 0, false, "Global rate limit exceeded", GATEWAY, server),
            (503, 9, false, "", IN_FRONT, server),
            (503, 9, false, "instance not available", GATEWAY, channel),
            (503, 9, false, "the server is overloaded", GATEWAY, server),
            (503, 9, true, "instance not available", GATEWAY, server),
            (503, 0, false, "", IN_FRONT, None),
            (503, 0, true, "", IN_FRONT, None),
            (500, 0, false, "info query returned status 429: rate-overlimit", GATEWAY, channel),
            (500, 0, false, "rate_overlimit", GATEWAY, channel),
            (500, 0, false, "RateLimitExceeded", GATEWAY, channel),
            (500, 0, false, "(#130429) Rate limit hit", GATEWAY, channel),
            (400, 0, false, "Too Many Requests, please slow down", GATEWAY, channel),
            (500, 0, false, "Server is BUSY", GATEWAY, server),
            (500, 0, false, "we are at capacity", GATEWAY, server),
            (500, 9, false, "pq: sorry, too many clients already", GATEWAY, None),
            (404, 0, false, "chat 5521304290000 not found", GATEWAY, None),
            (401, 0, true, "unauthorized", GATEWAY, None),
        ] {
            let found = overload(&reply(retry_after_s, names_server), status, text, author);
            assert_eq!(found, expected, "{status} {text:?}");
        }
    }

    #[test]
    fn a_header_can_say_that_a_limit_counts_everybody() {
        for (name, value, expected) in [
            ("x-ratelimit-global", "true", true),
            ("X-RateLimit-Global", " True", true),
            ("x-ratelimit-global", "false", false),
            ("x-ratelimit-scope", "global", true),
            ("x-ratelimit-scope", "Server", true),
            ("x-ratelimit-scope", "ip", true),
            ("x-ratelimit-scope", "user", false),
            ("x-ratelimit-limit", "ip", false),
        ] {
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            let headers: HeaderMap = [(name.clone(), value.parse().unwrap())].into_iter().collect();
            assert_eq!(name_server(&headers), expected, "{name}: {value}");
        }
        assert!(!name_server(&HeaderMap::new()));
    }

    #[test]
    fn a_ban_is_told_from_other_refusals() {
        for banned in [
            "account temporarily banned",
            "You've been temporarily banned: you sent too many messages. The ban expires in 23h",
            "failed to connect: TemporaryBan{Code: 102}",
            "This account is banned",
            "number is blocked by WhatsApp",
            "your account has been banned.",
            "account locked",
            "connect failure 402",
            "ConnectFailure: reason 403",
            "connect failure (406)",
        ] {
            assert!(ban(banned), "{banned}");
        }
        for other in [
            "",
            "unauthorized",
            "forbidden",
            "logged out from another device",
            "primary device was logged out",
            "connect failure 401",
            "connect failure 500",
            "connect failure",
            "the contact has blocked you",
            "the database is locked",
            "the ban list of group 402 is empty",
            "chat 5511402403406 not found",
        ] {
            assert!(!ban(other), "{other}");
        }
    }
}
