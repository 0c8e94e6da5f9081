//! Files longer than a part, at a store that knows just enough of the protocol.

use std::{
    collections::BTreeMap,
    io::{Seek as _, Write as _},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;

#[derive(Debug, Default)]
struct Held {
    /// By number.
    parts: BTreeMap<u32, Vec<u8>>,
    objects: BTreeMap<String, Vec<u8>>,
    dropped: bool,
    /// The part with this number is refused.
    refuses: Option<u32>,
}

async fn answer(request: Request, shelf: &Mutex<Held>) -> Response {
    let (asked, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let path = asked.uri.path().to_owned();
    let query = asked.uri.query().unwrap_or_default().to_owned();
    let part = query.split('&').find_map(|pair| pair.strip_prefix("partNumber=")?.parse::<u32>().ok());
    let mut held = shelf.lock().unwrap();
    match (asked.method, part) {
        (Method::PUT, Some(part)) if held.refuses == Some(part) => return StatusCode::FORBIDDEN.into_response(),
        (Method::PUT, Some(part)) => drop(held.parts.insert(part, body)),
        (Method::PUT, None) => drop(held.objects.insert(path, body)),
        (Method::POST, _) if query.starts_with("uploads") => {
            let begun = "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
            return begun.into_response();
        }
        (Method::POST, _) => {
            let whole = std::mem::take(&mut held.parts).into_values().flatten().collect();
            held.objects.insert(path, whole);
            let done = "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>";
            return done.into_response();
        }
        (Method::DELETE, _) => {
            (held.dropped, held.parts) = (true, BTreeMap::new());
            return StatusCode::NO_CONTENT.into_response();
        }
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    [("etag", "\"1\"")].into_response()
}

async fn store(refuses: Option<u32>) -> (Bucket, Arc<Mutex<Held>>) {
    let held = Arc::new(Mutex::new(Held { refuses, ..Held::default() }));
    let kept = Arc::clone(&held);
    let app = Router::new().fallback(move |request: Request| {
        let kept = Arc::clone(&kept);
        async move { answer(request, &kept).await }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = Access {
        endpoint: Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()),
        region: "us-east-1".to_owned(),
        keys: Some(("name".to_owned(), "hush-hush".to_owned().into())),
        allow_http: true,
    };
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (Bucket::new("b", "", &access).unwrap(), held)
}

/// A file of so many bytes, no two pieces of which are alike.
fn file(bytes: usize) -> (File, Vec<u8>) {
    let content: Vec<u8> = (0_u64..).flat_map(u64::to_le_bytes).take(bytes).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    file.rewind().unwrap();
    (file, content)
}

#[tokio::test]
async fn a_long_file_goes_in_parts_and_is_there_when_all_have_come() {
    for bytes in [1, PART - 1, PART, PART + 1, 3 * PART + 7] {
        let (bucket, held) = store(None).await;
        let (file, content) = file(bytes);
        let location = bucket.keep(Uuid::nil(), "a%2Fb", file).await.unwrap();
        assert_eq!(location, format!("s3://b/{}/a%2Fb", Uuid::nil()));
        let held = held.lock().unwrap();
        let stored = &held.objects[&format!("/b/{}/a%252Fb", Uuid::nil())];
        assert!(*stored == content, "{bytes} bytes: {} came", stored.len());
        assert_eq!((held.objects.len(), held.parts.len()), (1, 0));
    }
}

#[tokio::test]
async fn what_was_begun_and_fails_is_dropped_and_the_key_is_not_shown() {
    let (bucket, held) = store(Some(2)).await;
    let error = bucket.keep(Uuid::nil(), "a", file(3 * PART).0).await.unwrap_err().to_string();
    assert!(error.starts_with("the bucket for files, b: ") && !error.contains("hush"), "{error}");
    let held = held.lock().unwrap();
    assert!(held.objects.is_empty() && held.dropped, "{:?}", held.parts.keys());
}
