//! WSAPI: what is sent, what the answers of its page become, and what its webhooks tell through the door.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use sincro_core::{
    address::Address,
    channel::Connection,
    gateway::{Answer, Call, Refusal, Session},
    hook::{Event, Proof},
    provider::Provider,
};
use sincro_providers::{Answered, GatewaySettings, prove};

use crate::gate::{
    Gate, PHONE, TOKEN, ask_over, connection_with, history, lid, listed, listener, pieces, settings, told, top_up,
    whole,
};

fn connection(base_url: &str) -> Connection {
    let credentials = json!({"api_key": TOKEN, "instance_id": "ins_7", "signing_secret": "s3cret"});
    connection_with(Provider::Wsapi, base_url, &credentials)
}

async fn ask(base_url: &str, call: &Call) -> Result<Answered, Refusal> {
    ask_over(&settings(), &connection(base_url), call).await
}

fn flush() -> Call {
    Call::RequestHistory { count: 25 }
}

fn error(status: StatusCode, detail: &str) -> Response {
    (status, json!({"status": status.as_u16(), "detail": detail}).to_string()).into_response()
}

async fn refused(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, asked: &Call) -> Refusal {
    let gate = Gate::answering(answer).await;
    ask(&gate.url(), asked).await.expect_err("a refusal")
}

#[tokio::test]
async fn every_call_goes_to_its_path_behind_the_prefix_with_key_and_instance() {
    let gate = Gate::answering(|| "{}".into_response()).await;
    for (asked, method, target) in [
        (Call::Status, "GET", "/ws/session/status".to_owned()),
        (Call::Contacts { cursor: None }, "GET", "/ws/contacts".to_owned()),
        (flush(), "POST", "/ws/session/flush-history".to_owned()),
        (top_up(PHONE, false), "POST", format!("/ws/chats/{PHONE}/messages")),
    ] {
        drop(ask(&format!("{}/ws", gate.url()), &asked).await);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!((arrival.method.as_str(), arrival.target), (method, target));
        assert_eq!((arrival.api_key.as_deref(), arrival.instance_id.as_deref()), (Some(TOKEN), Some("ins_7")));
    }
    assert_eq!(gate.arrivals().len(), 4, "a call is one request");
}

