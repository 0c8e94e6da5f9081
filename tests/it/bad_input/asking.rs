//! Requests that are not allowed, lead nowhere, or ask in words that the call does not know.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{LID, PHONE, Quiet, channel_with, sync_of};
use crate::support::Client;

const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn a_key_must_be_there_be_right_and_be_allowed() {
    let quiet = Quiet::open().await;
    let (reader, enqueuer) = (quiet.world.create_key("read").await, quiet.world.create_key("enqueue").await);
    let start = |client: &Client| client.request(Method::POST, &quiet.syncs()).json(&json!({}));
    let anonymous = quiet.api.anonymous();
    let unauthorized = (401, "unauthorized", "Authorization");
    quiet.refuses("no key", start(&anonymous), unauthorized).await;
    let shortened = &quiet.world.key[..quiet.world.key.len() - 1];
    for wrong in ["sincro", shortened, &quiet.world.key.to_uppercase(), "' OR true --"] {
        quiet.refuses(wrong, start(&quiet.api.with_key(wrong)), unauthorized).await;
    }
    for scheme in ["Basic c2luY3JvOnNpbmNybw==", &quiet.world.key, "Bearer", "Bearer "] {
        let request = start(&anonymous).header(header::AUTHORIZATION, scheme);
        quiet.refuses(scheme, request, unauthorized).await;
    }
    quiet.refuses("a key to read with", start(&quiet.api.with_key(&reader)), (403, "scope_missing", "")).await;
    let creation = channel_with("name", json!("mine"));
    let request = quiet.api.with_key(&enqueuer).request(Method::POST, "/v1/channels").json(&creation);
    quiet.refuses("a key to enqueue with", request, (403, "scope_missing", "")).await;
    // Who may not ask learns nothing about what is there, and what they sent is not looked at.
    let nonsense = anonymous.request(Method::POST, "/v1/channels/nobodys/syncs").body("nonsense");
    quiet.refuses("nonsense without a key", nonsense, unauthorized).await;
    quiet.still_works().await;
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_asked_about() {
    let quiet = Quiet::open().await;
    let no_channel = (404, "channel_not_found", "channel_id");
    let no_sync = (404, "sync_not_found", "sync_id");
    for id in [NOBODY, "7", "support", "01890a5d-ac96-774b-bcce-b302099a805", "%00", "%ff", "..%2f.."] {
        for (method, path, body) in [
            (Method::GET, String::new(), None),
            (Method::PATCH, String::new(), Some(json!({"name": "mine"}))),
            (Method::DELETE, String::new(), None),
            (Method::POST, "/pause".to_owned(), None),
            (Method::POST, "/resume".to_owned(), None),
            (Method::GET, "/messages".to_owned(), None),
            (Method::POST, "/syncs".to_owned(), Some(sync_of(&json!([{"lid": LID}])))),
            (Method::POST, format!("/contacts/{PHONE}/syncs"), Some(json!({"messages": 5}))),
        ] {
            let path = format!("/v1/channels/{id}{path}");
            let what = format!("{method} {path}");
            let mut request = quiet.api.request(method, &path);
            if let Some(body) = body {
                request = request.json(&body);
            }
            quiet.refuses(&what, request, no_channel).await;
        }
        for path in ["", "/jobs", "/receipt", "/events"] {
            let path = format!("/v1/syncs/{id}{path}");
            quiet.refuses(&path, quiet.get(&path), no_sync).await;
        }
        for verb in ["pause", "resume", "cancel", "retry"] {
            let path = format!("/v1/syncs/{id}/{verb}");
            quiet.refuses(&path, quiet.api.request(Method::POST, &path), no_sync).await;
        }
    }
    let path = format!("/v1/channels/{}/messages?address={PHONE}", quiet.channel);
    quiet.refuses(&path, quiet.get(&path), (404, "contact_not_found", "address")).await;
    quiet.still_works().await;
}

#[tokio::test]
async fn a_page_must_be_asked_for_by_what_the_call_knows() {
    let quiet = Quiet::open().await;
    let sync = quiet.api.start_ticket(quiet.channel, PHONE, 5).await.id;
    let (channels, syncs) = ("/v1/channels".to_owned(), "/v1/syncs".to_owned());
    let messages = format!("/v1/channels/{}/messages", quiet.channel);
    let (jobs, receipt) = (format!("/v1/syncs/{sync}/jobs"), format!("/v1/syncs/{sync}/receipt"));
    for list in [&channels, &syncs, &messages, &jobs, &receipt] {
        let most = if *list == receipt { 10_000 } else { 1_000 };
        for limit in ["0", "-1", "ten", "1.5", "99999999999", &(most + 1).to_string()] {
            let path = format!("{list}?limit={limit}");
            quiet.refuses(&path, quiet.get(&path), (422, "invalid_value", "limit")).await;
        }
        let path = format!("{list}?limit=1&limit=2");
        quiet.refuses(&path, quiet.get(&path), (422, "invalid_value", "limit")).await;
        let path = format!("{list}?limit=1&colour=red");
        quiet.refuses(&path, quiet.get(&path), (422, "unknown_field", "colour")).await;
        assert_eq!(quiet.api.get(&format!("{list}?limit={most}")).await.status, 200, "{list}");
    }
    for (path, field) in [
        (format!("{channels}?after=7"), "after"),
        (format!("{syncs}?after=seven"), "after"),
        (format!("{syncs}?channel_id=support"), "channel_id"),
        (format!("{syncs}?state=busy"), "state"),
        (format!("{jobs}?after=-1"), "after"),
        (format!("{jobs}?after=first"), "after"),
        (format!("{jobs}?state=completed"), "state"),
        (format!("{receipt}?after=-1"), "after"),
        (format!("{messages}?after=%00"), "after"),
    ] {
        quiet.refuses(&path, quiet.get(&path), (422, "invalid_value", field)).await;
    }
    quiet.still_works().await;
}

#[tokio::test]
async fn an_idempotency_key_must_be_one_short_visible_word() {
    let quiet = Quiet::open().await;
    let refusal = (400, "bad_idempotency_key", "Idempotency-Key");
    for key in [&b""[..], &[b'x'; 256], b"two words", b"caf\xc3\xa9"] {
        let value = header::HeaderValue::from_bytes(key).unwrap();
        let request = quiet.post(&quiet.syncs(), &json!({})).header("idempotency-key", value);
        quiet.refuses(&String::from_utf8_lossy(key), request, refusal).await;
    }
    let twice = quiet.post(&quiet.syncs(), &json!({})).header("idempotency-key", "a").header("idempotency-key", "b");
    quiet.refuses("two keys", twice, refusal).await;
    // A refused request does not use its key up.
    let keyed = |body: Value| quiet.post(&quiet.syncs(), &body).header("idempotency-key", "order-7");
    quiet
        .refuses(
            "a bad count under a key",
            keyed(json!({"messages_per_contact": 0})),
            (422, "invalid_value", "messages_per_contact"),
        )
        .await;
    let accepted = quiet.api.send(keyed(json!({}))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let sync: Value = accepted.ok();
    quiet.api.steer(sync["id"].as_str().unwrap().parse().unwrap(), "cancel").await;
    quiet.still_works().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_like_everything_else() {
    let quiet = Quiet::open().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/channels/", "/v2/channels", "/healthz/", "/hooks/wuzapi"] {
        quiet.refuses(path, quiet.get(path), (404, "not_found", "")).await;
    }
    for (method, path) in [(Method::PUT, "/v1/channels"), (Method::DELETE, "/v1/syncs"), (Method::POST, "/healthz")] {
        let what = format!("{method} {path}");
        quiet.refuses(&what, quiet.api.request(method, path), (405, "method_not_allowed", "")).await;
    }
    quiet.still_works().await;
}
