//! Redis is away: requests are served, syncs are accepted, and they run when it is back.

use serde_json::{Value, json};
use sincro_core::sync::SyncState;

use crate::support::{Gateway, World, audit, people, proxy::Proxy, stage::FAST, within};

#[tokio::test]
async fn while_redis_is_away_syncs_are_accepted_and_they_run_once_it_is_back() {
    let world = World::new().await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let redis = line.url(&world.queue.url);
    let over_the_line = [("REDIS_URL", redis.as_str())];
    let api = world.listening("api", &over_the_line).await;
    let _worker = world.worker_with(&over_the_line).await;
    let gateway = Gateway::of(people(10)).await;
    let channel = api.create_channel(&gateway, FAST).await;
    let ready = json!({"ready": true, "degraded": false, "database": "ok", "redis": "ok", "migrated": true});
    assert_eq!(api.get("/readyz").await.ok::<Value>(), ready);

    line.cut();
    let degraded = json!({"ready": true, "degraded": true, "database": "ok", "redis": "unavailable", "migrated": true});
    assert_eq!(api.get("/readyz").await.ok::<Value>(), degraded);
    let sync = api.start_sync(channel, 25).await.id;
    let waiting = api.status(sync).await;
    assert_eq!((waiting.state, waiting.limited_by.as_deref()), (SyncState::Planning, Some("queue unavailable")));
    assert_eq!(api.channel(channel).await["effective"], Value::Null);
    let metrics = api.get("/metrics").await;
    assert!(metrics.body.contains("\nsincro_queue_up 0\n") && !metrics.body.contains("sincro_queue_depth{"));
    for path in [
        "/healthz".to_owned(),
        "/v1/syncs".to_owned(),
        format!("/v1/syncs/{sync}/jobs"),
        format!("/v1/channels/{channel}/messages"),
    ] {
        assert_eq!(api.get(&path).await.status, 200, "{path}");
    }

    line.mend().await;
    let end = api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::messages_are_the_truth(&api, channel, &gateway.truth(), 25).await;
    let healed = async { while api.get("/readyz").await.ok::<Value>() != ready {} };
    within("the API to be ready again", healed).await;
}

#[tokio::test]
async fn steering_a_sync_while_redis_is_away_holds_when_it_is_back() {
    let world = World::new().await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let redis = line.url(&world.queue.url);
    let api = world.listening("api", &[("REDIS_URL", &redis)]).await;
    let gateway = Gateway::of(people(6)).await;
    let (cancelled, resumed) = (api.create_channel(&gateway, FAST).await, api.create_channel(&gateway, FAST).await);
    let (cancelled, resumed) = (api.start_sync(cancelled, 25).await.id, api.start_sync(resumed, 25).await.id);
    api.steer(resumed, "pause").await;

    line.cut();
    assert_eq!(api.steer(cancelled, "cancel").await.state, SyncState::Cancelled);
    assert_eq!(api.steer(resumed, "resume").await.state, SyncState::Planning);
    line.mend().await;
    let _worker = world.worker().await;
    assert_eq!(api.end_of(resumed).await.state, SyncState::Completed);
    assert_eq!(api.status(cancelled).await.jobs.total, 0, "nothing of it was planned any more");
}

#[tokio::test]
async fn an_api_that_starts_while_redis_is_away_accepts_syncs() {
    let world = World::new().await;
    let api = world.listening("api", &[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    let ready: Value = api.get("/readyz").await.ok();
    assert_eq!((&ready["ready"], &ready["degraded"]), (&json!(true), &json!(true)));
    let gateway = Gateway::of(people(3)).await;
    let channel = api.create_channel(&gateway, FAST).await;
    let sync = api.start_sync(channel, 25).await.id;
    let _worker = world.worker().await;
    assert_eq!(api.end_of(sync).await.state, SyncState::Completed);
}
