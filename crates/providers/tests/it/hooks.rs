//! The doors for webhooks: what is read of any body, in pieces, and whether an address is answered at all.

use std::sync::Arc;

use axum::{http::StatusCode, response::IntoResponse as _};
use serde_json::{Value, json};
use sincro_core::{
    channel::Connection,
    hook::{Event, Told},
    provider::Provider,
};
use sincro_providers::{Gateways, challenge, read_hook};

use crate::gate::{Gate, PHONE, connection_with, listener, settings, told};

fn connection() -> Connection {
    connection_with(Provider::Wsapi, "http://gate", &json!({"api_key": "k", "instance_id": "ins_7"}))
}

/// A history of so many messages with so many characters of text each.
fn body(messages: usize, text: usize) -> String {
    let messages: Vec<Value> = (0..messages)
        .map(|id| {
            json!({"id": format!("M{id}"), "time": "2025-12-01T08:00:00Z", "type": "text", "text": "x".repeat(text)})
        })
        .collect();
    json!({"eventType": "message_history_sync", "eventData": {"chatId": PHONE, "messages": messages}}).to_string()
}

fn messages(told: &[Told]) -> usize {
    let count = |told: &Told| if let Event::Messages(batch) = &told.event { batch.messages.len() } else { 0 };
    told.iter().map(count).sum()
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_and_bytes_that_are_no_text_are_replaced() {
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    bytes.extend_from_slice(body(1, 3).replace("xxx", "a?b").as_bytes());
    let odd = bytes.iter().position(|&byte| byte == b'?').unwrap();
    bytes[odd] = 0xff;
    let told = told(&connection(), "", &bytes).await.unwrap();
    let [Told { event: Event::Messages(batch), .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(batch.messages[0].text.as_deref(), Some("a\u{fffd}b"));
}

#[tokio::test]
async fn a_body_that_is_not_understood_says_why() {
    for &provider in Provider::ALL {
        let connection = connection_with(provider, "http://gate", &json!({}));
        for body in ["", "<html>hush</html>", "7", "{\"hush"] {
            let flaw = told(&connection, "application/json", body.as_bytes()).await.unwrap_err();
            assert!(!flaw.is_empty() && !flaw.contains("hush"), "{provider}: {flaw}");
        }
    }
}

#[tokio::test]
async fn an_object_that_nobody_knows_is_one_unknown_event() {
    for &provider in Provider::ALL {
        let connection = connection_with(provider, "http://gate", &json!({}));
        let told = told(&connection, "application/json", br#"{"something":{"new":1}}"#).await.unwrap();
        assert!(matches!(&told[..], [Told { event: Event::Unknown, .. }]), "{provider}: {told:?}");
    }
}

#[tokio::test]
async fn what_came_before_a_body_breaks_off_is_told_and_the_flaw_behind_it() {
    let mut pieces = read_hook(Arc::new(connection()), String::new(), {
        let mut whole = body(1_500, 3);
        whole.truncate(whole.len() - 40);
        whole.into_bytes()
    });
    let mut seen = 0;
    let flaw = loop {
        match pieces.next().await {
            Ok(Some(piece)) => seen += messages(&piece),
            Ok(None) => panic!("it has no end"),
            Err(flaw) => break flaw,
        }
    };
    assert!(flaw.contains("ends too early"), "{flaw}");
    assert_eq!(seen % 500, 0, "{seen}");
}

#[tokio::test]
async fn large_bodies_wait_for_each_other_and_one_that_nobody_wants_holds_nobody_up() {
    let large = body(2_000, 1_000);
    assert!(large.len() > 1_024 * 1_024);
    let begun = || read_hook(Arc::new(connection()), String::new(), large.clone().into_bytes());
    let mut first = begun();
    let piece = first.next().await.unwrap().unwrap();
    assert_eq!(messages(&piece), 500, "no further ahead than a piece");
    let unwanted = begun();
    drop(unwanted);
    let mut last = begun();
    // A small one is in nobody's way.
    assert_eq!(messages(&told(&connection(), "", body(3, 3).as_bytes()).await.unwrap()), 3);
    drop(first);
    let mut seen = 0;
    while let Some(piece) = last.next().await.unwrap() {
        assert!(messages(&piece) <= 500);
        seen += messages(&piece);
    }
    assert_eq!(seen, 2_000);
}

#[tokio::test]
async fn a_knock_is_answered_by_any_good_status_and_says_what_came_instead() {
    let gateways = Gateways::new(&settings()).unwrap();
    for status in [StatusCode::OK, StatusCode::NO_CONTENT] {
        let gate = Gate::answering(move || status.into_response()).await;
        assert_eq!(gateways.knock(&format!("{}/hooks/wsapi/secret", gate.url())).await, Ok(()));
        assert_eq!(gate.arrivals()[0].method, "GET");
    }
    let gate = Gate::answering(|| StatusCode::NOT_FOUND.into_response()).await;
    assert_eq!(gateways.knock(&gate.url()).await, Err("answered with status 404".to_owned()));
    let gone = listener().await.local_addr().unwrap();
    let flaw = gateways.knock(&format!("http://{gone}/hooks/wsapi/secret")).await.unwrap_err();
    assert!(flaw.contains("refused") && !flaw.contains("secret"), "{flaw}");
    assert!(gateways.knock("no address").await.is_err());
}

#[test]
fn nobody_but_meta_asks_whether_an_address_is_ours() {
    for &provider in Provider::ALL {
        let connection = connection_with(provider, "http://gate", &json!({}));
        assert_eq!(challenge(&connection, &|_| None), None, "{provider}");
    }
}
