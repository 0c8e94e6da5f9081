//! Which refusal a bad status of this gateway is. Decided here and nowhere else.
//!
//! Errors are Positus' own, `{"message":"..","errors":[{"code","title","details"}]}`, or Meta's,
//! `{"error":{"message","type","code","error_subcode"}}`. How a second request is refused is known by hearsay: Meta's error 4 with
//! "sync request limit exceeded", or 2593107, "already synced".

use serde_json::Value;
use sincro_core::{
    gateway::{Call, Refusal},
    limit::Level,
};

use crate::{
    http::Reply,
    json, media,
    refusing::{self, Said},
    wording::Wording,
};

/// A request that was made before, within the same onboarding.
const ALREADY: [&str; 3] = ["sync request limit", "already synced", "already been synced"];
const ALREADY_CODE: &str = "2593107";
/// Meta's number for too many calls of an application, and for a second request.
const LIMIT_CODE: &str = "4";
const APPLICATION_LIMIT: [&str; 1] = ["application request limit"];
/// An access token that opens nothing.
const TOKEN_CODE: &str = "190";
const TOO_FAST_CODE: &str = "130429";
/// Meta's number for a parameter that it cannot use, and its words where that is a thing which is not there.
const PARAMETER_CODE: &str = "100";
const NOT_THERE: [&str; 1] = ["does not exist"];

/// The refusal of an answer with a bad status.
pub(super) fn refuse(reply: &Reply, wording: &Wording<'_>) -> Refusal {
    let (said, codes) = said(&reply.body);
    let is = |code: &str| codes.iter().any(|said| said == code);
    let detail = said.detail(reply, wording);
    let limit = is(LIMIT_CODE) && !said.any(&APPLICATION_LIMIT);
    // Whatever its status: it says that it was not taken, and why.
    if is(ALREADY_CODE) || limit || said.any(&ALREADY) {
        return Refusal::Permanent { code: "already_requested", detail };
    }
    if is(TOO_FAST_CODE) || is(LIMIT_CODE) {
        return Refusal::Throttled { level: Level::Channel, retry_after: reply.retry_after, detail };
    }
    if is(TOKEN_CODE) {
        return Refusal::Unauthorized { detail };
    }
    if matches!(wording.call, Call::Media { .. }) && is(PARAMETER_CODE) && said.any(&NOT_THERE) {
        return Refusal::Permanent { code: media::GONE, detail };
    }
    refusing::refuse(reply, &said, &[], wording)
}

/// What an error says, and the numbers in it.
fn said(body: &str) -> (Said, Vec<String>) {
    let Some(answer) = json::object(body.trim_start_matches('\u{feff}')) else {
        return (Said::by_others(body), Vec::new());
    };
    let (mut words, mut codes) = (Vec::new(), Vec::new());
    let own = json::field(&answer, "message").is_some() || json::field(&answer, "error").is_some_and(Value::is_object);
    words.extend(json::field(&answer, "message").and_then(json::text));
    let listed = json::field(&answer, "errors").and_then(Value::as_array).into_iter().flatten();
    for error in json::field(&answer, "error").into_iter().chain(listed) {
        let member = |name| json::field(error, name).and_then(json::text);
        let told = ["message", "title", "details", "error_user_msg"].into_iter().filter_map(member);
        words.extend(told.chain(json::at(error, &["error_data", "details"]).and_then(json::text)));
        codes.extend(["code", "error_subcode"].into_iter().filter_map(member));
    }
    words.dedup();
    if words.is_empty() && codes.is_empty() {
        return (Said::by_others(body), codes);
    }
    let mut text = words.join(": ");
    if !codes.is_empty() {
        text = format!("{text} ({})", codes.join(", "));
    }
    (Said { text, own }, codes)
}

#[cfg(test)]
mod tests {
    use sincro_core::gateway::Call;

    use super::*;

    fn refused(status: u16, body: &str) -> Refusal {
        let reply = Reply::of(status, body);
        let call = Call::RequestHistory { count: 25 };
        refuse(&reply, &Wording { call: &call, name: "POST /path", secrets: &["hush-hush"] })
    }

    #[test]
    fn a_second_request_is_refused_for_good_in_every_wording_that_was_heard_of() {
        for (status, body) in [
            (400, r#"{"error":{"message":"(#4) Sync request limit exceeded","type":"OAuthException","code":4}}"#),
            (403, r#"{"error":{"message":"Limit","type":"OAuthException","code":4}}"#),
            (
                429,
                r#"{"message":"Too many","errors":[{"code":"4","title":"sync request limit exceeded","details":""}]}"#,
            ),
            (400, r#"{"error":{"message":"no","code":100,"error_subcode":2593107}}"#),
            (400, r#"{"message":"Bad request","errors":[{"code":2593107,"title":"x","details":"y"}]}"#),
            (500, r#"{"message":"This number was already synced"}"#),
        ] {
            let refusal = refused(status, body);
            assert!(matches!(refusal, Refusal::Permanent { code: "already_requested", .. }), "{body}: {refusal}");
        }
    }

    #[test]
    fn other_errors_of_positus_and_of_meta_say_what_they_say() {
        for (status, body, expected) in [
            (
                400,
                r#"{"message":"Bad request","errors":[{"code":"1001","title":"No","details":"why"}]}"#,
                "bad_request: POST /path: 400 Bad request: No: why (1001)",
            ),
            (401, r#"{"message":"Unauthenticated."}"#, "unauthorized: POST /path: 401 Unauthenticated."),
            (400, r#"{"error":{"message":"Expired","code":190}}"#, "unauthorized: POST /path: 400 Expired (190)"),
            (404, r#"{"message":"Not found"}"#, "not_found: POST /path: 404 Not found"),
            (400, r#"{"error":{"message":"Rate","code":130429}}"#, "throttled: POST /path: 400 Rate (130429)"),
            (
                403,
                r#"{"error":{"message":"Application request limit reached","code":4}}"#,
                "throttled: POST /path: 403 Application request limit reached (4)",
            ),
            (429, "{}", "throttled: POST /path: 429 {}"),
            (500, r#"{"message":"Server Error"}"#, "gateway_error: POST /path: 500 Server Error"),
            (502, "<html>no</html>", "gateway_error: POST /path: 502 without a reason"),
            (400, r#"{"odd":"shape hush-hush"}"#, r#"bad_request: POST /path: 400 {"odd":"shape ***"}"#),
        ] {
            assert_eq!(refused(status, body).to_string(), expected, "{body}");
        }
    }
}
