//! What an error answer means where a gateway has no words of its own for it.
//!
//! Each provider's verdict first looks for what only its own gateway says, and comes here with the rest. An order that can be given
//! once is judged more strictly: only what shows that it was surely not taken may say so, and no status of 500 or more does by
//! itself.

use sincro_core::gateway::{Call, Refusal};

use crate::{http::Reply, signs, wording::Wording};

/// How much of an error text is searched.
const LOOKED_AT: usize = 1_000;

/// What an error answer says, and who wrote it as far as its form tells.
pub(crate) struct Said {
    /// The gateway's text; of an answer in another form, the answer.
    pub(crate) text: String,
    /// It has the form of the gateway's own errors: nothing in front of it wrote that.
    pub(crate) own: bool,
}

impl Said {
    /// What the gateway itself says.
    pub(crate) fn by_gateway(text: String) -> Self {
        Self { text, own: true }
    }

    /// What somebody else says: pages are not worth showing, and a text is.
    pub(crate) fn by_others(body: &str) -> Self {
        let body = body.trim();
        Self { text: if body.starts_with('<') { String::new() } else { body.to_owned() }, own: false }
    }

    /// Whether the gateway says one of these; all are in small letters.
    pub(crate) fn any(&self, phrases: &[&str]) -> bool {
        let lower: String = self.text.chars().take(LOOKED_AT).collect::<String>().to_ascii_lowercase();
        self.own && phrases.iter().any(|phrase| lower.contains(phrase))
    }

    /// The call, the status and the cause.
    pub(crate) fn detail(&self, reply: &Reply, wording: &Wording<'_>) -> String {
        let text = if self.text.is_empty() { "without a reason" } else { &self.text };
        wording.detail(&format!("{} {text}", reply.status))
    }
}

/// The refusal of an answer with a bad status. `no_session` is what the gateway says when its number is not connected.
pub(crate) fn refuse(reply: &Reply, said: &Said, no_session: &[&str], wording: &Wording<'_>) -> Refusal {
    let detail = said.detail(reply, wording);
    let once = matches!(wording.call, Call::RequestContacts | Call::RequestHistory { .. });
    let unknown = once && reply.status >= 500;
    if reply.status != 401
        && !unknown
        && let Some(level) = signs::overload(reply, reply.status, &said.text, said.own)
    {
        return Refusal::Throttled { level, retry_after: reply.retry_after, detail };
    }
    // A lost session may tell why it was lost and comes back; a ban waits for a person, so the one must not pass for the other.
    if said.any(no_session) {
        return Refusal::SessionLost { detail };
    }
    if said.own && signs::ban(&said.text) {
        return Refusal::Banned { detail };
    }
    match reply.status {
        401 | 403 => Refusal::Unauthorized { detail },
        404 => Refusal::Permanent { code: "not_found", detail },
        408 => Refusal::Transient { code: "gateway_error", detail },
        413 => Refusal::Permanent { code: "too_large", detail },
        400..=499 => Refusal::Permanent { code: "bad_request", detail },
        _ => Refusal::Transient { code: "gateway_error", detail },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::room::Held;

    fn refused(call: &Call, status: u16, text: &str, retry_after: Option<Duration>) -> Refusal {
        let reply =
            Reply { status, retry_after, names_server: false, clock: None, body: String::new(), held: Held::default() };
        let wording = Wording { call, name: "POST /path", secrets: &["hush-hush"] };
        refuse(&reply, &Said::by_gateway(text.to_owned()), &["not connected"], &wording)
    }

    #[test]
    fn an_order_that_can_be_given_once_is_refused_for_sure_or_nobody_knows() {
        let once = Call::RequestHistory { count: 25 };
        let wait = Some(Duration::from_secs(7));
        for (status, text, wait, surely_not) in [
            (400, "", None, true),
            (401, "", None, true),
            (404, "", None, true),
            (409, "", None, true),
            (429, "", wait, true),
            (500, "not connected", None, true),
            (408, "", None, false),
            (500, "", None, false),
            (502, "server is busy", None, false),
            (503, "", wait, false),
            (504, "", None, false),
        ] {
            let refusal = refused(&once, status, text, wait);
            assert_eq!(!matches!(refusal, Refusal::Transient { .. }), surely_not, "{status} {text}: {refusal}");
        }
        assert!(
            matches!(refused(&Call::Status, 503, "", wait), Refusal::Throttled { .. }),
            "a question may be asked again"
        );
    }

    #[test]
    fn a_refusal_shows_what_was_said_and_no_secret() {
        let refusal = refused(&Call::Status, 400, "bad hush-hush", None);
        assert_eq!(refusal.to_string(), "bad_request: POST /path: 400 bad ***");
        assert_eq!(
            refused(&Call::Status, 500, "", None).to_string(),
            "gateway_error: POST /path: 500 without a reason"
        );
        assert_eq!(Said::by_others(" <html>no</html>").text, "");
        assert!(!Said::by_others("not connected").any(&["not connected"]), "somebody in front cannot know");
    }
}
