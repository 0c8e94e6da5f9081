//! Webhooks come in: kept as they are, answered at once, refused where they show no right to come.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use url::Url;
use uuid::Uuid;

use crate::support::{Api, Client, World, within};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const MB: usize = 1024 * 1024;

/// A channel with a key for signatures, and the address for its webhooks.
async fn signed(api: &Client, key: Option<&str>) -> (Uuid, String) {
    let body = json!({
        "name": "hooked", "provider": "wuzapi", "base_url": "http://127.0.0.1:9", "features": [],
        "credentials": {"token": "t", "hmac_key": key},
        "limit": {"rate_per_second": 1.0, "burst": 1, "concurrency": 1},
    });
    let channel: Value = api.post_json("/v1/channels", &body).await.ok();
    (channel["id"].as_str().unwrap().parse().unwrap(), channel["hook_url"].as_str().unwrap().to_owned())
}

fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    hex(hmac::sign(&key, body).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

async fn send(api: &Client, url: &str, body: impl Into<Body>, signature: Option<String>) -> u16 {
    let path = url.parse::<Url>().unwrap().path().to_owned();
    let request = api.anonymous().request(Method::POST, &path).header("content-type", "application/json");
    let request = match signature {
        Some(signature) => request.header("x-hmac-signature", signature),
        None => request,
    };
    api.send(request.body(body.into())).await.status
}

#[tokio::test]
async fn a_webhook_is_kept_byte_for_byte_however_long_it_is() {
    let world = World::new().await;
    let api = world.api().await;
    let (_, url) = signed(&api, Some(KEY)).await;
    for bytes in [0, 1, MB - 1, MB, MB + 1, 3 * MB, 5 * MB + 17] {
        let body: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
        assert_eq!(send(&api, &url, body.clone(), Some(signature(&body))).await, 200, "{bytes}");
        let kept = "SELECT count(*) FROM inbox i WHERE state = 'unread' AND verified
                      AND bytes = (SELECT coalesce(sum(length(body)), 0) FROM inbox_parts WHERE inbox_id = i.id)";
        assert!(world.number(kept).await > 0);
        let sum =
            "SELECT encode(sha256(string_agg(p.body, ''::bytea ORDER BY p.part)), 'hex') AS digest FROM inbox_parts p
                      WHERE p.inbox_id = (SELECT max(id) FROM inbox)";
        assert_eq!(world.rows(sum).await[0]["digest"], hex(digest::digest(&digest::SHA256, &body).as_ref()), "{bytes}");
    }
    assert_eq!(world.number("SELECT count(*) FROM inbox WHERE state = 'unread'").await, 7);
}

#[tokio::test]
async fn a_webhook_without_the_right_signature_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let api = world.api().await;
    let (_, url) = signed(&api, Some(KEY)).await;
    for bytes in [10, 2 * MB] {
        let body = vec![7; bytes];
        for wrong in [None, Some(String::new()), Some(signature(b"another body"))] {
            assert_eq!(send(&api, &url, body.clone(), wrong).await, 401);
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM inbox").await, 0);
    let metrics = api.get("/metrics").await.body;
    assert!(metrics.contains("sincro_hooks_total{provider=\"wuzapi\",result=\"refused\"} 6\n"), "{metrics}");
}

#[tokio::test]
async fn a_channel_without_a_secret_takes_what_comes_to_its_address_and_says_that_nothing_showed_its_origin() {
    let world = World::new().await;
    let api = world.api().await;
    let (channel, url) = signed(&api, None).await;
    assert_eq!(send(&api, &url, "{}", None).await, 200);
    let kept = world.rows("SELECT channel_id, verified, content_type, state FROM inbox").await;
    assert_eq!(
        kept,
        [json!({"channel_id": channel, "verified": false, "content_type": "application/json", "state": "unread"})]
    );
}

#[tokio::test]
async fn an_address_that_belongs_to_no_channel_takes_nothing() {
    let world = World::new().await;
    let api = world.api().await;
    let (_, url) = signed(&api, None).await;
    for nowhere in [url.clone() + "x", url.replace("wuzapi", "whapi"), url.replace("wuzapi", "signal")] {
        assert_eq!(send(&api, &nowhere, "{}", None).await, 404, "{nowhere}");
    }
    assert_eq!(world.number("SELECT count(*) FROM inbox").await, 0);
}

#[tokio::test]
async fn a_webhook_that_is_too_long_is_refused_and_leaves_nothing() {
    let world = World::with(&[("SINCRO_HOOK_MAX_BODY_MB", "2")]).await;
    let api = world.api().await;
    let (_, url) = signed(&api, None).await;
    assert_eq!(send(&api, &url, vec![7; 2 * MB], None).await, 200);
    assert_eq!(send(&api, &url, vec![7; 2 * MB + 1], None).await, 413);
    assert_eq!(world.number("SELECT count(*) FROM inbox").await, 1);
}

#[tokio::test]
async fn an_api_that_dies_while_a_webhook_comes_leaves_nothing_that_anybody_reads() {
    let world = World::new().await;
    let Api { client, process } = world.api().await;
    let (_, url) = signed(&client, None).await;
    let url: Url = url.parse().unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", url.path(), 10 * MB);
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![7; 3 * MB]).await.unwrap();
    within("the first parts", async { while world.number("SELECT count(*) FROM inbox_parts").await < 2 {} }).await;
    process.kill();
    assert_eq!(world.number("SELECT count(*) FROM inbox WHERE state <> 'arriving'").await, 0);

    world.run("UPDATE inbox SET received_at = received_at - interval '61 minutes'").await;
    let _janitor = world.worker().await;
    within("its end", async { while world.number("SELECT count(*) FROM inbox_parts").await > 0 {} }).await;
}
