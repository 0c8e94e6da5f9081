//! Each failure of the gateway, in both shapes of its errors.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::room::Held;

fn history() -> Call {
    Call::History { address: "5511988887777@s.whatsapp.net".parse().unwrap(), limit: 5, cursor: None, since: None }
}

fn lid() -> Call {
    Call::LookUpLid { phone: "5511988887777@s.whatsapp.net".parse().unwrap() }
}

fn wording(call: &Call) -> Wording<'_> {
    Wording { call, name: "GET /path", secrets: &["hush-hush"] }
}

fn reply(status: u16, body: &str, retry_after_s: Option<u64>) -> Reply {
    let retry_after = retry_after_s.map(Duration::from_secs);
    Reply { status, retry_after, names_server: false, clock: None, held: Held::default(), body: body.to_owned() }
}

/// The verdict as one word.
fn judged(call: &Call, reply: &Reply) -> &'static str {
    match judge(reply, &wording(call)) {
        Ok(Some(_)) => "data",
        Ok(None) => "nothing",
        Err(Refusal::Throttled { .. }) => "throttled",
        Err(Refusal::SessionLost { .. }) => "session lost",
        Err(Refusal::Unreachable { .. }) => "unreachable",
        Err(Refusal::Unauthorized { .. }) => "unauthorized",
        Err(Refusal::Banned { .. }) => "banned",
        Err(Refusal::Permanent { code, .. } | Refusal::Transient { code, .. }) => code,
    }
}

/// Both shapes of an error.
fn errors(code: u16, message: &str) -> [String; 2] {
    let bare = json!({"code": code, "message": message, "details": "", "href": "", "support": ""});
    [json!({"error": bare}).to_string(), bare.to_string()]
}

#[test]
fn each_failure_of_the_gateway_has_its_refusal_with_the_error_wrapper_and_without_it() {
    for (status, message, expected) in [
        (400, "Wrong request parameters", "bad_request"),
        (401, "Unauthorized", "unauthorized"),
        (401, "need channel authorization for getting messages", "session lost"),
        (401, "Need channel authorization for getting user info", "session lost"),
        (402, "Trial version limit exceeded", "unauthorized"),
        (402, "payment required", "unauthorized"),
        (403, "forbidden", "unauthorized"),
        (403, "rate limit exceeded", "throttled"),
        (403, "number is blocked by WhatsApp", "banned"),
        (404, "chat not found", "nothing"),
        (404, "Specified user not found", "nothing"),
        (404, "channel not found", "unauthorized"),
        (404, "Cannot GET /v2/messages/list/x", "not_found"),
        (405, "method not allowed", "bad_request"),
        (408, "timeout", "gateway_error"),
        (409, "channel not authorized", "session lost"),
        (429, "Too many requests", "throttled"),
        (500, "internal error", "gateway_error"),
        (500, "info query returned status 429: rate-overlimit", "throttled"),
        (500, "account temporarily banned", "banned"),
        (500, "logged out: connect failure 403", "session lost"),
        (500, "status SYNC_ERROR", "session lost"),
        (502, "", "gateway_error"),
        (503, "unavailable", "gateway_error"),
    ] {
        for body in errors(status, message) {
            assert_eq!(judged(&history(), &reply(status, &body, None)), expected, "{status} {body}");
        }
    }
}

#[test]
fn a_failure_under_a_good_status_is_judged_like_one_under_its_own() {
    for body in errors(401, "need channel authorization") {
        assert_eq!(judged(&history(), &reply(200, &body, None)), "session lost", "{body}");
    }
    assert_eq!(judged(&history(), &reply(200, r#"{"error":{"message":"no"}}"#, None)), "gateway_error");
    assert_eq!(judged(&history(), &reply(200, r#"{"messages":[]}"#, None)), "data");
}

#[test]
fn an_unknown_chat_and_an_unknown_lid_are_a_404_and_nothing_else_is() {
    for body in errors(404, "not found") {
        assert_eq!(judged(&history(), &reply(404, &body, None)), "nothing");
        assert_eq!(judged(&lid(), &reply(404, &body, None)), "nothing");
        assert_eq!(judged(&Call::Contacts { cursor: None }, &reply(404, &body, None)), "not_found");
        assert_eq!(judged(&Call::Status, &reply(404, &body, None)), "not_found");
    }
}

#[test]
fn a_404_that_the_gateway_did_not_write_says_nothing_about_a_chat() {
    for (body, expected) in [
        ("404 page not found\n", "not_found"),
        ("<html>not here</html>", "not_found"),
        (r#"{"message":"no Route matched with those values"}"#, "not_found"),
        (r#"{"error":"not found"}"#, "not_found"),
        ("{}", "not_found"),
        (r#"{"error":{"code":404,"mess"#, "unreadable_answer"),
        ("", "unreadable_answer"),
    ] {
        assert_eq!(judged(&history(), &reply(404, body, None)), expected, "{body}");
        assert_eq!(judged(&lid(), &reply(404, body, None)), expected, "{body}");
    }
}

#[test]
fn retry_after_is_not_documented_and_honoured_where_it_comes() {
    for (status, retry_after_s, expected) in
        [(429, None, true), (429, Some(7), true), (402, Some(7), true), (402, None, false), (503, Some(7), true)]
    {
        let [body, _] = errors(status, "later");
        let reply = reply(status, &body, retry_after_s);
        match judge(&reply, &wording(&history())) {
            Err(Refusal::Throttled { level, retry_after, .. }) if expected => {
                assert_eq!((level, retry_after), (Level::Channel, retry_after_s.map(Duration::from_secs)));
            }
            other => assert!(!expected, "{status} {retry_after_s:?}: {other:?}"),
        }
    }
    let page = reply(503, "<html>busy</html>", Some(7));
    let proxy = judge(&page, &wording(&history()));
    assert!(matches!(proxy, Err(Refusal::Throttled { level: Level::Server, .. })), "{proxy:?}");
}

#[test]
fn only_auth_works_and_any_other_state_is_a_lost_session_that_says_which() {
    let call = Call::Status;
    assert!(session("AUTH", &wording(&call)).is_ok_and(|session| session.connected && session.logged_in));
    for (word, detail) in [
        ("QR", "GET /path: the channel is QR; scan its code at Whapi"),
        ("LAUNCH", "GET /path: the channel is LAUNCH"),
        ("NOT_INIT", "GET /path: the channel is NOT_INIT"),
        ("ERROR", "GET /path: the channel is ERROR"),
        ("SYNC_ERROR", "GET /path: the channel is SYNC_ERROR; log it out and connect it again at Whapi"),
        ("STOP", "GET /path: the channel is STOP; it is stopped at Whapi, as a rule by its plan"),
        ("SOMETHING_NEW", "GET /path: the channel is SOMETHING_NEW"),
    ] {
        assert_eq!(session(word, &wording(&call)), Err(Refusal::SessionLost { detail: detail.into() }));
    }
}

#[test]
fn the_token_is_in_no_refusal() {
    for body in [&errors(500, "bad hush-hush")[0], "hush-hush {", &"x hush-hush ".repeat(200)] {
        let refusal = judge(&reply(500, body, None), &wording(&history())).unwrap_err();
        assert!(!refusal.to_string().contains("hush-h"), "{refusal}");
    }
}
