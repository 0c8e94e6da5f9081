//! Files in a bucket: a store of the test's own, which takes nothing that is not signed with its key.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{digest, hmac};
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use sincro_core::{media::MediaState, sync::SyncState};
use sincro_simulator::Provider;
use tokio::net::TcpListener;

use super::{Line, of};

const KEY_NAME: &str = "SINCROTEST";
const KEY: &str = "hush-hush-0123456789";
const REGION: &str = "sa-east-1";

/// What the store holds, by path; and what it refused.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<String, Bytes>,
    refused: Vec<String>,
}

struct Store {
    url: String,
    held: Arc<Mutex<Held>>,
}

impl Store {
    async fn start() -> Self {
        let held: Arc<Mutex<Held>> = Arc::default();
        let kept = Arc::clone(&held);
        let app = Router::new().fallback(move |request: Request| {
            let kept = Arc::clone(&kept);
            async move { answer(request, &kept).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, held }
    }
}

async fn answer(request: Request, shelf: &Mutex<Held>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default();
    let mut held = shelf.lock().unwrap();
    if !is_signed(&parts.method, &path, query, &parts.headers, &body) {
        held.refused.push(path);
        return StatusCode::FORBIDDEN.into_response();
    }
    match parts.method {
        Method::PUT => drop(held.objects.insert(path, body)),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    [("etag", "\"1\"")].into_response()
}

/// Signature version 4, worked out anew.
fn is_signed(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = header("authorization");
    let part = |name: &str| {
        let found = authorization.split([' ', ',']).find_map(|part| part.trim().strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let (credential, signed, signature) = (part("Credential="), part("SignedHeaders="), part("Signature="));
    let Some(scope) = credential.strip_prefix(&format!("{KEY_NAME}/")) else { return false };
    let [date, REGION, "s3", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else { return false };
    if header("x-amz-content-sha256") != hex(digest::digest(&digest::SHA256, body).as_ref()) {
        return false;
    }
    let lines: Vec<_> = signed.split(';').map(|name| [name, ":", header(name).trim(), "\n"].concat()).collect();
    let names = lines.concat();
    let canonical = format!("{method}\n{path}\n{query}\n{names}\n{signed}\n{}", header("x-amz-content-sha256"));
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", header("x-amz-date"));
    let sign =
        |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let key = sign(format!("AWS4{KEY}").as_bytes(), date);
    let key = ["s3", "aws4_request"].iter().fold(sign(&key, REGION), |key, word| sign(&key, word));
    hex(&sign(&key, &to_sign)) == signature
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[tokio::test]
async fn files_go_to_a_bucket_signed_and_the_key_is_shown_nowhere() {
    let store = Store::start().await;
    let settings = [
        ("SINCRO_MEDIA_TARGET", "s3://shelf/some/prefix"),
        ("SINCRO_MEDIA_S3_ENDPOINT", store.url.as_str()),
        ("SINCRO_MEDIA_S3_REGION", REGION),
        ("SINCRO_MEDIA_S3_ACCESS_KEY", KEY_NAME),
        ("SINCRO_MEDIA_S3_SECRET_KEY", KEY),
        ("SINCRO_MEDIA_S3_ALLOW_HTTP", "true"),
    ];
    let line = Line::with(of(Provider::Whapi), &settings).await;
    line.sync().await;
    let end = line.fetch().await;
    assert_eq!((end.state, end.jobs.failed), (SyncState::Completed, 0), "{end:?}");
    let truth = line.gateway.truth();
    let files = line.files().await;
    let held = std::mem::take(&mut *store.held.lock().unwrap());
    assert_eq!((held.refused, held.objects.len()), (Vec::new(), files.len()));
    for (message, media) in &files {
        assert_eq!(media.state, MediaState::Stored);
        let location = media.location.as_deref().unwrap();
        let key = location.strip_prefix("s3://shelf/").unwrap();
        assert!(key.starts_with(&format!("some/prefix/{}/", line.channel)), "{key}");
        // On the wire a sign of percent is one itself.
        let object = &held.objects[&format!("/shelf/{}", key.replace('%', "%25"))];
        assert_eq!(object[..], truth.file(message).unwrap()[..]);
    }
    let good = line.world.sincro(&["doctor"]).await;
    let said = format!("{}{}", String::from_utf8_lossy(&good.stdout), String::from_utf8_lossy(&good.stderr));
    assert!(said.contains("media_target can be written") && !said.contains(KEY), "{said}");
    let wrong = ("SINCRO_MEDIA_S3_SECRET_KEY", "another-key-0123456789");
    let bad = line.world.sincro_with(&["doctor"], &[wrong]).await;
    assert!(String::from_utf8_lossy(&bad.stdout).contains("media_target cannot be written"), "{bad:?}");
}
