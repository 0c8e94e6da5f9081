//! What an answer of this gateway is: data, an unknown LID, or which refusal. Decided here and nowhere else.
//!
//! The HTTP status counts; the envelope's `code` only where a failure hides under a good status. Texts decide where the
//! gateway answers 500 to everything: its client is not there (`no session`), WhatsApp has banned the number, or WhatsApp
//! is being overrun (`rate-overlimit`); what is the same for every gateway of that is in `signs`. The gateway has no rate
//! limit of its own; a 429 or 503 is a proxy's (asternic/wuzapi, handlers as of April 2026).

use std::borrow::Cow;

use sincro_core::gateway::{Call, Refusal};

use super::{contacts::Seen, wire::Envelope};
use crate::{http::Reply, signs, wording::Wording};

/// The client is not there or its phone has let it go: paired again, it goes on.
const NO_SESSION: [&str; 8] = [
    "no session",
    "not connected",
    "not logged in",
    "notloggedin",
    "logged out",
    "loggedout",
    "main device gone",
    "doesn't contain a device jid",
];

/// How much of an error text is searched for those words.
const LOOKED_AT: usize = 1_000;

/// A good answer.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// The data, still to be read.
    Data(Cow<'a, str>),
    /// The gateway knows no LID for the phone: an expected end.
    LidUnknown,
}

/// The one verdict.
pub(super) fn judge<'a>(call: &Call, reply: &'a Reply, wording: &Wording<'_>) -> Result<Verdict<'a>, Refusal> {
    let envelope = Envelope::read(&reply.body);
    if !(200..300).contains(&reply.status) {
        // A plain text instead of an envelope comes from the HTTP library under the gateway; a page comes from a proxy.
        let author = Author { envelope: envelope.is_ok(), gateway: envelope.as_ref().is_ok_and(Envelope::is_own) };
        let text = envelope.map_or_else(|_| plain_text(&reply.body).to_owned(), |envelope| envelope.error());
        return refuse(call, reply, reply.status, &text, author, wording);
    }
    let envelope = envelope.map_err(|flaw| wording.unreadable(&flaw, &reply.body))?;
    if let Some(status) = envelope.disguised_failure() {
        return disguised(call, reply, status, &envelope, wording);
    }
    envelope.data().map(Verdict::Data).ok_or_else(|| wording.unreadable("an envelope without data", &reply.body))
}

/// Whether an order was taken: its status says so, and no failure hides under it.
pub(super) fn is_taken(reply: &Reply) -> bool {
    let hidden = Envelope::read(&reply.body).is_ok_and(|envelope| envelope.disguised_failure().is_some());
    (200..300).contains(&reply.status) && !hidden
}

/// The verdict on a contact list under a good status, which lies in a file and was looked through. `beginning` is how it begins.
pub(super) fn judge_list(
    call: &Call,
    reply: &Reply,
    seen: Result<Seen, String>,
    beginning: &str,
    wording: &Wording<'_>,
) -> Result<Seen, Refusal> {
    let seen = seen.map_err(|flaw| wording.unreadable(&flaw, beginning))?;
    if let Some(status) = seen.envelope.disguised_failure() {
        disguised(call, reply, status, &seen.envelope, wording)?;
    }
    if seen.data { Ok(seen) } else { Err(wording.unreadable("an envelope without data", beginning)) }
}

/// A failure under a good status.
fn disguised<'a>(
    call: &Call,
    reply: &Reply,
    status: u16,
    envelope: &Envelope<'_>,
    wording: &Wording<'_>,
) -> Result<Verdict<'a>, Refusal> {
    let author = Author { envelope: true, gateway: true };
    refuse(call, reply, status, &envelope.error(), author, wording)
}

/// Who wrote an answer, as far as its form tells.
#[derive(Clone, Copy)]
struct Author {
    /// It could be an envelope.
    envelope: bool,
    /// It is one of the gateway's: nothing in front of it wrote that.
    gateway: bool,
}

