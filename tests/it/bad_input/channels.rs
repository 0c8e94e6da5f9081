//! Channels that cannot be called.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Quiet, channel_with, shorten};

#[tokio::test]
async fn the_address_of_a_gateway_must_be_an_http_root() {
    let quiet = Quiet::open().await;
    let bad_urls = [
        "ftp://example.org",
        "wuzapi:8080",
        "//example.org",
        "javascript:alert(1)",
        "http://",
        "",
        "http://user:pass@example.org",
        "http://example.org/?token=t",
        "http://example.org/#t",
    ];
    let path = format!("/v1/channels/{}", quiet.channel);
    for url in bad_urls {
        let refusal = (422, "bad_base_url", "base_url");
        quiet.refuses(url, quiet.post("/v1/channels", &channel_with("base_url", json!(url))), refusal).await;
        let request = quiet.api.request(Method::PATCH, &path).json(&json!({"base_url": url, "name": "moved"}));
        quiet.refuses(&format!("PATCH {url}"), request, refusal).await;
    }
    quiet.still_works().await;
}

#[tokio::test]
async fn every_part_of_a_channel_must_be_within_its_bounds_at_creation_and_at_change() {
    let quiet = Quiet::open().await;
    let path = format!("/v1/channels/{}", quiet.channel);
    for (field, value, code, named) in [
        ("name", json!(""), "invalid_value", "name"),
        ("name", json!("x".repeat(201)), "invalid_value", "name"),
        ("name", json!("a\0b"), "invalid_value", "name"),
        ("base_url", json!(7), "invalid_value", "base_url"),
        ("provider", json!("telegram"), "invalid_value", "provider"),
        ("features", json!(["fly"]), "invalid_value", "features[0]"),
        ("credentials", json!("t"), "bad_credentials", "credentials"),
        ("credentials", json!({}), "bad_credentials", "credentials.token"),
        ("credentials", json!({"token": ""}), "bad_credentials", "credentials.token"),
        ("credentials", json!({"token": "t", "hmac_key": "short"}), "bad_credentials", "credentials.hmac_key"),
        ("limit", json!({"rate_per_second": 0}), "invalid_value", "limit.rate_per_second"),
        ("limit", json!({"rate_per_second": 10_001}), "invalid_value", "limit.rate_per_second"),
        ("limit", json!({"burst": 0}), "invalid_value", "limit.burst"),
        ("limit", json!({"concurrency": 1_001}), "invalid_value", "limit.concurrency"),
        ("limit", json!({"concurrency": -1}), "invalid_value", "limit.concurrency"),
    ] {
        let body = channel_with(field, value.clone());
        quiet.refuses(&shorten(&body.to_string()), quiet.post("/v1/channels", &body), (422, code, named)).await;
        if field != "provider" {
            let body = json!({field: value});
            let request = quiet.api.request(Method::PATCH, &path).json(&body);
            quiet.refuses(&format!("PATCH {}", shorten(&body.to_string())), request, (422, code, named)).await;
        }
    }
    for field in ["name", "provider", "base_url", "credentials"] {
        let mut body = channel_with(field, Value::Null);
        body.as_object_mut().unwrap().remove(field);
        quiet.refuses(&body.to_string(), quiet.post("/v1/channels", &body), (422, "missing_field", field)).await;
    }
    quiet.still_works().await;
}
