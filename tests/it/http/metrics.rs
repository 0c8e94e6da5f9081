//! `/metrics`: what a dashboard draws, in numbers that add up.

use sincro_core::{limit::Limit, sync::SyncState};

use crate::support::{Client, Gateway, World, gateway::is_history, people};

/// One line of Prometheus text.
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

async fn scrape(api: &Client) -> Vec<Sample> {
    let reply = api.get("/metrics").await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let lines = reply.body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Sample { name: name.to_owned(), labels: labels.to_owned(), value: value.parse().unwrap() }
        })
        .collect()
}

/// The sum over all series of this name that carry this label.
fn sum(samples: &[Sample], name: &str, label: &str) -> f64 {
    let found: Vec<_> = samples.iter().filter(|s| s.name == name && s.labels.contains(label)).collect();
    assert!(!found.is_empty(), "no {name} with {label:?}");
    found.iter().map(|sample| sample.value).sum()
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn number(count: impl TryInto<i64>) -> f64 {
    count.try_into().ok().unwrap() as f64
}

#[tokio::test]
async fn a_sync_shows_in_the_metrics_of_the_process_that_ran_it() {
    let world = World::new().await;
    let api = world.listening("all", &[]).await;
    let gateway = Gateway::of(people(20)).await;
    // Slow enough that somebody has to wait for the limit.
    let limit = Limit { rate_per_second: 200.0, burst: 1, concurrency: 8 };
    let channel = api.create_channel(&gateway, limit).await;
    let idle = scrape(&api).await;
    for state in ["queued", "running", "delayed"] {
        assert!(sum(&idle, "sincro_queue_depth", state).abs() < f64::EPSILON, "{state}");
    }
    let sync = api.start_sync(channel, 25).await.id;
    let end = api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);

    let after = scrape(&api).await;
    for (outcome, jobs) in [("succeeded", end.jobs.succeeded), ("empty", end.jobs.empty)] {
        let settled = sum(&after, "sincro_jobs_settled_total", &format!("outcome=\"{outcome}\""));
        assert!((settled - number(jobs)).abs() < f64::EPSILON, "{outcome}: {settled} of {jobs}");
    }
    let calls = gateway.calls().all();
    let timed = sum(&after, "sincro_gateway_call_seconds_count", "");
    assert!((timed - number(calls.len())).abs() < f64::EPSILON, "{timed} of {} calls", calls.len());
    let read = sum(&after, "sincro_gateway_call_seconds_count", "call=\"history\"");
    assert!((read - number(calls.iter().filter(|call| is_history(call)).count())).abs() < f64::EPSILON);
    assert!(sum(&after, "sincro_gateway_call_seconds_sum", "result=\"ok\"") > 0.0);
    assert!(sum(&after, "sincro_limiter_wait_seconds_count", "") > 0.0);
    assert!(sum(&after, "sincro_limiter_wait_seconds_sum", "") > 0.0);
    // Every step of every job was in one batch; the plan and jobs without a call are not settled in batches.
    let batched = sum(&after, "sincro_settle_batch_size_sum", "");
    assert!(batched >= number(end.jobs.succeeded + end.jobs.empty), "{batched}");
    assert!(sum(&after, "sincro_settle_batch_size_count", "") <= batched);
    for state in ["queued", "running", "delayed"] {
        assert!(sum(&after, "sincro_queue_depth", state).abs() < f64::EPSILON, "{state}");
    }
    assert!(after.iter().all(|sample| sample.name.starts_with("sincro_")), "a name that is not ours");
}

#[tokio::test]
async fn the_depth_of_the_queue_is_what_waits_in_it() {
    let world = World::new().await;
    let api = world.listening("all", &[]).await;
    let gateway = Gateway::of(people(10)).await;
    let channel = api.create_channel(&gateway, crate::support::stage::FAST).await;
    api.steer_channel(channel, "pause").await;
    let persons: Vec<_> = gateway
        .truth()
        .persons()
        .iter()
        .map(|person| crate::support::Person { phone_jid: person.phone_jid.clone(), ..Default::default() })
        .collect();
    let sync = api.start_sync_of(channel, 25, &persons).await;
    let waiting = scrape(&api).await;
    assert!((sum(&waiting, "sincro_queue_depth", "queued") - number(sync.jobs.queued)).abs() < f64::EPSILON);
    assert!((sum(&waiting, "sincro_queue_up", "") - 1.0).abs() < f64::EPSILON);
    api.steer(sync.id, "cancel").await;
    let cancelled = scrape(&api).await;
    assert!(sum(&cancelled, "sincro_queue_depth", "queued").abs() < f64::EPSILON);
}