fn refuse<'a>(
    call: &Call,
    reply: &Reply,
    status: u16,
    text: &str,
    author: Author,
    wording: &Wording<'_>,
) -> Result<Verdict<'a>, Refusal> {
    let lower: String = text.chars().take(LOOKED_AT).collect::<String>().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let detail = wording.detail(&format!("{status} {}", if text.is_empty() { "without a reason" } else { text }));
    if status != 401
        && let Some(level) = signs::overload(reply, status, text, author.gateway)
    {
        return Err(Refusal::Throttled { level, retry_after: reply.retry_after, detail });
    }
    // A lost session may tell why it was lost and comes back; a ban waits for a person, so the one must not pass for the other.
    if author.envelope && !says(&NO_SESSION) && signs::ban(text) {
        return Err(Refusal::Banned { detail });
    }
    Err(match status {
        // Nothing of the channel can work with these credentials; 403 is what a proxy in front says.
        401 | 403 => Refusal::Unauthorized { detail },
        // "LID not found ..." with nothing else to tell cases apart. The library's own "404 page not found" is another
        // matter: the build has no such call, or base_url points beside it.
        404 if matches!(call, Call::LookUpLid { .. }) && author.envelope => return Ok(Verdict::LidUnknown),
        // An envelope that lost its end says nothing, not even that something is not there.
        404 if !author.envelope && (reply.body.is_empty() || reply.body.trim_start().starts_with('{')) => {
            wording.unreadable("an answer without its end", &reply.body)
        }
        404 => Refusal::Permanent { code: "not_found", detail },
        501 if matches!(call, Call::History { .. }) => Refusal::Permanent {
            code: "history_disabled",
            detail: format!("{detail}; turn it on at the gateway with POST /session/history {{\"history\": N}}"),
        },
        501 => Refusal::Permanent { code: "not_implemented", detail },
        _ if says(&NO_SESSION) => Refusal::SessionLost { detail },
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
mod tests {
    use std::time::Duration;

    use sincro_core::limit::Level;

    use super::*;
    use crate::room::Held;

    fn judged(call: &Call, status: u16, body: &str) -> Result<Option<String>, Refusal> {
        let reply = Reply::of(status, body);
        let wording = Wording { call, name: "GET /path", secrets: &["hush-hush"] };
        judge(call, &reply, &wording).map(|verdict| match verdict {
            Verdict::Data(data) => Some(data.into_owned()),
            Verdict::LidUnknown => None,
        })
    }

    fn error(text: &str) -> String {
        serde_json::json!({"code": 0, "success": false, "error": text}).to_string()
    }

    fn history() -> Call {
        Call::History { address: "5511988887777@s.whatsapp.net".parse().unwrap(), limit: 5, cursor: None, since: None }
    }

    fn lid() -> Call {
        Call::LookUpLid { phone: "5511988887777@s.whatsapp.net".parse().unwrap() }
    }

    /// The refusal as one word.
    fn word(refusal: &Refusal) -> &'static str {
        match refusal {
            Refusal::Throttled { .. } => "throttled",
            Refusal::SessionLost { .. } => "session lost",
            Refusal::Unreachable { .. } => "unreachable",
            Refusal::Unauthorized { .. } => "unauthorized",
            Refusal::Banned { .. } => "banned",
            Refusal::Permanent { code, .. } | Refusal::Transient { code, .. } => code,
        }
    }

    #[test]
    fn each_failure_of_the_gateway_has_its_refusal() {
        for (status, text, expected) in [
            (401, "unauthorized", "unauthorized"),
            (403, "", "unauthorized"),
            (403, "API rate limit exceeded", "throttled"),
            (429, "anything", "throttled"),
            (500, "info query returned status 429: rate-overlimit", "throttled"),
            (500, "Too Many Requests", "throttled"),
            (500, "failed to connect: account temporarily banned", "banned"),
            (403, "number is blocked by WhatsApp", "banned"),
            (429, "temporarily banned for too many requests", "throttled"),
            (500, "connect failure 403: primary device was logged out", "session lost"),
            (401, "logged out", "unauthorized"),
            (500, "server is busy", "throttled"),
            (500, "no session", "session lost"),
            (500, "No session", "session lost"),
            (500, "websocket not connected", "session lost"),
            (503, "client is not logged in", "session lost"),
            (500, "the store doesn't contain a device JID", "session lost"),
            (500, "pq: sorry, too many clients already", "gateway_error"),
            (502, "", "gateway_error"),
            (503, "", "gateway_error"),
            (501, "message history is disabled for this user", "history_disabled"),
            (400, "chat_jid is required", "bad_request"),
            (405, "", "bad_request"),
            (404, "user not found", "not_found"),
        ] {
            assert_eq!(word(&judged(&history(), status, &error(text)).unwrap_err()), expected, "{status} {text}");
        }
    }

    #[test]
    fn a_failure_under_a_good_status_is_judged_like_one_under_its_own() {
        let body = r#"{"code":500,"success":false,"error":"no session"}"#;
        assert_eq!(word(&judged(&history(), 200, body).unwrap_err()), "session lost");
    }

    #[test]
    fn an_unknown_lid_is_an_answer_and_a_missing_route_is_not() {
        for text in ["LID not found for this number", "LID not found: invalid GetLIDForPN call"] {
            assert_eq!(judged(&lid(), 404, &error(text)), Ok(None));
        }
        assert_eq!(word(&judged(&lid(), 404, "404 page not found\n").unwrap_err()), "not_found");
    }

    #[test]
    fn a_disabled_history_says_how_to_turn_it_on() {
        let refusal = judged(&history(), 501, &error("message history is disabled for this user")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "history_disabled: GET /path: 501 message history is disabled for this user; \
             turn it on at the gateway with POST /session/history {\"history\": N}"
        );
    }

    #[test]
    fn an_unavailable_server_that_names_a_wait_is_a_throttle_and_of_the_server_where_a_proxy_says_so() {
        let retry_after = Some(Duration::from_secs(3));
        let wording = Wording { call: &history(), name: "GET /path", secrets: &["hush"] };
        for (body, level, cause) in [
            ("<html>busy</html>".to_owned(), Level::Server, "503 without a reason"),
            (r#"{"message":"busy"}"#.to_owned(), Level::Server, "503 without a reason"),
            (error("not now"), Level::Channel, "503 not now"),
        ] {
            let reply =
                Reply { status: 503, retry_after, names_server: false, clock: None, held: Held::default(), body };
            let detail = format!("GET /path: {cause}");
            let refusal = judge(&history(), &reply, &wording).unwrap_err();
            assert_eq!(refusal, Refusal::Throttled { level, retry_after, detail });
        }
    }

    #[test]
    fn a_page_of_a_proxy_that_bans_an_address_is_no_ban_of_the_number() {
        let refusal = judged(&history(), 403, "your address has been banned").unwrap_err();
        assert_eq!(word(&refusal), "unauthorized");
    }

    #[test]
    fn what_cannot_be_read_is_shown_shortly_and_a_status_answer_not_at_all() {
        let refusal = judged(&history(), 200, "<html>\n<b>hi\0</b> token=hush-hush").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "unreadable_answer: GET /path: the answer is no JSON, at line 1 column 1: <html> <b>hi </b> token=***"
        );
        let refusal = judged(&Call::Status, 200, r#"{"data":{"token":"hush-hu"#).unwrap_err();
        assert!(!refusal.to_string().contains("hush"), "{refusal}");
        let long = judged(&history(), 500, &"x hush-hush ".repeat(200)).unwrap_err();
        assert!(!long.to_string().contains("hu"), "{long}");
        assert!(!judged(&history(), 500, &error("bad hush-hush")).unwrap_err().to_string().contains("hush"));
    }
}
