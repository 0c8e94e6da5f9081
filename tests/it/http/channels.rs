//! The life of a channel: made, listed, changed, removed with all it brought.

use serde_json::{Value, json};
use sincro_core::sync::{SyncState, SyncStatus};
use sincro_simulator::{Latency, Population};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{PHONE, idle_channel};
use crate::support::{Gateway, Person, Stage, World, audit, gateway::is_history, people, stage::FAST, within};

#[tokio::test]
async fn a_channel_is_what_was_asked_for_and_what_holds_for_it() {
    let world = World::with(&[("SINCRO_PUBLIC_URL", "https://sync.example.org/base/")]).await;
    let api = world.api().await;
    let body = json!({
        "name": "  suporte é  ",
        "provider": "wuzapi",
        "base_url": "http://127.0.0.1:9/prefix",
        "credentials": {"token": "t", "hmac_key": "k".repeat(32)},
        "limit": {"rate_per_second": 7.5},
    });
    let made: Value = api.post_json("/v1/channels", &body).await.ok();
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["name"], "suporte é");
    assert_eq!(made["base_url"], "http://127.0.0.1:9/prefix");
    assert_eq!(made["features"], json!([]), "a channel may nothing that was not asked for");
    assert_eq!(made["limit"], json!({"rate_per_second": 7.5, "burst": 1, "concurrency": 8}));
    assert_eq!((&made["state"], &made["reason"]), (&json!("active"), &Value::Null));
    assert_eq!(made["effective"]["rate_per_second"], 7.5);
    let hook = made["hook_url"].as_str().unwrap();
    let token = hook.strip_prefix("https://sync.example.org/base/hooks/wuzapi/").unwrap_or_else(|| panic!("{hook}"));
    assert!(token.len() >= 32, "{hook}");
    assert!(made.get("credentials").is_none(), "{made}");
    let shown: Value = api.get(&format!("/v1/channels/{id}")).await.ok();
    assert_eq!(shown, made);
}

#[tokio::test]
async fn channels_are_listed_oldest_first() {
    let world = World::new().await;
    let api = world.api().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(idle_channel(&api).await.to_string());
    }
    for limit in [1, 2, 4, 5, 6] {
        let listed: Vec<Value> = api.pages(&format!("/v1/channels?limit={limit}")).await;
        let listed: Vec<_> = listed.iter().map(|channel| channel["id"].as_str().unwrap()).collect();
        assert_eq!(listed, made, "limit {limit}");
    }
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_leaves_the_rest() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let path = format!("/v1/channels/{channel}");
    let before = api.channel(channel).await;
    let unchanged: Value = api.patch(&path, &json!({})).await.ok();
    assert_eq!(unchanged, before);
    let unchanged: Value = api.patch(&path, &json!({"name": null, "limit": null, "credentials": null})).await.ok();
    assert_eq!(unchanged, before);

    let mut expected = before;
    for (change, field, value) in [
        (json!({"name": "sales"}), "name", json!("sales")),
        (json!({"base_url": "http://127.0.0.1:10"}), "base_url", json!("http://127.0.0.1:10/")),
        (json!({"features": []}), "features", json!([])),
        (json!({"limit": {"burst": 3}}), "limit", json!({"rate_per_second": 20.0, "burst": 3, "concurrency": 8})),
        (
            json!({"limit": {"rate_per_second": 4}}),
            "limit",
            json!({"rate_per_second": 4.0, "burst": 3, "concurrency": 8}),
        ),
    ] {
        let changed: Value = api.patch(&path, &change).await.ok();
        expected[field] = value;
        for field in ["id", "name", "base_url", "features", "limit", "state", "reason", "hook_url", "created_at"] {
            assert_eq!(changed[field], expected[field], "{change}: {field}");
        }
        assert_eq!(api.channel(channel).await["limit"], expected["limit"], "{change}");
    }
    assert_eq!(api.channel(channel).await["effective"]["rate_per_second"], 4.0, "the queue has heard of it");
    assert_eq!(api.ask_for_sync(channel, &json!({})).await.refused(403), "feature_missing");
}

