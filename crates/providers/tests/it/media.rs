//! Files of messages: what is asked of whom, who is given the token, and what every kind of answer becomes.

use std::io::Read as _;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use sincro_core::{
    channel::Connection,
    gateway::{Call, Refusal},
    media::MediaPlace,
    provider::Provider,
};
use sincro_providers::{Answered, FetchedMedia};

use crate::gate::{Gate, TOKEN, ask_over, connection_with, listener, settings};

const BYTES: &[u8] = b"\xff\xd8\xff the bytes of a picture \x00\x01";
/// As `sha256sum` has it.
const BYTES_SHA256: &str = "1e7d8eff1c147b47c951a1b1423ead58ae2c344352761b726cf20963fd8593ce";

fn connection(provider: Provider, base_url: &str) -> Connection {
    let credentials = match provider {
        Provider::Positus => json!({"access_token": TOKEN, "number_id": "n1"}),
        Provider::Wsapi => json!({"api_key": TOKEN, "instance_id": "ins_7"}),
        _ => json!({"token": TOKEN}),
    };
    connection_with(provider, base_url, &credentials)
}

fn by_id(id: &str, most: u64) -> Call {
    Call::Media { place: MediaPlace::Id(id.to_owned()), mime: Some("image/jpeg".to_owned()), most }
}

fn by_link(link: String) -> Call {
    Call::Media { place: MediaPlace::Link(link), mime: None, most: 1_000 }
}

async fn ask(provider: Provider, base_url: &str, call: &Call) -> Result<FetchedMedia, Refusal> {
    match ask_over(&settings(), &connection(provider, base_url), call).await? {
        Answered::Media(fetched) => Ok(fetched),
        other => panic!("{other:?}"),
    }
}

async fn answered(
    provider: Provider,
    answer: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> Result<FetchedMedia, Refusal> {
    let gate = Gate::answering(answer).await;
    ask(provider, &gate.url(), &by_id("m1", 1_000)).await
}

fn bytes_of(fetched: FetchedMedia) -> Vec<u8> {
    let FetchedMedia::File(file) = fetched else { panic!("{fetched:?}") };
    assert_eq!(file.sha256.len(), 64);
    let (mut bytes, expected) = (Vec::new(), file.bytes);
    file.into_file().and_then(|mut file| file.read_to_end(&mut bytes)).expect("our own file");
    assert_eq!(u64::try_from(bytes.len()), Ok(expected));
    bytes
}

fn picture() -> Response {
    ([("content-type", "image/jpeg")], BYTES).into_response()
}

#[tokio::test]
async fn each_gateway_is_asked_under_its_own_path_with_its_own_token() {
    for (provider, target) in [
        (Provider::Whapi, "/media/m%201%2Fx"),
        (Provider::Positus, "/v2/whatsapp/numbers/n1/media/m%201%2Fx"),
        (Provider::Wsapi, "/media/download?id=m+1%2Fx"),
    ] {
        let gate = Gate::answering(picture).await;
        let fetched = ask(provider, &gate.url(), &by_id("m 1/x", 1_000)).await.unwrap();
        assert!(matches!(&fetched, FetchedMedia::File(file) if file.sha256 == BYTES_SHA256));
        assert_eq!(bytes_of(fetched), BYTES);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!((arrival.method.as_str(), arrival.target.as_str()), ("GET", target));
        let token = arrival.authorization.or(arrival.api_key).unwrap();
        assert!(token.ends_with(TOKEN) && gate.arrivals().len() == 1, "{provider}: a call is one request");
    }
    for (provider, place) in [(Provider::Gdbrns, "m1"), (Provider::Wuzapi, "m1")] {
        let refusal = ask(provider, "http://127.0.0.1:1", &by_id(place, 1_000)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Permanent { code: "not_supported", .. }), "{provider}: {refusal}");
    }
}

