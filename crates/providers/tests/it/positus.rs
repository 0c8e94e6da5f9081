//! Positus: what is sent, what its answers become, and the questions its webhooks begin with.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use sincro_core::{
    channel::Connection,
    gateway::{Answer, Call, Refusal},
    hook::{Event, Proof},
    provider::Provider,
};
use sincro_providers::{Answered, GatewaySettings, challenge, prove};

use crate::gate::{
    Gate, PHONE, TOKEN, ask_over, connection_with, history, lid, listener, settings, told, top_up, whole,
};

const HISTORY: Call = Call::RequestHistory { count: 25 };

fn connection(base_url: &str) -> Connection {
    let credentials = json!({"access_token": TOKEN, "number_id": "n 1/x", "phone_number_id": "1060", "app_secret": "s3cret",
        "verify_token": "t0ken"});
    connection_with(Provider::Positus, base_url, &credentials)
}

async fn ask(base_url: &str, call: &Call) -> Result<Answered, Refusal> {
    ask_over(&settings(), &connection(base_url), call).await
}

async fn refused(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, asked: &Call) -> Refusal {
    let gate = Gate::answering(answer).await;
    ask(&gate.url(), asked).await.expect_err("a refusal")
}

#[tokio::test]
async fn contacts_and_history_are_asked_for_under_the_number_s_own_path() {
    let gate = Gate::answering(|| json!({"message": "ok"}).to_string().into_response()).await;
    for (asked, last) in [(Call::RequestContacts, "sync-contacts"), (HISTORY, "sync-message-history")] {
        drop(ask(&gate.url(), &asked).await);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!(arrival.method, "POST");
        assert_eq!(arrival.target, format!("/v2/whatsapp/numbers/n%201%2Fx/onboarding-smb-app/{last}"));
        assert_eq!(arrival.authorization, Some(format!("Bearer {TOKEN}")));
    }
    assert_eq!(gate.arrivals().len(), 2, "a call is one request");
}