#[tokio::test]
async fn a_channel_stays_at_its_server_while_a_sync_is_open() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let path = format!("/v1/channels/{channel}");
    let open = api.start_sync(channel, 25).await.id;
    let before = world.footprint().await;
    let refused = api.patch(&path, &json!({"base_url": "http://127.0.0.1:10", "name": "moved"})).await;
    assert_eq!(refused.refused(409), "sync_open");
    assert_eq!(refused.json::<Value>()["open_sync"], open.to_string());
    assert_eq!(world.footprint().await, before);
    // Another path on the same server is no move.
    let changed: Value = api.patch(&path, &json!({"base_url": "http://127.0.0.1:9/other"})).await.ok();
    assert_eq!(changed["base_url"], "http://127.0.0.1:9/other");
    api.steer(open, "cancel").await;
    let moved: Value = api.patch(&path, &json!({"base_url": "http://127.0.0.1:10"})).await.ok();
    assert_eq!(moved["base_url"], "http://127.0.0.1:10/");
}

#[tokio::test]
async fn a_channel_goes_with_everything_it_brought_once_nothing_is_open() {
    let stage = Stage::of(people(6)).await;
    let (api, channel) = (&stage.api, stage.channel);
    let kept = api.create_channel(&stage.gateway, FAST).await;
    let kept_sync = api.start_sync(kept, 25).await.id;
    assert_eq!(api.end_of(kept_sync).await.state, SyncState::Completed);
    let done = stage.sync().await;
    assert_eq!(api.messages(channel).await.len(), api.messages(kept).await.len());

    // A sync that waits is open, too.
    api.steer_channel(channel, "pause").await;
    stage.world.until_heard().await;
    let open = api.start_ticket(channel, PHONE, 5).await.id;
    let path = format!("/v1/channels/{channel}");
    let refused = api.delete(&path).await;
    assert_eq!(refused.refused(409), "sync_open");
    assert_eq!(refused.json::<Value>()["open_sync"], open.to_string());
    assert_eq!(api.channel(channel).await["state"], "paused");

    api.steer(open, "cancel").await;
    let gone = api.delete(&path).await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    for path in [path.clone(), format!("{path}/messages")] {
        assert_eq!(api.get(&path).await.refused(404), "channel_not_found", "{path}");
    }
    assert_eq!(api.delete(&path).await.refused(404), "channel_not_found");
    for sync in [done.id, open] {
        assert_eq!(api.get(&format!("/v1/syncs/{sync}")).await.refused(404), "sync_not_found");
    }
    assert_eq!(rows_of(&stage.world, channel).await, Vec::<String>::new(), "tables that still speak of it");
    assert!(!rows_of(&stage.world, kept).await.is_empty());

    // Its neighbour is as it was, and goes on.
    let listed: Vec<Value> = api.pages("/v1/channels?limit=10").await;
    assert_eq!(listed.iter().map(|channel| channel["id"].clone()).collect::<Vec<_>>(), [json!(kept)]);
    let again = api.start_sync(kept, 25).await.id;
    let end = api.end_of(again).await;
    assert_eq!((end.state, end.messages.stored), (SyncState::Completed, 0));
    let expected = stage.gateway.truth().expected(25).len();
    assert_eq!(api.messages(kept).await.len(), expected);
}

