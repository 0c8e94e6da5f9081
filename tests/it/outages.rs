//! Servers that are away, slow, full or refusing, in the middle of syncs: what was accepted is done, nothing is lost or
//! doubled, and everything goes on by itself.

mod clocks;
mod postgres;
mod redis;
mod upgrade;
mod webhooks;
mod workers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sincro_core::{
    limit::Limit,
    sync::{SyncId, SyncState},
};
use sincro_simulator::{Latency, Settings};
use uuid::Uuid;

use crate::support::{Client, Gateway, Stage, World, audit, people, stage::FAST, within, world::Setting};

/// A worker that holds a job for nothing is missed soon, and no job runs out of attempts.
const MORTAL: [Setting<'_>; 2] = [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100")];
/// A lease that no working worker loses, and that is shorter than a server is away.
const STEADY: [Setting<'_>; 2] = [("SINCRO_LEASE_SECONDS", "5"), ("SINCRO_MAX_ATTEMPTS", "100")];
/// A lease that outlasts every short outage.
const LASTING: [Setting<'_>; 2] = [("SINCRO_LEASE_SECONDS", "30"), ("SINCRO_MAX_ATTEMPTS", "100")];
/// Slow enough that a sync of some hundred jobs is caught in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 32 };
/// Calls take a while, so that some are always under way.
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 10, jitter_ms: 20 };
/// A request that does not wait for Redis takes less, also on a busy machine; one that did would take longer.
const PROMPT: Duration = Duration::from_secs(3);

/// A stage in this world whose API and worker have these settings, with so many people and answers that take a while.
async fn stage(world: World, settings: &[Setting<'_>], contacts: u32) -> Stage {
    let gateway = Settings { population: people(contacts), latency: SLOW_ANSWERS, ..Settings::default() };
    let gateway = Gateway::start(gateway).await;
    let api = world.listening("api", settings).await;
    let channel = api.create_channel(&gateway, UNHURRIED).await;
    let worker = world.worker_with(settings).await;
    Stage { worker, api, channel, gateway, world }
}

/// Starts a sync of another channel at the gateway, which must be accepted without delay.
async fn accepted_at_once(stage: &Stage, channel: Uuid) -> SyncId {
    let asked = Instant::now();
    let sync = stage.api.start_sync(channel, 25).await.id;
    assert!(asked.elapsed() < PROMPT, "accepted after {:?} only", asked.elapsed());
    sync
}

/// A second channel of the stage.
async fn another_channel(stage: &Stage) -> Uuid {
    stage.api.create_channel(&stage.gateway, FAST).await
}

/// Waits until the API says this of itself.
async fn until_readyz_says(api: &Client, redis: &str) {
    let degraded = redis != "ok";
    let wanted = json!({"ready": true, "degraded": degraded, "database": "ok", "redis": redis, "migrated": true});
    let said = async { while api.get("/readyz").await.ok::<Value>() != wanted {} };
    within(&format!("/readyz to say {wanted}"), said).await;
}

/// Waits for the sync's end and compares what is stored, counted and told with the gateway's truth.
async fn ends_complete(stage: &Stage, channel: Uuid, sync: SyncId) {
    let end = stage.api.end_of(sync).await;
    let truth = stage.gateway.truth();
    assert_eq!(end.state, SyncState::Completed);
    assert_eq!(end.messages.fetched, audit::count(truth.expected_rows(25)), "each row of the gateway once");
    assert_eq!(end.messages.stored, audit::count(truth.expected(25).len()), "each message once");
    audit::messages_are_the_truth(&stage.api, channel, &truth, 25).await;
    let receipt = stage.api.receipt(sync).await;
    audit::receipt_adds_up(&receipt, &end);
    audit::receipt_tells_the_truth(&receipt, &truth, 25);
}

/// The gateway failed nobody, so no job was attempted twice: whatever went back on the way cost it nothing.
async fn no_attempt_was_spent(stage: &Stage) {
    let failures = stage.gateway.calls().count(|call| call.status.is_some_and(|status| status >= 500));
    assert_eq!(failures, 0, "the gateway is well in this test");
    let spent = stage.world.rows("SELECT id, kind, state, attempts, reason FROM jobs WHERE attempts <> 1").await;
    assert!(spent.is_empty(), "{} jobs: {:?}", spent.len(), &spent[..spent.len().min(5)]);
}

/// The value of a metric without labels; zero before it was first counted.
async fn metric(process: &Client, name: &str) -> u64 {
    let text = process.get("/metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
