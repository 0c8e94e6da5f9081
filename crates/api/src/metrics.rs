//! What Prometheus reads: everything this process has measured, and the queue as it is now.
//!
//! The queue is asked at each scrape and left out while Redis does not answer: a stale number is worse than none.

mod text;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use futures::{StreamExt as _, stream};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sincro_core::{clock, scaling::scaling};
use sincro_queue::LevelView;

use crate::{
    problem::{Code, refusals},
    queue_view::Deadline,
    state::App,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// From a Redis round trip to a gateway that keeps us waiting.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From one outcome to the largest batch anybody may configure.
const SIZES: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 10_000.0];
/// Questions to the queue that are under way at once for one scrape.
const AT_ONCE: usize = 16;

/// Begins measuring in this process, once, and gives the handle that renders what was measured.
///
/// Histograms whose names end in `_seconds` or `_size` have fixed buckets. Whoever holds the handle has to call its
/// `run_upkeep` every few seconds; [`crate::Api::serve`] does.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &SIZES)?
        .install_recorder()?;
    describe_counter!(
        "sincro_http_requests_total",
        Unit::Count,
        "HTTP requests answered, by method, route and status."
    );
    describe_histogram!(
        "sincro_http_request_seconds",
        Unit::Seconds,
        "Time until an HTTP answer began, by method and route."
    );
    describe_counter!("sincro_hooks_total", Unit::Count, "Webhooks, by provider and what became of them.");
    describe_gauge!("sincro_http_event_streams", Unit::Count, "Event streams that are open now.");
    Ok(handle)
}

refusals!(Refusals: Code::ANY);

/// Metrics
///
/// Prometheus text. Without Redis everything but the queue's depth, the scaling signal and the servers' rates is still there. Servers
/// are those that have work.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "process",
    responses((status = 200, body = String, content_type = "text/plain", description = "Prometheus text"), Refusals),
)]
pub(crate) async fn render(State(app): State<App>) -> impl IntoResponse {
    let mut text = app.settings.metrics.render();
    let deadline = Deadline::start();
    let (depth, loads) = tokio::join!(app.queue.depth(deadline), app.queue.loads(deadline));
    text.push_str(&text::depth(depth));
    if let Some(loads) = loads {
        text.push_str(&text::scaling(&scaling(&loads, app.settings.worker_slots)));
        let names = loads.into_iter().map(|load| load.server);
        let asked = stream::iter(names).map(async |server| {
            let seen = app.queue.server(deadline, &server).await?;
            Some((server, seen))
        });
        let seen: Vec<Option<(String, LevelView)>> = asked.buffered(AT_ONCE).collect().await;
        let seen: Vec<_> = seen.into_iter().flatten().collect();
        text.push_str(&text::servers(&seen, clock::now()));
    }
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text)
}