#[tokio::test]
async fn a_result_that_comes_after_its_channel_is_gone_changes_nothing() {
    let world = World::new().await;
    let api = world.listening("all", &[]).await;
    let gateway = Gateway::of(people(6)).await;
    let (channel, other) = (api.create_channel(&gateway, FAST).await, api.create_channel(&gateway, FAST).await);
    let person = gateway.truth().persons()[0].phone_jid.clone();
    gateway.set_latency(Latency { fixed_ms: 300, jitter_ms: 0 });
    let sync = api.start_sync_of(channel, 25, &[Person { phone_jid: person, ..Person::default() }]).await.id;
    within("a call that is under way", gateway.calls().wait_for(1, is_history)).await;
    api.steer(sync, "cancel").await;
    assert_eq!(api.delete(&format!("/v1/channels/{channel}")).await.status, 204);

    // The calls of this one come after, and take as long.
    let end_of_other = api.start_sync(other, 25).await.id;
    assert_eq!(api.end_of(end_of_other).await.state, SyncState::Completed);
    assert_eq!(rows_of(&world, channel).await, Vec::<String>::new());
    assert_eq!(world.number("SELECT count(*) FROM messages").await, number_of(&gateway));
    let metrics = api.get("/metrics").await.body;
    for state in ["queued", "running", "delayed"] {
        assert!(metrics.contains(&format!("sincro_queue_depth{{state=\"{state}\"}} 0\n")), "{metrics}");
    }
    let log = api.process.whole_log();
    assert!(!log.contains("\"ERROR\"") && !log.contains("panic"), "{log}");
}

#[tokio::test]
async fn new_credentials_and_another_gateway_hold_from_the_next_call_on() {
    let stage = Stage::of(people(4)).await;
    let api = &stage.api;
    let channel = api.create_channel_with(&stage.gateway, "not the token", FAST).await;
    let path = format!("/v1/channels/{channel}");
    let sync = api.start_sync(channel, 25).await.id;
    let refused = |status: &SyncStatus| {
        status.limited_by.as_deref().is_some_and(|why| why.starts_with("paused by gateway: unauthorized"))
    };
    api.follow(sync).await.until(refused).await;
    assert_eq!(api.channel(channel).await["state"], "paused");
    api.patch(&path, &json!({"credentials": {"token": stage.gateway.token()}})).await.ok::<Value>();
    api.steer_channel(channel, "resume").await;
    assert_eq!(api.end_of(sync).await.state, SyncState::Completed);
    assert_eq!(api.messages(channel).await.len(), stage.gateway.truth().expected(25).len());

    let elsewhere = Gateway::of(Population { seed: 7, ..people(3) }).await;
    api.patch(&path, &json!({"base_url": elsewhere.base_url()})).await.ok::<Value>();
    let before = stage.gateway.calls().all().len();
    let sync = api.start_sync(channel, 25).await.id;
    assert_eq!(api.end_of(sync).await.state, SyncState::Completed);
    assert_eq!(stage.gateway.calls().all().len(), before, "nothing more was asked of the old one");
    assert_eq!(api.status(sync).await.messages.stored, number_of(&elsewhere));
}

/// How many messages a sync of 25 per address finds there.
fn number_of(gateway: &Gateway) -> i64 {
    audit::count(gateway.truth().expected(25).len())
}

/// The tables in which this channel is named.
async fn rows_of(world: &World, channel: Uuid) -> Vec<String> {
    let mut found = Vec::new();
    for table in world.tables().await {
        let query = format!("SELECT 1 AS one FROM {table} t WHERE to_jsonb(t)::text LIKE '%{channel}%' LIMIT 1");
        if !world.rows(&query).await.is_empty() {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn changes_of_two_parts_of_a_limit_at_the_same_time_both_hold() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    for value in 2..12 {
        let mut changing = JoinSet::new();
        for change in [json!({"limit": {"burst": value}}), json!({"limit": {"concurrency": value}})] {
            let (api, path) = (api.client.clone(), format!("/v1/channels/{channel}"));
            changing.spawn(async move { api.patch(&path, &change).await.ok::<Value>() });
        }
        changing.join_all().await;
        let limit = json!({"rate_per_second": 20.0, "burst": value, "concurrency": value});
        assert_eq!(api.channel(channel).await["limit"], limit);
    }
}
