//! Whapi.Cloud: what its bad answers become. The table of them all is beside the verdict; here they come over the wire.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use sincro_core::{
    gateway::{Call, Refusal},
    limit::Level,
};

use crate::{
    gate::{Gate, PHONE, history, lid},
    whapi::{ask, ok},
};

fn error(status: StatusCode, message: &str) -> Response {
    (status, json!({"error": {"code": status.as_u16(), "message": message}}).to_string()).into_response()
}

fn bare(status: StatusCode, message: &str) -> Response {
    (status, json!({"code": status.as_u16(), "message": message}).to_string()).into_response()
}

async fn refused(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, asked: &Call) -> Refusal {
    let gate = Gate::answering(answer).await;
    ask(&gate.url(), asked).await.expect_err("a refusal")
}

#[tokio::test]
async fn an_error_means_the_same_with_its_wrapper_and_without_it() {
    for (status, message) in [
        (StatusCode::BAD_REQUEST, "Wrong request parameters"),
        (StatusCode::UNAUTHORIZED, "Unauthorized"),
        (StatusCode::UNAUTHORIZED, "need channel authorization for getting messages"),
        (StatusCode::PAYMENT_REQUIRED, "Trial version limit exceeded"),
        (StatusCode::FORBIDDEN, "forbidden"),
        (StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
        (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    ] {
        let wrapped = refused(move || error(status, message), &history()).await;
        assert_eq!(wrapped, refused(move || bare(status, message), &history()).await);
        let said = format!("GET /messages/list/{PHONE}: {} {message}", status.as_u16());
        assert!(wrapped.to_string().contains(&said), "{wrapped}");
    }
}

#[tokio::test]
async fn a_401_is_a_bad_token_or_a_channel_that_lost_its_session() {
    let refusal = refused(|| error(StatusCode::UNAUTHORIZED, "Unauthorized"), &lid()).await;
    assert_eq!(refusal, Refusal::Unauthorized { detail: "GET /contacts/lids/5511988887777: 401 Unauthorized".into() });
    let refusal = refused(|| error(StatusCode::UNAUTHORIZED, "Need channel authorization"), &lid()).await;
    let detail = "GET /contacts/lids/5511988887777: 401 Need channel authorization".to_owned();
    assert_eq!(refusal, Refusal::SessionLost { detail });
}

#[tokio::test]
async fn a_plan_that_is_used_up_waits_for_a_person_and_a_quota_that_names_a_wait_for_its_end() {
    let used_up = || error(StatusCode::PAYMENT_REQUIRED, "Trial version limit exceeded");
    assert!(matches!(refused(used_up, &history()).await, Refusal::Unauthorized { .. }));
    let quota = move || ([(header::RETRY_AFTER, "90")], used_up()).into_response();
    let Refusal::Throttled { level, retry_after, .. } = refused(quota, &history()).await else {
        panic!("not throttled")
    };
    assert_eq!((level, retry_after), (Level::Channel, Some(Duration::from_secs(90))));
}

#[tokio::test]
async fn a_429_is_honoured_with_retry_after_and_without_it() {
    for (said, expected) in [(Some("7"), Some(Duration::from_secs(7))), (None, None)] {
        let answer = move || {
            let header = said.map(|said| [(header::RETRY_AFTER, said)]);
            (header, error(StatusCode::TOO_MANY_REQUESTS, "Too many requests")).into_response()
        };
        let Refusal::Throttled { level, retry_after, .. } = refused(answer, &history()).await else {
            panic!("{said:?}")
        };
        assert_eq!((level, retry_after), (Level::Channel, expected));
    }
}

#[tokio::test]
async fn only_auth_works_whatever_else_the_status_says_and_new_words_are_tolerated() {
    for word in ["NOT_INIT", "INIT", "LAUNCH", "QR", "ERROR", "SYNC_ERROR", "STOP", "BRAND_NEW"] {
        let refusal = refused(move || ok(&json!({"status": {"code": 4, "text": word}})), &Call::Status).await;
        let Refusal::SessionLost { detail } = refusal else { panic!("{word}: {refusal}") };
        assert!(detail.starts_with(&format!("GET /health: the channel is {word}")), "{detail}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_beginning() {
    let name = format!("GET /messages/list/{PHONE}");
    for (body, cause) in [
        ("<!doctype html>\n<h1>It works</h1>", "no JSON, at line 1 column 1: <!doctype html> <h1>It works</h1>"),
        (r#"{"messages":[{"id":1"#, r#"JSON that ends too early, at line 1 column 20: {"messages":[{"id":1"#),
        (r#"{"messages":"unexpected"}"#, r#"a history that is JSON of another shape: {"messages":"unexpected"}"#),
        (r#"{"count":25}"#, r#"a history without `messages`: {"count":25}"#),
        ("", "an empty body"),
    ] {
        let refusal = refused(move || body.into_response(), &history()).await;
        let detail = format!("{name}: the answer is {cause}");
        assert_eq!(refusal, Refusal::Transient { code: "unreadable_answer", detail });
    }
    let refusal = refused(|| r#"{"contacts":{}}"#.into_response(), &Call::Contacts { cursor: None }).await;
    assert!(matches!(refusal, Refusal::Transient { code: "unreadable_answer", .. }), "{refusal}");
}
