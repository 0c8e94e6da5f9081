//! What happens around every call: its id, its span, its time limit, its measurement, and a panic that stays inside.
//!
//! Neither headers nor bodies are logged, so no key and no credential can be.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tokio::time::{Instant, timeout};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument as _, field};
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// How long a call may take until its answer begins; an event stream has begun by then.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A webhook may be long, and its line slow. Whoever sends none of it for a few seconds is not waited for.
const TIME_LIMIT_OF_HOOKS: Duration = Duration::from_mins(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// An id that the client brings is kept if it is no longer than this.
const LONGEST_ID: usize = 128;
const UNMATCHED: &str = "unmatched";

/// Puts all of this around the routes and around what answers where there is no route.
pub(crate) fn observed(router: Router) -> Router {
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_with_this_method)
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| answer_panic(panic.as_ref())))
        .layer(middleware::from_fn(observe))
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; GET /openapi.json lists what there is")
}

async fn not_with_this_method() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "the path exists, but not with this method; the Allow header lists those it has",
    )
}

async fn limit_time(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let limit = if path.starts_with("/hooks/") { TIME_LIMIT_OF_HOOKS } else { TIME_LIMIT };
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!("given up after {} s", limit.as_secs());
        let detail = format!(
            "given up after {} s; it may have been done, an Idempotency-Key makes asking again safe",
            limit.as_secs()
        );
        Problem::new(Code::TimedOut, detail).into_response()
    })
}

fn answer_panic(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(format!("panic: {}", text.unwrap_or("without a text"))).into_response()
}

async fn observe(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = method_label(request.method());
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| UNMATCHED.to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", id = ?id, method, route, caller = field::Empty);
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), begun.elapsed());
    // Reading is what dashboards do all day; changes are worth a line.
    if method == "GET" || method == "HEAD" {
        tracing::debug!(parent: &span, status = status.as_u16(), took_ms = took.as_millis(), "answered");
    } else {
        tracing::info!(parent: &span, status = status.as_u16(), took_ms = took.as_millis(), "answered");
    }
    let status = status.as_str().to_owned();
    metrics::counter!("sincro_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("sincro_http_request_seconds", "method" => method, "route" => route).record(took.as_secs_f64());
    finish(response.headers_mut(), id);
    response
}

/// Headers of every answer: it is for this client alone, and it is what it says it is.
fn finish(headers: &mut HeaderMap, id: HeaderValue) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    headers.insert(REQUEST_ID, id);
}

/// The client's id for the request, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    let new = || HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
    given.cloned().unwrap_or_else(new)
}

/// Clients can make up methods; a metric must not grow with them.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    fn router() -> Router {
        observed(
            Router::new()
                .route("/here", get(async || "ok"))
                .route("/hang", get(std::future::pending::<()>))
                .route("/panic", get(async || -> () { panic!("secret") })),
        )
    }

    async fn ask(request: Request) -> (Response, String) {
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        (Response::from_parts(parts, Body::empty()), body)
    }

    fn get_of(path: &str) -> Request {
        Request::get(path).body(Body::empty()).unwrap()
    }

    fn code(body: &str) -> Value {
        serde_json::from_str::<Value>(body).unwrap()["code"].clone()
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_problem_too() {
        let (response, body) = ask(get_of("/nowhere")).await;
        assert_eq!((response.status().as_u16(), code(&body)), (404, "not_found".into()));
        let (response, body) = ask(Request::post("/here").body(Body::empty()).unwrap()).await;
        assert_eq!((response.status().as_u16(), code(&body)), (405, "method_not_allowed".into()));
        assert_eq!(response.headers()["allow"], "GET,HEAD");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_without_details() {
        let (response, body) = ask(get_of("/panic")).await;
        assert_eq!((response.status().as_u16(), code(&body)), (500, "internal".into()));
        assert!(!body.contains("secret"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_too_long_is_given_up() {
        let (response, body) = ask(get_of("/hang")).await;
        assert_eq!((response.status().as_u16(), code(&body)), (503, "timed_out".into()));
        assert!(response.headers().contains_key("retry-after"));
    }

    #[tokio::test]
    async fn every_answer_has_an_id_the_clients_own_if_it_is_a_decent_one() {
        for (given, kept) in [("abc-1", true), ("with space", false), (&"x".repeat(129), false)] {
            let request = Request::get("/here").header("x-request-id", given).body(Body::empty()).unwrap();
            let (response, _) = ask(request).await;
            assert_eq!(response.headers()["x-request-id"] == given, kept, "{given}");
        }
        let (response, _) = ask(get_of("/nowhere")).await;
        assert!(Uuid::parse_str(response.headers()["x-request-id"].to_str().unwrap()).is_ok());
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
