//! What a broken transport means, whichever gateway is behind it.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sincro_core::gateway::{Answer, Refusal};
use sincro_providers::GatewaySettings;

use crate::gate::{Gate, call, call_with, history, listener, settings};

/// 65,536 blanks in 92 bytes.
const BOMB: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x81\x00\x00\x00\x00\x80\x20\x95\xfd\x29\x17\xa9\x0a\
\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x6a\x94\x19\x2c\xb4\x00\x00\x01\x00";
/// `{"code":200,"data":null,"success":true}`.
const ZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\xce\x4f\x49\x55\xb2\x32\x32\x30\xd0\x51\x4a\x49\
\x2c\x49\x54\xb2\xca\x2b\xcd\xc9\xd1\x51\x2a\x2e\x4d\x4e\x4e\x2d\x2e\x56\xb2\x2a\x29\x2a\x4d\xad\x05\x00\x26\x4b\xdb\x97\x27\
\x00\x00\x00";

fn zipped(body: &'static [u8]) -> Response {
    ([(header::CONTENT_ENCODING, "gzip")], body).into_response()
}

fn small() -> GatewaySettings {
    GatewaySettings { max_body_bytes: 8_192, ..settings() }
}

#[track_caller]
fn transient(outcome: Result<Answer, Refusal>, expected: &str) -> String {
    match outcome {
        Err(Refusal::Transient { code, detail }) if code == expected => {
            assert!(detail.starts_with("GET /chat/history: "), "{detail}");
            assert!(!detail.contains("5511988887777"), "the query shows: {detail}");
            detail
        }
        other => panic!("expected {expected}, not {other:?}"),
    }
}

/// The detail of a refusal that says that nobody is there.
fn unreachable(outcome: Result<Answer, Refusal>) -> String {
    match outcome {
        Err(Refusal::Unreachable { detail }) => {
            assert!(detail.starts_with("GET /chat/history: no connection"), "{detail}");
            detail
        }
        other => panic!("expected an unreachable gateway, not {other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_that_never_answers_is_a_timeout() {
    let silent = listener().await;
    let settings = GatewaySettings { call_timeout: Duration::from_millis(50), ..settings() };
    let outcome = call_with(&settings, &format!("http://{}", silent.local_addr().unwrap()), &history()).await;
    assert_eq!(transient(outcome, "timeout"), "GET /chat/history: no complete answer within 50ms (0 bytes of it came)");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_a_connection_refused() {
    let gone = listener().await.local_addr().unwrap();
    let detail = unreachable(call(&format!("http://{gone}"), &history()).await);
    assert!(detail.contains("Connection refused"), "{detail}");
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_a_connection_failure_that_says_so() {
    let detail = unreachable(call("http://gate.invalid", &history()).await);
    assert!(detail.starts_with("GET /chat/history: no connection: "), "{detail}");
}

#[tokio::test]
async fn tls_that_is_none_is_a_connection_failure_and_so_is_one_that_never_comes_about() {
    let gate = Gate::sending(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    unreachable(call(&gate.url().replace("http:", "https:"), &history()).await);
    let silent = listener().await;
    let settings = GatewaySettings { connect_timeout: Duration::from_millis(50), ..settings() };
    let outcome = call_with(&settings, &format!("https://{}", silent.local_addr().unwrap()), &history()).await;
    assert_eq!(unreachable(outcome), "GET /chat/history: no connection within 50ms");
}

#[tokio::test]
async fn a_connection_cut_before_the_head_or_within_the_body_says_how_far_it_came() {
    for (bytes, cause) in [
        (&b""[..], "no answer: "),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "no answer: "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", "the answer broke off after 0 bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"code\":200", "the answer broke off after 11 bytes"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"cod\r\n", "the answer broke off after 5 bytes"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "no answer: "),
    ] {
        let gate = Gate::sending(bytes).await;
        let detail = transient(call(&gate.url(), &history()).await, "connection");
        assert!(detail.contains(cause), "{cause}: {detail}");
    }
}

#[tokio::test]
async fn the_status_of_an_error_counts_even_when_its_body_breaks_off() {
    let gate = Gate::sending(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 500\r\n\r\n{\"code\"").await;
    assert!(matches!(call(&gate.url(), &history()).await, Err(Refusal::Unauthorized { .. })));
}

#[tokio::test]
async fn an_answer_over_the_limit_is_given_up_however_its_length_is_told() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 8193\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        let gate = Gate::sending(bytes).await;
        let outcome = call_with(&small(), &gate.url(), &history()).await;
        assert!(matches!(outcome, Err(Refusal::Transient { .. })), "{outcome:?}");
    }
    let gate = Gate::answering(|| "0,".repeat(40_000).into_response()).await;
    let detail = transient(call_with(&small(), &gate.url(), &history()).await, "body_too_large");
    assert_eq!(detail, "GET /chat/history: the answer is longer than 8192 bytes");
}

#[tokio::test]
async fn compression_is_understood_and_counted_by_what_it_unpacks_to() {
    let gate = Gate::answering(|| zipped(ZIPPED)).await;
    assert!(matches!(call(&gate.url(), &history()).await, Ok(Answer::History(_))));
    let gate = Gate::answering(|| zipped(BOMB)).await;
    transient(call_with(&small(), &gate.url(), &history()).await, "body_too_large");
    let gate = Gate::answering(|| zipped(b"no gzip")).await;
    let detail = transient(call(&gate.url(), &history()).await, "unreadable_answer");
    assert!(detail.starts_with("GET /chat/history: the answer is garbled after 0 bytes: "), "{detail}");
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let elsewhere = Gate::answering(|| "{}".into_response()).await;
    let location = format!("{}/login?next=secret", elsewhere.url());
    let gate =
        Gate::answering(move || (StatusCode::FOUND, [(header::LOCATION, location.clone())]).into_response()).await;
    let Err(Refusal::Permanent { code: "redirect", detail }) = call(&gate.url(), &history()).await else {
        panic!("not refused")
    };
    assert_eq!(
        detail,
        "GET /chat/history: 302 redirects to 127.0.0.1; redirects are not followed, so base_url has to be the final address"
    );
    assert_eq!(elsewhere.arrivals(), []);
    let gate = Gate::answering(|| StatusCode::NOT_MODIFIED.into_response()).await;
    let refusal = call(&gate.url(), &history()).await.unwrap_err();
    assert!(refusal.to_string().contains("304 redirects without saying where to"), "{refusal}");
}