#[tokio::test]
async fn any_good_status_is_accepted_and_kept_as_it_came() {
    for (status, body, told) in [
        (StatusCode::OK, r#"{"message":"Sync started"}"#, r#"200 {"message":"Sync started"}"#),
        (
            StatusCode::OK,
            r#"{"messaging_product":"whatsapp","request_id":"req-1"}"#,
            r#"200 {"messaging_product":"whatsapp","request_id":"req-1"}"#,
        ),
        (StatusCode::ACCEPTED, "", "202"),
        (StatusCode::OK, "<html>\n odd hush-hush-4711", "200 <html> odd ***"),
    ] {
        let gate = Gate::answering(move || (status, body).into_response()).await;
        let answer = ask(&gate.url(), &HISTORY).await.map(whole);
        let Ok(Answer::Accepted(said)) = answer else { panic!("{answer:?}") };
        assert_eq!(said, told);
    }
    let gate = Gate::answering(|| "x".repeat(1_500).into_response()).await;
    let Ok(Answer::Accepted(said)) = ask(&gate.url(), &HISTORY).await.map(whole) else { panic!() };
    assert_eq!(said.len(), "200 ".len() + 1_500, "what nobody has documented is kept whole");
}

#[tokio::test]
async fn a_second_request_in_one_onboarding_is_refused_for_good() {
    let second = || {
        let error =
            json!({"error": {"message": "(#4) Sync request limit exceeded", "type": "OAuthException", "code": 4}});
        (StatusCode::BAD_REQUEST, error.to_string()).into_response()
    };
    let refusal = refused(second, &HISTORY).await;
    assert!(matches!(&refusal, Refusal::Permanent { code: "already_requested", .. }), "{refusal}");
    assert!(refusal.to_string().contains("Sync request limit exceeded (4)"), "{refusal}");
}

#[tokio::test]
async fn a_blind_retry_is_not_safe_so_what_nobody_knows_is_told_from_what_was_not_taken() {
    let silent = listener().await;
    let impatient = GatewaySettings { call_timeout: Duration::from_millis(50), ..settings() };
    let url = format!("http://{}", silent.local_addr().unwrap());
    let unknown = ask_over(&impatient, &connection(&url), &HISTORY).await.unwrap_err();
    assert!(matches!(unknown, Refusal::Transient { code: "timeout", .. }), "{unknown}");
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE] {
        let answer = move || (status, [("retry-after", "5")], r#"{"message":"Server Error"}"#).into_response();
        let unknown = refused(answer, &HISTORY).await;
        assert!(matches!(unknown, Refusal::Transient { code: "gateway_error", .. }), "{unknown}");
    }
    let bad = || {
        (StatusCode::UNPROCESSABLE_ENTITY, r#"{"message":"Bad request","errors":[{"code":"9","title":"No"}]}"#)
            .into_response()
    };
    assert!(matches!(refused(bad, &HISTORY).await, Refusal::Permanent { code: "bad_request", .. }));
    let token = || (StatusCode::UNAUTHORIZED, r#"{"message":"Unauthenticated."}"#).into_response();
    assert!(matches!(refused(token, &HISTORY).await, Refusal::Unauthorized { .. }));
    let fast = || {
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], r#"{"message":"Too Many Attempts."}"#).into_response()
    };
    let refusal = refused(fast, &HISTORY).await;
    assert!(matches!(refusal, Refusal::Throttled { retry_after: Some(_), .. }), "{refusal}");
}

#[tokio::test]
async fn there_is_no_pull_and_no_status_and_no_lid() {
    let gate = Gate::answering(|| "{}".into_response()).await;
    let connect = Call::Connect { url: "https://sincro".into(), kept: None };
    let message = Call::Message { id: "wamid.A".into(), resync: false };
    let contacts = Call::Contacts { cursor: None };
    for call in [Call::Status, contacts, history(), lid(), top_up(PHONE, false), message, Call::Subscriptions, connect]
    {
        let refusal = ask(&gate.url(), &call).await.unwrap_err();
        let detail = format!("positus has no call for {}", call.name());
        assert_eq!(refusal, Refusal::Permanent { code: "not_supported", detail });
    }
    assert_eq!(gate.arrivals(), []);
}

#[test]
fn meta_s_challenge_comes_back_to_whoever_knows_the_token() {
    let ask = |token: &'static str| {
        challenge(&connection("http://gate"), &move |name: &str| {
            let value = match name {
                "hub.mode" => "subscribe",
                "hub.verify_token" => token,
                "hub.challenge" => "1158201444",
                _ => return None,
            };
            Some(value.to_owned())
        })
    };
    assert_eq!(ask("t0ken"), Some(Ok("1158201444".to_owned())));
    assert_eq!(ask("T0ken"), Some(Err(())));
}

#[test]
fn a_webhook_is_signed_with_the_app_s_secret() {
    // printf 'hello' | openssl dgst -sha256 -hmac s3cret
    let signed = "sha256=e5a01537481fa0b2c697f787c7aff885412cf0760d08e08502259b39d2d6ae68";
    let proof =
        prove(&connection("http://gate"), &|name: &str| (name == "x-hub-signature-256").then(|| signed.to_owned()));
    let Proof::Signature(mut seal) = proof else { panic!("{proof:?}") };
    seal.take(b"hello");
    assert!(seal.holds());
}

#[tokio::test]
async fn one_webhook_can_hold_thousands_of_messages_and_none_of_it_at_once() {
    let thread = |person: u32| {
        let messages: Vec<_> = (0..30)
            .map(|n| json!({"from": format!("55119{person:08}"), "id": format!("wamid.{person}.{n}"), "timestamp": "1766000000", "type": "text", "text": {"body": "oi"}}))
            .collect();
        json!({"id": format!("55119{person:08}"), "messages": messages})
    };
    let threads: Vec<_> = (0..100).map(thread).collect();
    let body = json!({"field": "history", "value": {"metadata": {"phone_number_id": "1060"},
        "history": [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 100}, "threads": threads}]}});
    let told = told(&connection("http://gate"), "application/json", body.to_string().as_bytes()).await.unwrap();
    let batches =
        || told.iter().filter_map(|told| if let Event::Messages(batch) = &told.event { Some(batch) } else { None });
    assert_eq!(batches().map(|batch| batch.messages.len()).sum::<usize>(), 3_000);
    assert!(batches().count() >= 100);
    assert!(matches!(&told.last().unwrap().event, Event::Progress(progress) if progress.percent == Some(100)));
}
