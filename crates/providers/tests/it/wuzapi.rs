//! `WuzAPI`: what is sent, and what the answers of its page become.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use sincro_core::{
    gateway::{Answer, Call, Refusal, Session},
    hook::{Event, SessionChange, Told},
    limit::Level,
};
use sincro_providers::Gateways;

use crate::gate::{Gate, PHONE, TOKEN, ask_with, call, connection, contacts, history, lid, settings, told, top_up};

fn ok(data: &Value) -> Response {
    json!({"code": 200, "success": true, "data": data}).to_string().into_response()
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, json!({"code": status.as_u16(), "success": false, "error": text}).to_string()).into_response()
}

async fn refused(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, asked: &Call) -> Refusal {
    let gate = Gate::answering(answer).await;
    call(&gate.url(), asked).await.expect_err("a refusal")
}

#[tokio::test]
async fn every_call_goes_to_its_path_behind_the_prefix_with_the_token_in_its_header() {
    let gate = Gate::answering(|| ok(&Value::Null)).await;
    for (asked, target) in [
        (Call::Status, "/wuzapi/session/status".to_owned()),
        (Call::Contacts { cursor: None }, "/wuzapi/user/contacts".to_owned()),
        (lid(), format!("/wuzapi/user/lid/{PHONE}")),
        (history(), "/wuzapi/chat/history?chat_jid=5511988887777%40s.whatsapp.net&limit=100".to_owned()),
        (
            Call::History {
                address: "190000000000001@lid".parse().unwrap(),
                limit: 0,
                cursor: Some("x".into()),
                since: None,
            },
            "/wuzapi/chat/history?chat_jid=190000000000001%40lid&limit=100".to_owned(),
        ),
    ] {
        drop(ask_with(&settings(), &format!("{}/wuzapi/", gate.url()), &asked).await);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!(arrival.target, target);
        assert_eq!(arrival.token.as_deref(), Some(TOKEN));
        assert_eq!(arrival.user_agent.as_deref(), Some(concat!("sincro/", env!("CARGO_PKG_VERSION"))));
    }
    assert_eq!(gate.arrivals().len(), 5, "a call is one request");
}

#[tokio::test]
async fn the_four_good_answers_are_read() {
    let gate = Gate::answering(|| {
        ok(&json!({"connected": true, "loggedIn": false, "token": TOKEN, "history": "0", "jid": ""}))
    })
    .await;
    let Ok(Answer::Session(session)) = call(&gate.url(), &Call::Status).await else { panic!("no session") };
    assert_eq!(
        Session { clock: None, ..session },
        Session { connected: true, logged_in: false, keeps_history: Some(false), clock: None }
    );

    let gate = Gate::answering(|| ok(&json!({PHONE: {"FullName": "Ana P"}, "1203@g.us": {}}))).await;
    let (pieces, left_out) = contacts(&settings(), &gate.url()).await.unwrap();
    assert_eq!((pieces.len(), pieces[0].contacts.len(), left_out), (1, 1, 1));

    let gate = Gate::answering(|| ok(&json!({"jid": PHONE, "lid": "190000000000001:4@lid"}))).await;
    let Ok(Answer::Lid(Some(found))) = call(&gate.url(), &lid()).await else { panic!("no LID") };
    assert_eq!(found.as_str(), "190000000000001@lid");

    let gate = Gate::answering(|| ok(&json!([{"message_id": "A", "timestamp": "2026-04-03T12:00:00Z"}]))).await;
    let Ok(Answer::History(page)) = call(&gate.url(), &history()).await else { panic!("no history") };
    assert_eq!(page.messages[0].id, "A");
}

#[tokio::test]
async fn an_empty_chat_and_an_unknown_lid_are_answers() {
    let gate = Gate::answering(|| ok(&Value::Null)).await;
    let Ok(Answer::History(page)) = call(&gate.url(), &history()).await else { panic!("no history") };
    assert!(page.messages.is_empty());
    let gate = Gate::answering(|| error(StatusCode::NOT_FOUND, "LID not found for this number")).await;
    assert!(matches!(call(&gate.url(), &lid()).await, Ok(Answer::Lid(None))));
}

#[tokio::test]
async fn failures_become_what_the_caller_has_to_do_about_them() {
    let refusal = refused(|| error(StatusCode::UNAUTHORIZED, "unauthorized"), &history()).await;
    assert_eq!(refusal, Refusal::Unauthorized { detail: "GET /chat/history: 401 unauthorized".into() });
    let refusal = refused(|| error(StatusCode::INTERNAL_SERVER_ERROR, "no session"), &lid()).await;
    assert_eq!(refusal, Refusal::SessionLost { detail: format!("GET /user/lid/{PHONE}: 500 no session") });
    let refusal =
        refused(|| error(StatusCode::NOT_IMPLEMENTED, "message history is disabled for this user"), &history()).await;
    assert!(matches!(refusal, Refusal::Permanent { code: "history_disabled", .. }), "{refusal}");
    let refusal = refused(|| error(StatusCode::BAD_GATEWAY, ""), &history()).await;
    assert!(matches!(refusal, Refusal::Transient { code: "gateway_error", .. }), "{refusal}");
}