#[tokio::test]
async fn what_is_behind_a_link_is_given_no_token() {
    for provider in [Provider::Whapi, Provider::Wuzapi] {
        let gate = Gate::answering(picture).await;
        let fetched = ask(provider, "http://127.0.0.1:1", &by_link(format!("{}/a?b=c", gate.url()))).await.unwrap();
        assert_eq!(bytes_of(fetched), BYTES);
        let arrival = gate.arrivals().pop().unwrap();
        assert_eq!(arrival.target, "/a?b=c");
        assert_eq!((arrival.authorization, arrival.token, arrival.api_key), (None, None, None));
    }
}

#[tokio::test]
async fn positus_gives_the_token_to_its_own_host_alone_when_an_answer_is_an_address() {
    let store = Gate::answering(picture).await;
    for wrapped in [false, true] {
        let url = format!("{}/attachments/1?ext=2", store.url());
        let gate = Gate::answering(move || {
            let meta = json!({"messaging_product": "whatsapp", "url": url, "mime_type": "image/jpeg", "id": "m1"});
            let body = if wrapped { json!({"data": meta}) } else { meta };
            ([("content-type", "application/json; charset=utf-8")], body.to_string()).into_response()
        })
        .await;
        let fetched = ask(Provider::Positus, &gate.url(), &by_id("m1", 1_000)).await.unwrap();
        let FetchedMedia::Elsewhere(link) = fetched else { panic!("{fetched:?}") };
        let file = ask(Provider::Positus, &gate.url(), &by_link(link.clone())).await.unwrap();
        assert_eq!(bytes_of(file), BYTES);
        assert_eq!(store.arrivals().pop().unwrap().authorization, None, "somebody else's host");
        let own = ask(Provider::Positus, &store.url(), &by_link(link)).await.unwrap();
        assert_eq!(bytes_of(own), BYTES);
        assert_eq!(store.arrivals().pop().unwrap().authorization, Some(format!("Bearer {TOKEN}")));
    }
}

#[tokio::test]
async fn a_file_of_json_is_a_file_and_what_it_says_is_not_followed() {
    let answer = || ([("content-type", "application/json")], r#"{"url":"http://169.254.169.254/"}"#).into_response();
    let gate = Gate::answering(answer).await;
    let call = Call::Media { place: MediaPlace::Id("m1".into()), mime: Some("application/json".into()), most: 1_000 };
    let fetched = ask(Provider::Positus, &gate.url(), &call).await.unwrap();
    assert!(bytes_of(fetched).starts_with(b"{\"url\""));
    let whapi = answered(Provider::Whapi, answer).await.unwrap();
    assert!(bytes_of(whapi).starts_with(b"{\"url\""), "no other gateway answers like that");
}

#[tokio::test]
async fn a_file_is_broken_off_at_the_limit_announced_or_not() {
    let gate = Gate::answering(picture).await;
    let length = u64::try_from(BYTES.len()).unwrap();
    for (most, fits) in [(length, true), (length - 1, false), (1, false)] {
        let fetched = ask(Provider::Whapi, &gate.url(), &by_id("m1", most)).await.unwrap();
        assert_eq!(matches!(fetched, FetchedMedia::File(_)), fits, "{most}");
        assert_eq!(matches!(fetched, FetchedMedia::TooLarge), !fits, "{most}");
    }
    let unannounced = Gate::sending(b"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\n\r\n0123456789").await;
    let fetched = ask(Provider::Whapi, &unannounced.url(), &by_id("m1", 9)).await.unwrap();
    assert!(matches!(fetched, FetchedMedia::TooLarge));
}

#[tokio::test]
async fn half_a_file_and_an_empty_one_are_none() {
    let half = Gate::sending(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789").await;
    let refusal = ask(Provider::Whapi, &half.url(), &by_id("m1", 1_000)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Transient { code: "connection", .. }), "{refusal}");
    let refusal = answered(Provider::Whapi, || StatusCode::OK.into_response()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Transient { code: "unreadable_answer", .. }), "{refusal}");
}

