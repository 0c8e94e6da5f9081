//! What Prometheus reads: everything this process has measured, and the queue's depth as it is now.
//!
//! The depth is asked for at each scrape and left out while Redis does not answer: a stale number is worse than none.

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::IntoResponse,
};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sincro_queue::Depth;

use crate::{
    problem::{Code, refusals},
    state::App,
};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// From a Redis round trip to a gateway that keeps us waiting.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// From one outcome to the largest batch anybody may configure.
const SIZES: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 10_000.0];

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
    describe_gauge!("sincro_http_event_streams", Unit::Count, "Event streams that are open now.");
    Ok(handle)
}

refusals!(Refusals: Code::ANY);

/// Metrics
///
/// Prometheus text. Without Redis everything but the queue's depth is still there.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "process",
    responses((status = 200, body = String, content_type = "text/plain", description = "Prometheus text"), Refusals),
)]
pub(crate) async fn render(State(app): State<App>) -> impl IntoResponse {
    let mut text = app.settings.metrics.render();
    text.push_str(&depth_text(app.queue.depth().await));
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text)
}

fn depth_text(depth: Option<Depth>) -> String {
    let mut text = format!(
        "# HELP sincro_queue_up Whether Redis answered this scrape.\n# TYPE sincro_queue_up gauge\nsincro_queue_up {}\n",
        u8::from(depth.is_some())
    );
    let Some(Depth { queued, running, delayed }) = depth else { return text };
    text.push_str("# HELP sincro_queue_depth Jobs in the queue, by state.\n# TYPE sincro_queue_depth gauge\n");
    for (state, jobs) in [("queued", queued), ("running", running), ("delayed", delayed)] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "sincro_queue_depth{{state=\"{state}\"}} {jobs}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_is_told_by_state() {
        let text = depth_text(Some(Depth { queued: 1_990, running: 8, delayed: 2 }));
        assert!(text.contains("sincro_queue_up 1\n"));
        assert!(text.contains("sincro_queue_depth{state=\"queued\"} 1990\n"));
        assert!(text.contains("sincro_queue_depth{state=\"running\"} 8\n"));
        assert!(text.ends_with("sincro_queue_depth{state=\"delayed\"} 2\n"));
    }

    #[test]
    fn without_redis_no_depth_is_better_than_an_old_one() {
        let text = depth_text(None);
        assert!(text.ends_with("sincro_queue_up 0\n") && !text.contains("sincro_queue_depth"));
    }
}