#[tokio::test]
async fn a_wait_is_taken_from_the_header_in_both_its_forms() {
    let throttled = |status, said: Option<&'static str>| async move {
        let answer = move || {
            let date = [(header::DATE, "Wed, 21 Oct 2026 07:27:00 GMT")];
            (date, said.map(|said| [(header::RETRY_AFTER, said)]), error(status, "busy")).into_response()
        };
        match refused(answer, &history()).await {
            Refusal::Throttled { retry_after, .. } => Some(retry_after),
            _ => None,
        }
    };
    let (too_many, unavailable) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(throttled(too_many, Some("7")).await, Some(Some(Duration::from_secs(7))));
    assert_eq!(throttled(too_many, Some("Wed, 21 Oct 2026 07:28:00 GMT")).await, Some(Some(Duration::from_mins(1))));
    assert_eq!(throttled(too_many, Some("86400")).await, Some(Some(Duration::from_hours(1))));
    assert_eq!(throttled(too_many, None).await, Some(None));
    assert_eq!(throttled(unavailable, Some("3")).await, Some(Some(Duration::from_secs(3))));
    assert_eq!(throttled(unavailable, None).await, None);
}

#[tokio::test]
async fn who_has_to_slow_down_is_read_from_author_and_headers() {
    let level = |answer: fn() -> Response| async move {
        match refused(answer, &history()).await {
            Refusal::Throttled { level, .. } => Some(level),
            _ => None,
        }
    };
    let of_the_gateway = || (StatusCode::TOO_MANY_REQUESTS, [("x-ratelimit-scope", "user")]).into_response();
    assert_eq!(level(of_the_gateway).await, Some(Level::Channel));
    let of_everybody = || (StatusCode::TOO_MANY_REQUESTS, [("x-ratelimit-global", "true")]).into_response();
    assert_eq!(level(of_everybody).await, Some(Level::Server));
    let page = || (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "3")], "<html>busy</html>").into_response();
    assert_eq!(level(page).await, Some(Level::Server));
    let text = || error(StatusCode::INTERNAL_SERVER_ERROR, "info query returned status 429: rate-overlimit");
    assert_eq!(level(text).await, Some(Level::Channel));
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_beginning() {
    for (body, cause) in [
        ("<!doctype html>\n<h1>It works</h1>", "no JSON, at line 1 column 1: <!doctype html> <h1>It works</h1>"),
        (
            r#"{"code":200,"data":[{"id":1"#,
            r#"JSON that ends too early, at line 1 column 27: {"code":200,"data":[{"id":1"#,
        ),
        (r#"{"data":"unexpected"}"#, r#"a history that is JSON of another shape: {"data":"unexpected"}"#),
        (r#"{"success":true}"#, r#"an envelope without data: {"success":true}"#),
        ("{}", "an envelope without data: {}"),
        ("", "an empty body"),
    ] {
        let refusal = refused(move || body.into_response(), &history()).await;
        let detail = format!("GET /chat/history: the answer is {cause}");
        assert_eq!(refusal, Refusal::Transient { code: "unreadable_answer", detail });
    }
    let long = refused(|| "x".repeat(5_000).into_response(), &history()).await.to_string();
    assert!((2_000..2_200).contains(&long.len()), "enough to see what it was: {}", long.len());
}

#[tokio::test]
async fn a_status_answer_that_cannot_be_read_shows_nothing_of_the_token() {
    for body in [r#"{"data":{"connected":1,"token":"hush-hush-4711"}}"#, r#"{"data":{"token":"hush-hush-47"#] {
        let refusal = refused(move || body.into_response(), &Call::Status).await;
        assert!(matches!(refusal, Refusal::Transient { code: "unreadable_answer", .. }), "{refusal}");
        assert!(!refusal.to_string().contains("hush"), "{refusal}");
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_not_sent() {
    let gate = Gate::answering(|| ok(&Value::Null)).await;
    for credentials in ["", "{}", r#"{"token":""}"#, r#"{"api_key":"hush"}"#] {
        let mut connection = connection(&gate.url());
        connection.credentials = credentials.into();
        let outcome = Gateways::new(&settings()).unwrap().call(&connection, &history()).await;
        let Err(Refusal::Unauthorized { detail }) = outcome else { panic!("{outcome:?}") };
        assert!(detail.starts_with("GET /chat/history: not sent, credentials"), "{detail}");
        assert!(!detail.contains("hush"), "{detail}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[tokio::test]
async fn a_phone_is_asked_with_all_five_parameters_because_the_gateway_fills_in_what_is_missing() {
    let page = r#"{"code":200,"success":true,"data":{"details":"History sync request Sent","timestamp":1767000000,
 "count":50,"chat_jid":"5511988887777@s.whatsapp.net","oldest_msg_id":"3EB0A1",
 "oldest_msg_from_me":false,"oldest_msg_timestamp":1766000000000}}"#;
    let gate = Gate::answering(move || page.into_response()).await;
    for (from_me, said) in [(false, "false"), (true, "true")] {
        let answer = call(&gate.url(), &top_up(PHONE, from_me)).await;
        let Ok(Answer::Accepted(told)) = answer else { panic!("{answer:?}") };
        assert!(
            told.starts_with(r#"200 {"code":200,"success":true,"data":{"details":"History sync request Sent""#),
            "{told}"
        );
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!(
            arrival.target,
            format!(
                "/session/history?count=50&chat_jid=5511988887777%40s.whatsapp.net&oldest_msg_id=3EB0A1\
                 &oldest_msg_from_me={said}&oldest_msg_timestamp=1765990000250"
            ),
            "the time is in milliseconds"
        );
    }
}

#[tokio::test]
async fn a_request_to_the_phone_that_was_not_handed_over_says_why() {
    let refusal = refused(|| error(StatusCode::INTERNAL_SERVER_ERROR, "no session"), &top_up(PHONE, false)).await;
    assert!(matches!(refusal, Refusal::SessionLost { .. }), "{refusal}");
    let failed = || error(StatusCode::INTERNAL_SERVER_ERROR, "Failed to request history sync.");
    let refusal = refused(failed, &top_up(PHONE, false)).await;
    assert!(matches!(refusal, Refusal::Transient { code: "gateway_error", .. }), "{refusal}");
    let hidden = || error(StatusCode::OK, "no session");
    let refusal = refused(hidden, &top_up(PHONE, false)).await;
    assert!(matches!(refusal, Refusal::Transient { .. } | Refusal::SessionLost { .. }), "{refusal}");
}

#[tokio::test]
async fn a_webhook_is_registered_with_its_events_and_what_was_dropped_is_found_out() {
    let gate = Gate::answering(|| ok(&json!({"webhook": "https://sincro", "events": ["Message"]}))).await;
    let connect = Call::Connect { url: "https://sincro".into(), kept: None };
    assert!(matches!(call(&gate.url(), &connect).await, Ok(Answer::Connected(None))));
    let arrival = gate.arrivals().pop().unwrap();
    assert_eq!((arrival.method.as_str(), arrival.target.as_str()), ("POST", "/webhook"));
    let sent: Value = serde_json::from_str(&arrival.body).unwrap();
    assert_eq!(sent["webhookurl"], "https://sincro");
    assert!(sent["events"].as_array().unwrap().contains(&json!("HistorySync")), "{sent}");

    let gate = Gate::answering(|| ok(&json!({"webhook": "https://sincro", "subscribe": ["Message"]}))).await;
    let Ok(Answer::Subscriptions(found)) = call(&gate.url(), &Call::Subscriptions).await else { panic!("none") };
    assert_eq!(gate.arrivals()[0].target, "/webhook");
    let missing = &found.receiver("https://sincro").unwrap().missing;
    assert!(missing.contains(&"HistorySync".to_owned()) && !missing.contains(&"Message".to_owned()));
}

#[tokio::test]
async fn calls_it_has_not_are_refused_for_good_and_not_sent() {
    let gate = Gate::answering(|| ok(&Value::Null)).await;
    let message = Call::Message { id: "A".into(), resync: true };
    for asked in [Call::RequestContacts, Call::RequestHistory { count: 25 }, message] {
        let refusal = call(&gate.url(), &asked).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "not_supported", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[tokio::test]
async fn a_webhook_in_form_format_is_read_by_its_header() {
    let body = "jsonData=%7B%22type%22%3A%22LoggedOut%22%2C%22event%22%3A%7B%22Reason%22%3A401%7D%7D&userID=b1";
    let told = told(&connection("http://gate"), "application/x-www-form-urlencoded", body.as_bytes()).await.unwrap();
    let [Told { name, event: Event::Session(SessionChange::Lost(reason)) }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((name.as_str(), reason.as_str()), ("LoggedOut", "logged out: 401"));
}