#[tokio::test]
async fn a_lid_sender_would_be_misjudged_so_the_person_is_named_as_the_chat_is() {
    let gate = Gate::answering(|| (StatusCode::ACCEPTED, r#"{"status":"ok"}"#).into_response()).await;
    for from_me in [false, true] {
        let answer = ask(&gate.url(), &top_up(PHONE, from_me)).await.map(whole);
        assert!(matches!(answer, Ok(Answer::Accepted(_))), "{answer:?}");
        let arrival = gate.arrivals().pop().unwrap();
        let body: Value = serde_json::from_str(&arrival.body).unwrap();
        assert_eq!(body, json!({"lastMessageId": "3EB0A1", "lastMessageSenderId": PHONE, "count": 50}));
        assert_eq!(arrival.content_type.as_deref(), Some("application/json"));
    }
}

#[tokio::test]
async fn a_flush_is_accepted_with_202_or_200_or_any_other_good_status() {
    for (status, body, told) in [
        (StatusCode::ACCEPTED, r#"{"status":"ok"}"#, r#"202 {"status":"ok"}"#),
        (StatusCode::OK, r#"{"status":"ok"}"#, r#"200 {"status":"ok"}"#),
        (StatusCode::NO_CONTENT, "", "204"),
        (StatusCode::CREATED, "hush-hush-4711 and more", "201 *** and more"),
    ] {
        let gate = Gate::answering(move || (status, body).into_response()).await;
        let answer = ask(&gate.url(), &flush()).await.map(whole);
        let Ok(Answer::Accepted(said)) = answer else { panic!("{answer:?}") };
        assert_eq!(said, told);
    }
}

#[tokio::test]
async fn a_flush_whose_answer_breaks_off_behind_its_status_was_taken() {
    let gate = Gate::sending(b"HTTP/1.1 202 Accepted\r\ncontent-length: 500\r\n\r\n{\"sta").await;
    let answer = ask(&gate.url(), &flush()).await.map(whole);
    assert!(matches!(&answer, Ok(Answer::Accepted(said)) if said == "202"), "{answer:?}");
}

#[tokio::test]
async fn what_became_of_a_flush_is_known_only_where_an_answer_or_its_absence_shows_it() {
    let silent = listener().await;
    let impatient = GatewaySettings { call_timeout: Duration::from_millis(50), ..settings() };
    let url = format!("http://{}", silent.local_addr().unwrap());
    let unknown = ask_over(&impatient, &connection(&url), &flush()).await.unwrap_err();
    assert!(matches!(unknown, Refusal::Transient { code: "timeout", .. }), "{unknown}");
    let gate = Gate::sending(b"").await;
    let unknown = ask(&gate.url(), &flush()).await.unwrap_err();
    assert!(matches!(unknown, Refusal::Transient { code: "connection", .. }), "{unknown}");
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT] {
        let unknown = refused(move || error(status, "timed out"), &flush()).await;
        assert!(matches!(unknown, Refusal::Transient { code: "gateway_error", .. }), "{unknown}");
    }
    let gone = listener().await.local_addr().unwrap();
    let not_taken = ask(&format!("http://{gone}"), &flush()).await.unwrap_err();
    assert!(matches!(not_taken, Refusal::Unreachable { .. }), "{not_taken}");
    let not_taken = refused(|| error(StatusCode::BAD_REQUEST, "missing X-Instance-Id"), &flush()).await;
    assert!(matches!(not_taken, Refusal::Permanent { code: "bad_request", .. }), "{not_taken}");
}

#[tokio::test]
async fn a_device_that_is_not_paired_and_an_instance_that_is_not_there_are_a_lost_session() {
    for status in [StatusCode::CONFLICT, StatusCode::BAD_REQUEST] {
        let refusal = refused(move || error(status, "device not paired"), &flush()).await;
        let detail = format!("POST /session/flush-history: {} device not paired", status.as_u16());
        assert_eq!(refusal, Refusal::SessionLost { detail });
    }
    for call in [flush(), Call::Status] {
        let refusal = refused(|| error(StatusCode::SERVICE_UNAVAILABLE, "instance not available"), &call).await;
        assert!(matches!(refusal, Refusal::SessionLost { .. }), "nothing was done: {refusal}");
    }
}

#[tokio::test]
async fn the_status_and_the_contacts_of_the_page_are_read() {
    let status = r#"{"isConnected":true,"isLoggedIn":true,"deviceId":"5511999990000:3@s.whatsapp.net"}"#;
    let gate = Gate::answering(move || status.into_response()).await;
    let Ok(Answer::Session(session)) = ask(&gate.url(), &Call::Status).await.map(whole) else { panic!("no session") };
    assert_eq!(
        Session { clock: None, ..session },
        Session { connected: true, logged_in: true, keeps_history: None, clock: None }
    );

    let contacts = r#"[{"id":"5511988887777@s.whatsapp.net","lid":"190000000000001@lid","phone":"5511988887777",
  "fullName":"Ana P","pushName":"ana","inPhoneAddressBook":true},{"id":"1203@g.us"}]"#;
    let gate = Gate::answering(move || contacts.into_response()).await;
    let list = listed(ask(&gate.url(), &Call::Contacts { cursor: None }).await.unwrap());
    assert_eq!((list.left_out, list.next.as_deref()), (1, None));
    let ana = pieces(list).await.unwrap().remove(0).contacts.remove(0);
    assert_eq!(ana.phone().map(Address::as_str), Some(PHONE));
    assert_eq!((ana.lid().map(Address::as_str), ana.name.as_deref()), (Some("190000000000001@lid"), Some("Ana P")));
}

#[tokio::test]
async fn a_contact_list_that_is_none_is_said_with_its_beginning() {
    let refusal = refused(|| "<h1>It works</h1>".into_response(), &Call::Contacts { cursor: None }).await;
    let detail = "GET /contacts: the answer is no JSON, at line 1 column 1: <h1>It works</h1>".to_owned();
    assert_eq!(refusal, Refusal::Transient { code: "unreadable_answer", detail });
    let refusal = refused(|| error(StatusCode::CONFLICT, "device not paired"), &Call::Contacts { cursor: None }).await;
    assert!(matches!(refusal, Refusal::SessionLost { .. }), "{refusal}");
}

#[tokio::test]
async fn calls_it_has_not_are_refused_for_good_and_not_sent() {
    let gate = Gate::answering(|| "{}".into_response()).await;
    let connect = Call::Connect { url: "https://sincro".into(), kept: None };
    for call in [history(), lid(), Call::RequestContacts, Call::Subscriptions, connect] {
        let refusal = ask(&gate.url(), &call).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "not_supported", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[tokio::test]
async fn a_chat_of_a_flush_comes_in_pieces_of_500_messages() {
    let messages: Vec<Value> = (0..1_200)
        .map(|id| json!({"id": format!("M{id}"), "time": "2025-12-01T08:00:00Z", "type": "text", "text": "oi"}))
        .collect();
    let body = json!({"eventType": "message_history_sync", "instanceId": "ins_7",
        "eventData": {"chatId": PHONE, "messages": messages}});
    let told = told(&connection("http://gate"), "application/json", body.to_string().as_bytes()).await.unwrap();
    let lengths: Vec<usize> = told
        .iter()
        .map(|told| match &told.event {
            Event::Messages(batch) => batch.messages.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [500, 500, 200]);
    assert!(told.iter().all(|told| told.name == "message_history_sync"));
}

#[test]
fn a_webhook_is_signed_behind_a_prefix() {
    // printf 'hello' | openssl dgst -sha256 -hmac s3cret
    const SIGNED: &str = "e5a01537481fa0b2c697f787c7aff885412cf0760d08e08502259b39d2d6ae68";
    let signed = |value: String| {
        prove(&connection("http://gate"), &move |name: &str| (name == "x-webhook-signature").then(|| value.clone()))
    };
    for (bytes, holds) in [(b"hello", true), (b"hullo", false)] {
        let Proof::Signature(mut seal) = signed(format!("sha256={SIGNED}")) else { panic!("no signature") };
        seal.take(bytes);
        assert_eq!(seal.holds(), holds);
    }
    assert!(matches!(signed(SIGNED.to_owned()), Proof::Missing("x-webhook-signature")), "without its prefix");
}
