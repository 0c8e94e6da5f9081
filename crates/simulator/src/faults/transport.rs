//! Faults that look the same from every gateway: broken, endless or foreign answers.
//!
//! They work on a finished answer or make one up; a provider's own error texts are not here.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    time::Duration,
};

use axum::{
    body::{self, Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use tokio_util::sync::CancellationToken;

const CHUNK: usize = 64 * 1_024;
/// What is before and behind the filler of a long body.
const HEAD: &[u8] = br#"{"code":200,"data":["#;
const TAIL: &[u8] = b"0],\"success\":true}\n";
const TRICKLE: Duration = Duration::from_millis(20);
/// A host name reserved to resolve nowhere (RFC 2606).
const NOWHERE: &str = "http://elsewhere.invalid/";

/// Promises the whole body, sends at most half, breaks the connection.
pub(crate) async fn cut(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = collect(body).await;
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    let steps = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // Yielding lets the server send the half; without, the break would overtake it in the buffer.
        tokio::task::yield_now().await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    });
    Response::from_parts(head, Body::from_stream(steps))
}

/// Breaks the connection before anything is sent: what fails at its first step takes the head along, which is not on the line yet.
pub(crate) fn lost() -> Response {
    let broken = stream::iter([Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))]);
    Body::from_stream(broken).into_response()
}

/// A complete answer with the first half of the body.
pub(crate) async fn truncate(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = collect(body).await;
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(whole.slice(..whole.len() / 2)))
}

/// An envelope whose data has about so many megabytes, or no end.
pub(crate) fn huge(megabytes: Option<u32>, stopping: CancellationToken) -> Response {
    let filler = Bytes::from("0,".repeat(CHUNK / 2));
    let chunks = megabytes.map(|megabytes| u64::from(megabytes) * 1_048_576 / CHUNK as u64);
    let steps = stream::unfold(Step::Head, move |step| {
        let (filler, stopping) = (filler.clone(), stopping.clone());
        async move {
            if stopping.is_cancelled() {
                return None;
            }
            let next = match step {
                Step::Head => (Bytes::from_static(HEAD), Step::Filler(0)),
                Step::Filler(sent) if Some(sent) == chunks => (Bytes::from_static(TAIL), Step::End),
                Step::Filler(sent) => (filler, Step::Filler(sent + 1)),
                Step::End => return None,
            };
            Some((Ok::<_, Infallible>(next.0), next.1))
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(steps)).into_response()
}

/// The same, with its length in the head.
pub(crate) fn announced(megabytes: u32, stopping: CancellationToken) -> Response {
    let length = HEAD.len() as u64 + u64::from(megabytes) * 1_048_576 + TAIL.len() as u64;
    let mut response = huge(Some(megabytes), stopping);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The same, packed: about a thousandth of it goes over the line.
pub(crate) async fn bomb(megabytes: u32) -> Response {
    let packing = tokio::task::spawn_blocking(move || {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let filler = "0,".repeat(CHUNK / 2);
        packed.write_all(HEAD)?;
        for _ in 0..u64::from(megabytes) * 1_048_576 / CHUNK as u64 {
            packed.write_all(filler.as_bytes())?;
        }
        packed.write_all(TAIL)?;
        packed.finish()
    });
    let packed = packing.await.map_err(io::Error::other).flatten().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")], packed).into_response()
}

/// The head of an envelope, then a blank from time to time, for ever.
pub(crate) fn trickle(stopping: CancellationToken) -> Response {
    let steps = stream::unfold(true, move |first| {
        let stopping = stopping.clone();
        async move {
            if first {
                return Some((Ok::<_, Infallible>(Bytes::from_static(HEAD)), false));
            }
            tokio::select! {
                () = stopping.cancelled() => None,
                () = tokio::time::sleep(TRICKLE) => Some((Ok(Bytes::from_static(b" ")), false)),
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(steps)).into_response()
}

enum Step {
    Head,
    Filler(u64),
    End,
}

/// The page of something in front of the gateway that lets nobody through.
pub(crate) fn unavailable(retry_after_s: Option<u64>) -> Response {
    const PAGE: &str = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>\n";
    let wait = retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
    (StatusCode::SERVICE_UNAVAILABLE, wait, [(header::CONTENT_TYPE, "text/html")], PAGE).into_response()
}

/// A page where JSON was expected.
pub(crate) fn garbage() -> Response {
    const PAGE: &str =
        "<!doctype html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>\n";
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

/// Sends the caller elsewhere.
pub(crate) fn redirect(location: Option<&str>) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location.unwrap_or(NOWHERE))]).into_response()
}

async fn collect(body: Body) -> Bytes {
    body::to_bytes(body, usize::MAX).await.unwrap_or_default()
}
