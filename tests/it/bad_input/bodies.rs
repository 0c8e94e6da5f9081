//! Bodies that cannot be read, whatever they are for.

use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{LID, PHONE, Quiet, channel_with, shorten, sync_of};
use crate::support::within;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn an_unknown_field_is_refused_by_its_name_wherever_it_is() {
    let quiet = Quiet::open().await;
    let channel = format!("/v1/channels/{}", quiet.channel);
    let sync = quiet.api.start_ticket(quiet.plain, PHONE, 5).await.id;
    for (path, body, field) in [
        (quiet.syncs(), json!({"messages_per_contact": 5, "colour": "red"}), "colour"),
        (quiet.syncs(), json!({"messages": 5}), "messages"),
        (quiet.syncs(), sync_of(&json!([{"lid": LID}, {"phone": PHONE}])), "contacts[1].phone"),
        (format!("{channel}/contacts/{PHONE}/syncs"), json!({"messages_per_contact": 5}), "messages_per_contact"),
        ("/v1/channels".to_owned(), channel_with("colour", json!("red")), "colour"),
        ("/v1/channels".to_owned(), channel_with("limit", json!({"per_second": 5})), "limit.per_second"),
        (
            "/v1/channels".to_owned(),
            channel_with("credentials", json!({"token": "t", "Token": "t"})),
            "credentials.Token",
        ),
        (format!("{channel}/pause"), json!({"why": "moving"}), "why"),
        (format!("{channel}/resume"), json!({"why": "moved"}), "why"),
        (format!("/v1/syncs/{sync}/pause"), json!({"why": "moving"}), "why"),
        (format!("/v1/syncs/{sync}/resume"), json!({"why": "moved"}), "why"),
        (format!("/v1/syncs/{sync}/cancel"), json!({"why": "moved"}), "why"),
        (format!("/v1/syncs/{sync}/retry"), json!({"all": true}), "all"),
    ] {
        let code = if field.starts_with("credentials") { "bad_credentials" } else { "unknown_field" };
        quiet.refuses(&format!("{path} {body}"), quiet.post(&path, &body), (422, code, field)).await;
    }
    for (body, field) in [
        (json!({"provider": "wuzapi"}), "provider"),
        (json!({"state": "paused"}), "state"),
        (json!({"limit": {"weight": 1}}), "limit.weight"),
    ] {
        let request = quiet.api.request(Method::PATCH, &channel).json(&body);
        quiet.refuses(&body.to_string(), request, (422, "unknown_field", field)).await;
    }
    quiet.still_works().await;
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_and_one_of_exactly_that_size_is_read() {
    let quiet = Quiet::open().await;
    let padded = |size: usize| {
        let mut body = br#"{"messages_per_contact":7}"#.to_vec();
        body.resize(size, b' ');
        body
    };
    let too_large = (413, "body_too_large", "");
    let request = quiet.post_bytes(&quiet.syncs(), padded(32 * MIB + 1));
    quiet.refuses("a body of 32 MiB and a byte", request, too_large).await;
    for path in ["/v1/channels".to_owned(), format!("/v1/channels/{}/contacts/{PHONE}/syncs", quiet.channel)] {
        let request = quiet.post_bytes(&path, padded(MIB + 1));
        quiet.refuses(&format!("{path} with 1 MiB and a byte"), request, too_large).await;
    }

    let before = quiet.world.footprint().await;
    let answer = post_in_chunks(&quiet, &quiet.syncs(), 33).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "a body that does not say how long it is: {answer}");
    assert!(answer.contains(r#""code":"body_too_large""#), "{answer}");
    assert_eq!(quiet.world.footprint().await, before);

    let accepted = quiet.api.send(quiet.post_bytes(&quiet.syncs(), padded(32 * MIB))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let sync: Value = accepted.ok();
    quiet.api.steer(sync["id"].as_str().unwrap().parse().unwrap(), "cancel").await;
    quiet.still_works().await;
}

/// Sends so many MiB of spaces without saying beforehand how many, and gives the answer as it came.
async fn post_in_chunks(quiet: &Quiet, path: &str, mebibytes: usize) -> String {
    let host = quiet.api.base.strip_prefix("http://").unwrap();
    let exchange = async {
        let mut line = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            quiet.world.key
        );
        line.write_all(head.as_bytes()).await.unwrap();
        let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
        for _ in 0..mebibytes {
            line.write_all(&chunk).await.unwrap();
        }
        line.write_all(b"0\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    within("the answer to a body in chunks", exchange).await
}

#[tokio::test]
async fn a_body_must_be_json_in_utf_8_and_say_so() {
    let quiet = Quiet::open().await;
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let deep_inside =
        [&br#"{"name":"n","provider":"wuzapi","base_url":"http://h","credentials":"#[..], &deep, b"}"].concat();
    for (path, body, code) in [
        (
            quiet.syncs(),
            b"{\"contacts\":[{\"lid\":\"190000000000001@lid\",\"name\":\"Jo\xe3o\"}]}".to_vec(),
            "bad_utf8",
        ),
        (quiet.syncs(), vec![0xff, 0xfe], "bad_utf8"),
        (quiet.syncs(), b"{\"messages_per_contact\":".to_vec(), "bad_json"),
        (quiet.syncs(), b"{}{}".to_vec(), "bad_json"),
        (quiet.syncs(), b"{'messages_per_contact':5}".to_vec(), "bad_json"),
        (quiet.syncs(), br#"{"contacts":[{"lid":"190000000000001@lid","name":"\ud800"}]}"#.to_vec(), "bad_json"),
        (quiet.syncs(), b"messages_per_contact=5".to_vec(), "bad_json"),
        (quiet.syncs(), b"   ".to_vec(), "bad_json"),
        ("/v1/channels".to_owned(), Vec::new(), "bad_json"),
        ("/v1/channels".to_owned(), deep_inside, "bad_json"),
    ] {
        let what = shorten(&String::from_utf8_lossy(&body));
        quiet.refuses(&what, quiet.post_bytes(&path, body), (400, code, "")).await;
    }
    for (body, field) in [
        ("[]", "body"),
        ("\"all\"", "body"),
        ("7", "body"),
        (r#"{"messages_per_contact":1,"messages_per_contact":2}"#, "messages_per_contact"),
    ] {
        quiet.refuses(body, quiet.post_bytes(&quiet.syncs(), body), (422, "invalid_value", field)).await;
    }
    let other_types = [Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp"), None];
    for content_type in other_types {
        let mut request = quiet.api.request(Method::POST, &quiet.syncs()).body("{}");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        quiet.refuses(&format!("{content_type:?}"), request, (415, "unsupported_media_type", "Content-Type")).await;
    }
    quiet.still_works().await;
}
