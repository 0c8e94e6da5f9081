//! Which refusal a bad status of this gateway is. Decided here and nowhere else.
//!
//! Errors are `{"status":409,"detail":"device not paired"}` in the open build. Limits and `Retry-After` are not documented and
//! honoured where they come.

use sincro_core::gateway::{Call, Refusal};

use crate::{
    http::Reply,
    json,
    refusing::{self, Said},
    wording::Wording,
};

/// The number has no device any more, or its connection is away: paired or connected again, it goes on.
const NO_SESSION: [&str; 4] = ["not paired", "not logged in", "not connected", "logged out"];
/// The instance is being started or moved: nothing was done, and it will be there again.
const NOT_THERE: [&str; 2] = ["instance not available", "instance is not available"];
/// Nothing of the channel can work: a person has to look at what it is called.
const NO_INSTANCE: [&str; 3] = ["instance not found", "unknown instance", "instance does not exist"];

/// The refusal of an answer with a bad status.
pub(super) fn refuse(reply: &Reply, wording: &Wording<'_>) -> Refusal {
    let said = said(&reply.body);
    match reply.status {
        404 if said.any(&NO_INSTANCE) => Refusal::Unauthorized { detail: said.detail(reply, wording) },
        // It has no other meaning here.
        409 if said.own => Refusal::SessionLost { detail: said.detail(reply, wording) },
        503 if said.any(&NOT_THERE) => Refusal::SessionLost { detail: said.detail(reply, wording) },
        // A file comes from WhatsApp itself: the instance is not there to ask for it.
        503 if said.own && reply.retry_after.is_none() && matches!(wording.call, Call::Media { .. }) => {
            Refusal::SessionLost { detail: said.detail(reply, wording) }
        }
        _ => refusing::refuse(reply, &said, &NO_SESSION, wording),
    }
}

fn said(body: &str) -> Said {
    let error = json::object(body.trim_start_matches('\u{feff}'));
    let detail = error.as_ref().and_then(|error| {
        ["detail", "error", "message"].iter().find_map(|name| json::field(error, name).and_then(json::text))
    });
    let has_status = error.as_ref().is_some_and(|error| json::field(error, "status").is_some());
    match detail {
        Some(detail) if has_status => Said::by_gateway(detail),
        Some(detail) => Said { text: detail, own: false },
        None => Said::by_others(body),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::gateway::Call;

    use super::*;

    fn refused(call: &Call, status: u16, body: &str) -> Refusal {
        let reply = Reply::of(status, body);
        refuse(&reply, &Wording { call, name: "GET /path", secrets: &["hush-hush"] })
    }

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
    fn each_failure_of_the_page_has_its_refusal() {
        for (status, detail, expected) in [
            (400, "missing X-Instance-Id", "bad_request"),
            (400, "device not paired", "session lost"),
            (401, "invalid api key", "unauthorized"),
            (404, "instance not found", "unauthorized"),
            (404, "chat not found", "not_found"),
            (409, "device not paired", "session lost"),
            (413, "body too large", "too_large"),
            (429, "slow down", "throttled"),
            (502, "upstream failed", "gateway_error"),
            (503, "instance not available", "session lost"),
            (503, "no upstream", "gateway_error"),
            (504, "timed out", "gateway_error"),
        ] {
            let body = json!({"status": status, "detail": detail}).to_string();
            let refusal = refused(&Call::RequestHistory { count: 25 }, status, &body);
            assert_eq!(word(&refusal), expected, "{status} {detail}");
            assert!(refusal.to_string().contains(&format!("GET /path: {status} {detail}")), "{refusal}");
        }
    }

    #[test]
    fn what_stands_in_front_of_the_gateway_cannot_say_that_a_device_is_not_paired() {
        assert_eq!(word(&refused(&Call::Status, 409, "conflict")), "bad_request");
        assert_eq!(word(&refused(&Call::Status, 404, r#"{"message":"instance not found"}"#)), "not_found");
        assert_eq!(
            refused(&Call::Status, 502, "<html>no</html>").to_string(),
            "gateway_error: GET /path: 502 without a reason"
        );
    }
}
