//! gdbrns: what is sent, and what the answers of its page become.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sincro_core::{
    address::Address,
    channel::Connection,
    gateway::{Answer, Call, Refusal, Session},
    hook::Proof,
    provider::Provider,
};
use sincro_providers::{Answered, capabilities, prove};

use crate::gate::{
    Gate, PHONE, TOKEN, ask_over, connection_with, history, lid, listed, pieces, settings, top_up, whole,
};

fn connection(base_url: &str) -> Connection {
    connection_with(Provider::Gdbrns, base_url, &json!({"token": TOKEN, "webhook_secret": "s3cret"}))
}

async fn ask(base_url: &str, call: &Call) -> Result<Answered, Refusal> {
    ask_over(&settings(), &connection(base_url), call).await
}

fn ok(data: &Value) -> Response {
    json!({"status": true, "code": 200, "message": "..", "data": data}).to_string().into_response()
}

fn error(status: StatusCode, text: &str) -> Response {
    // The page's example of a 500 has this code in its body.
    (status, json!({"status": false, "code": 400, "message": "Failed", "error": text}).to_string()).into_response()
}

async fn refused(answer: impl Fn() -> Response + Clone + Send + Sync + 'static, asked: &Call) -> Refusal {
    let gate = Gate::answering(answer).await;
    ask(&gate.url(), asked).await.expect_err("a refusal")
}

fn connect() -> Call {
    Call::Connect { url: "https://sincro.example/hooks/gdbrns/abc".into(), kept: None }
}

#[tokio::test]
async fn every_call_goes_to_its_path_with_the_word_bearer_before_the_token() {
    let gate = Gate::answering(|| "{}".into_response()).await;
    for (asked, method, target) in [
        (Call::Status, "GET", "/devices/me/status"),
        (Call::Contacts { cursor: None }, "GET", "/users/me/contacts"),
        (Call::RequestHistory { count: 25 }, "POST", "/history/sync"),
        (Call::Subscriptions, "GET", "/webhooks"),
        (connect(), "POST", "/webhooks"),
    ] {
        drop(ask(&gate.url(), &asked).await);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!((arrival.method.as_str(), arrival.target.as_str()), (method, target));
        assert_eq!(arrival.authorization, Some(format!("Bearer {TOKEN}")), "without the word it is refused");
    }
}

#[tokio::test]
async fn the_count_is_kept_to_what_the_description_allows_because_the_gateway_checks_nothing() {
    let gate = Gate::answering(|| ok(&json!({"requested": true}))).await;
    for (count, sent) in [(0, 1), (25, 25), (100, 100), (5_000, 100)] {
        let answer = ask(&gate.url(), &Call::RequestHistory { count }).await.map(whole);
        assert!(matches!(answer, Ok(Answer::Accepted(_))), "{answer:?}");
        assert_eq!(gate.arrivals().pop().unwrap().body, json!({"count": sent}).to_string());
    }
}

#[tokio::test]
async fn a_request_is_accepted_and_its_note_is_kept_because_it_proves_nothing() {
    let page = r#"{"status":true,"code":200,"message":"History sync requested","data":{"requested":true,"count":25,"note":"..."}}"#;
    let gate = Gate::answering(move || page.into_response()).await;
    let answer = ask(&gate.url(), &Call::RequestHistory { count: 25 }).await.map(whole);
    let Ok(Answer::Accepted(said)) = answer else { panic!("{answer:?}") };
    assert_eq!(said, format!("200 {page}"));
    assert!(!capabilities(Provider::Gdbrns).unwrap().bodies, "it delivers no message bodies");
}

#[tokio::test]
async fn the_http_status_is_trusted_and_not_the_code_in_the_body() {
    let once = Call::RequestHistory { count: 25 };
    let refusal = refused(|| error(StatusCode::INTERNAL_SERVER_ERROR, "boom"), &once).await;
    assert_eq!(
        refusal,
        Refusal::Transient { code: "gateway_error", detail: "POST /history/sync: 500 Failed: boom".into() }
    );
    for text in ["WhatsApp client is not valid", "client is not connected", "client is not logged in"] {
        let refusal = refused(move || error(StatusCode::INTERNAL_SERVER_ERROR, text), &once).await;
        assert!(matches!(refusal, Refusal::SessionLost { .. }), "{refusal}");
    }
    assert!(matches!(refused(|| error(StatusCode::UNAUTHORIZED, "token"), &once).await, Refusal::Unauthorized { .. }));
    assert!(matches!(refused(|| error(StatusCode::BAD_REQUEST, "parse"), &once).await, Refusal::Permanent { .. }));
}