#[tokio::test]
async fn what_is_not_there_any_more_is_gone_and_a_path_that_is_not_there_is_not() {
    for provider in [Provider::Whapi, Provider::Positus, Provider::Wsapi] {
        for status in [StatusCode::NOT_FOUND, StatusCode::GONE] {
            for body in [
                r#"{"error":{"code":404,"message":"media not found"}}"#,
                r#"{"status":404,"detail":"media not found"}"#,
                "",
            ] {
                let fetched = answered(provider, move || (status, body).into_response()).await;
                assert!(matches!(fetched, Ok(FetchedMedia::Gone(_))), "{provider} {status} {body}: {fetched:?}");
            }
        }
        let no_path =
            || (StatusCode::NOT_FOUND, r#"{"error":{"code":404,"message":"Cannot GET /media/m1"}}"#).into_response();
        assert!(answered(provider, no_path).await.is_err(), "{provider}");
    }
}

#[tokio::test]
async fn metas_word_for_a_file_that_expired_is_understood_and_another_bad_parameter_is_none() {
    for (text, gone) in [("Object with ID 'm1' does not exist, cannot be loaded", true), ("Invalid parameter", false)] {
        let body = json!({"error": {"message": format!("(#100) {text}"), "type": "GraphMethodException", "code": 100}});
        let answer = move || (StatusCode::BAD_REQUEST, body.to_string()).into_response();
        let fetched = answered(Provider::Positus, answer).await;
        assert_eq!(matches!(fetched, Ok(FetchedMedia::Gone(_))), gone, "{fetched:?}");
    }
}

#[tokio::test]
async fn a_gateway_without_a_session_and_a_token_that_opens_nothing_are_named() {
    for (status, body) in [
        (StatusCode::CONFLICT, r#"{"status":409,"detail":"device not paired"}"#),
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":503,"detail":"instance not available"}"#),
    ] {
        let refusal = answered(Provider::Wsapi, move || (status, body).into_response()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::SessionLost { .. }), "{refusal}");
    }
    for provider in [Provider::Whapi, Provider::Positus, Provider::Wsapi] {
        let refusal = answered(provider, || (StatusCode::UNAUTHORIZED, "no").into_response()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Unauthorized { .. }), "{provider}: {refusal}");
    }
}

#[tokio::test]
async fn a_redirect_is_another_place_and_that_of_a_link_is_refused() {
    let moved = || (StatusCode::FOUND, [("location", "https://store.example.org/a?sig=hush")]).into_response();
    let fetched = answered(Provider::Whapi, moved).await.unwrap();
    assert!(matches!(&fetched, FetchedMedia::Elsewhere(link) if link == "https://store.example.org/a?sig=hush"));
    let gate = Gate::answering(moved).await;
    let refusal = ask(Provider::Whapi, "http://127.0.0.1:1", &by_link(gate.url())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Permanent { code: "redirect", .. }), "{refusal}");
    assert!(!refusal.to_string().contains("hush"), "{refusal}");
}

#[tokio::test]
async fn what_happens_at_a_link_says_nothing_about_the_channel_or_its_server() {
    let closed = listener().await.local_addr().unwrap();
    let link = format!("http://{closed}/a?sig=hush");
    let refusal = ask(Provider::Wuzapi, "http://127.0.0.1:1", &by_link(link)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Transient { code: "connection", .. }), "{refusal}");
    assert!(!refusal.to_string().contains("hush"), "{refusal}");
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
        let gate = Gate::answering(move || status.into_response()).await;
        let refusal = ask(Provider::Wuzapi, "http://127.0.0.1:1", &by_link(gate.url())).await.unwrap_err();
        let is_its_own = matches!(
            refusal,
            Refusal::Permanent { code: "link_refused", .. } | Refusal::Transient { code: "link_refused", .. }
        );
        assert!(is_its_own, "{refusal}");
    }
    let gone = Gate::answering(|| StatusCode::NOT_FOUND.into_response()).await;
    let fetched = ask(Provider::Wuzapi, "http://127.0.0.1:1", &by_link(gone.url())).await.unwrap();
    assert!(matches!(fetched, FetchedMedia::Gone(_)));
    let refusal = ask(Provider::Wuzapi, "http://127.0.0.1:1", &by_link("file:///etc/passwd".into())).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Permanent { code: "bad_link", .. }), "{refusal}");
}
