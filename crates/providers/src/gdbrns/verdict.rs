//! Which refusal a bad status of this gateway is. Decided here and nowhere else.
//!
//! Errors are `{"status":false,"code":500,"message":"..","error":".."}`; the `code` in the body may be another one than the status,
//! which counts.

use sincro_core::gateway::Refusal;

use crate::{
    http::Reply,
    json,
    refusing::{self, Said},
    wording::Wording,
};

/// The device's client is not there, or its phone has let it go: a 500 like any other, but for its text.
const NO_SESSION: [&str; 8] = [
    "client is not valid",
    "client not valid",
    "not connected",
    "not logged in",
    "logged out",
    "client not found",
    "client is not initialized",
    "no session",
];

/// The refusal of an answer with a bad status.
pub(super) fn refuse(reply: &Reply, wording: &Wording<'_>) -> Refusal {
    refusing::refuse(reply, &said(&reply.body), &NO_SESSION, wording)
}

fn said(body: &str) -> Said {
    let Some(answer) = json::object(body.trim_start_matches('\u{feff}')) else { return Said::by_others(body) };
    let member = |name| json::field(&answer, name).and_then(json::text).filter(|text| !text.trim().is_empty());
    let mut words: Vec<String> = ["message", "error"].into_iter().filter_map(member).collect();
    words.dedup();
    let own = json::field(&answer, "status").and_then(json::flag) == Some(false);
    if words.is_empty() { Said::by_others(body) } else { Said { text: words.join(": "), own } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::gateway::Call;

    use super::*;

    fn refused(status: u16, body: &str) -> Refusal {
        let reply = Reply::of(status, body);
        let call = Call::RequestHistory { count: 25 };
        refuse(&reply, &Wording { call: &call, name: "POST /path", secrets: &["hush-hush"] })
    }

    #[test]
    fn each_failure_of_the_page_has_its_refusal() {
        for (status, error, expected) in [
            (400, "invalid body", "bad_request: POST /path: 400 Failed: invalid body"),
            (401, "token version mismatch", "unauthorized: POST /path: 401 Failed: token version mismatch"),
            (429, "", "throttled: POST /path: 429 Failed"),
            (500, "WhatsApp client is not valid", "no session: POST /path: 500 Failed: WhatsApp client is not valid"),
            (500, "client is not connected", "no session: POST /path: 500 Failed: client is not connected"),
            (500, "client is not logged in", "no session: POST /path: 500 Failed: client is not logged in"),
            (500, "anything else", "gateway_error: POST /path: 500 Failed: anything else"),
        ] {
            // The body names another code, as the one of the page does.
            let body = json!({"status": false, "code": 400, "message": "Failed", "error": error}).to_string();
            assert_eq!(refused(status, &body).to_string(), expected);
        }
        assert_eq!(refused(500, "not connected").to_string(), "gateway_error: POST /path: 500 not connected");
        assert_eq!(
            refused(404, "Cannot POST /history/sync").to_string(),
            "not_found: POST /path: 404 Cannot POST /history/sync"
        );
    }
}