#[tokio::test]
async fn status_and_contacts_of_the_page_are_read() {
    let gate = Gate::answering(|| {
        ok(&json!({"db_status": "active", "client_loaded": true, "connected": true, "is_connected": true, "is_logged_in": true, "error": ""}))
    })
    .await;
    let Ok(Answer::Session(session)) = ask(&gate.url(), &Call::Status).await.map(whole) else { panic!("no session") };
    assert_eq!(
        Session { clock: None, ..session },
        Session { connected: true, logged_in: true, keeps_history: None, clock: None }
    );

    let gate = Gate::answering(|| {
        ok(&json!([{"jid": PHONE, "push_name": "ana", "business_name": "", "full_name": "Ana P", "first_name": "Ana"},
            {"jid": "190000000000001@lid", "push_name": "ana"}, {"jid": "1203@g.us"}]))
    })
    .await;
    let list = listed(ask(&gate.url(), &Call::Contacts { cursor: None }).await.unwrap());
    assert_eq!(list.left_out, 1);
    let contacts = pieces(list).await.unwrap().remove(0).contacts;
    assert_eq!(contacts[0].phone().map(Address::as_str), Some(PHONE));
    assert_eq!(contacts[0].name.as_deref(), Some("Ana P"));
    assert_eq!(contacts[1].lid().map(Address::as_str), Some("190000000000001@lid"), "the store has both kinds");
    let gate = Gate::answering(|| ok(&Value::Null)).await;
    let list = listed(ask(&gate.url(), &Call::Contacts { cursor: None }).await.unwrap());
    assert!(pieces(list).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_registration_says_which_events_and_its_secret_is_shown_to_nobody() {
    let secret = "00ff".repeat(16);
    let answer = ok_text(&json!({"webhook_id": "w1", "secret": secret}));
    let gate = Gate::answering(move || answer.clone().into_response()).await;
    let answered = ask(&gate.url(), &connect()).await.unwrap();
    assert!(!format!("{answered:?}").contains("00ff"), "{answered:?}");
    let Answer::Connected(Some(made)) = whole(answered) else { panic!("no secret") };
    assert_eq!(made.expose_secret(), "00ff".repeat(16));
    let sent: Value = serde_json::from_str(&gate.arrivals()[0].body).unwrap();
    assert_eq!(sent["url"], "https://sincro.example/hooks/gdbrns/abc");
    let events = sent["events"].as_array().unwrap();
    assert!(events.contains(&json!("history.sync")) && events.contains(&json!("history.sync_complete")), "{sent}");

    let broken = format!(r#"{{"status":true,"data":{{"secret":"{}"#, "00ff".repeat(16));
    let refusal = refused(move || broken.clone().into_response(), &connect()).await;
    assert!(!refusal.to_string().contains("00ff"), "{refusal}");
}

fn ok_text(data: &Value) -> String {
    json!({"status": true, "code": 201, "data": data}).to_string()
}

#[tokio::test]
async fn what_is_not_subscribed_to_is_missing() {
    let gate = Gate::answering(|| {
        ok(&json!([{"webhook_id": "w1", "url": "https://sincro", "events": ["history.sync", "connection.logged_out"], "active": true}]))
    })
    .await;
    let Answer::Subscriptions(found) = whole(ask(&gate.url(), &Call::Subscriptions).await.unwrap()) else { panic!() };
    assert_eq!(
        found.receiver("https://sincro").unwrap().missing,
        ["history.sync_complete", "connection.connected", "connection.disconnected", "connection.temporary_ban"]
    );
}

#[tokio::test]
async fn there_is_no_lid_endpoint_no_history_of_a_chat_and_no_top_up() {
    let gate = Gate::answering(|| "{}".into_response()).await;
    let message = Call::Message { id: "A".into(), resync: true };
    for call in [history(), lid(), Call::RequestContacts, top_up(PHONE, false), message] {
        let refusal = ask(&gate.url(), &call).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "not_supported", .. }), "{refusal}");
    }
    assert_eq!(gate.arrivals(), []);
}

#[test]
fn a_webhook_is_signed_in_either_header() {
    // printf 'hello' | openssl dgst -sha256 -hmac s3cret
    let signed = "sha256=e5a01537481fa0b2c697f787c7aff885412cf0760d08e08502259b39d2d6ae68";
    for header in ["x-webhook-signature", "x-hub-signature-256"] {
        let proof = prove(&connection("http://gate"), &|name: &str| (name == header).then(|| signed.to_owned()));
        let Proof::Signature(mut seal) = proof else { panic!("{proof:?}") };
        seal.take(b"hello");
        assert!(seal.holds(), "{header}");
    }
    assert!(matches!(prove(&connection("http://gate"), &|_| None), Proof::Missing("x-webhook-signature")));
}
