//! Asking again: the same request under the same key happens once, another one while a sync runs is told which.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{LID, PHONE, idle_channel, syncs_in};
use crate::support::{Client, Stage, World, client::Reply, people};

const KEY: &str = "order-4711";

/// Asks for a sync of the channel under the key.
async fn ask(api: &Client, channel: Uuid, body: &Value) -> Reply {
    ask_at(api, &format!("/v1/channels/{channel}/syncs"), body).await
}

async fn ask_at(api: &Client, path: &str, body: &Value) -> Reply {
    let request = api.request(reqwest::Method::POST, path).header("Idempotency-Key", KEY);
    api.send(request.json(body)).await
}

fn is_replayed(reply: &Reply) -> bool {
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_given_the_first_answer() {
    let stage = Stage::of(people(5)).await;
    let body = json!({"messages_per_contact": 25});
    let first = ask(&stage.api, stage.channel, &body).await;
    assert!(!is_replayed(&first));
    let sync: Value = first.ok();
    let id: Uuid = sync["id"].as_str().unwrap().parse().unwrap();
    stage.api.end_of(id).await;
    // Also when it is over, and would be another one now.
    let again = ask(&stage.api, stage.channel, &body).await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(syncs_in(&stage.world).await, 1);
}

#[tokio::test]
async fn ten_such_requests_at_once_start_one_sync() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    for path in [format!("/v1/channels/{channel}/syncs"), format!("/v1/channels/{channel}/contacts/{PHONE}/syncs")] {
        let before = syncs_in(&world).await;
        let mut asking = JoinSet::new();
        for _ in 0..10 {
            let (api, path) = (api.client.clone(), path.clone());
            asking.spawn(async move {
                let request =
                    api.request(reqwest::Method::POST, &path).header("Idempotency-Key", path.len().to_string());
                api.send(request.json(&json!({}))).await
            });
        }
        let replies = asking.join_all().await;
        let replayed = replies.iter().filter(|reply| is_replayed(reply)).count();
        assert_eq!(replayed, 9, "all but the first one");
        assert!(replies.iter().all(|reply| reply.body == replies[0].body), "one answer for all");
        assert_eq!(syncs_in(&world).await, before + 1);
    }
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let world = World::new().await;
    let api = world.api().await;
    let (channel, other_channel) = (idle_channel(&api).await, idle_channel(&api).await);
    let body = json!({"messages_per_contact": 25, "contacts": [{"lid": LID}]});
    assert!(!is_replayed(&ask(&api, channel, &body).await));
    let before = world.footprint().await;
    for (path, body) in [
        (format!("/v1/channels/{channel}/syncs"), json!({"messages_per_contact": 26, "contacts": [{"lid": LID}]})),
        (format!("/v1/channels/{channel}/syncs"), json!({})),
        (format!("/v1/channels/{other_channel}/syncs"), body.clone()),
        (format!("/v1/channels/{channel}/contacts/{PHONE}/syncs"), json!({})),
    ] {
        let reply = ask_at(&api, &path, &body).await;
        assert_eq!(reply.refused(422), "idempotency_key_reused", "{path} {body}");
        assert_eq!(reply.json::<Value>()["field"], "Idempotency-Key");
    }
    assert_eq!(world.footprint().await, before);

    // The words of one client are not those of another.
    let other_client = api.with_key(&world.create_key("enqueue").await);
    assert_eq!(ask(&other_client, channel, &body).await.refused(409), "sync_running");
    assert!(!is_replayed(&ask(&other_client, other_channel, &body).await));
}

#[tokio::test]
async fn a_restart_of_the_api_does_not_forget_first_answers() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let first = ask(&api, channel, &json!({})).await;
    assert!(!is_replayed(&first));
    api.process.kill();

    let api = world.api().await;
    let again = ask(&api, channel, &json!({})).await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    assert_eq!(ask(&api, channel, &json!({"messages_per_contact": 1})).await.refused(422), "idempotency_key_reused");
    assert_eq!(syncs_in(&world).await, 1);
}

#[tokio::test]
async fn a_request_that_was_refused_can_be_made_again_under_its_key() {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let running = api.start_sync(channel, 25).await.id;
    assert_eq!(ask(&api, channel, &json!({})).await.refused(409), "sync_running");
    api.steer(running, "cancel").await;
    assert!(!is_replayed(&ask(&api, channel, &json!({})).await));
    assert_eq!(syncs_in(&world).await, 2);
}

#[tokio::test]
async fn a_second_sync_of_a_channel_is_refused_with_the_name_of_the_first() {
    let world = World::new().await;
    let api = world.api().await;
    let (channel, other_channel) = (idle_channel(&api).await, idle_channel(&api).await);
    let running = api.start_sync(channel, 25).await.id;
    let before = world.footprint().await;
    for body in [json!({}), json!({"contacts": [{"lid": LID}]})] {
        let refused = api.ask_for_sync(channel, &body).await;
        assert_eq!(refused.refused(409), "sync_running");
        assert_eq!(refused.json::<Value>()["running_sync"], running.to_string());
    }
    assert_eq!(world.footprint().await, before);

    // Of ten at the same time one is started, and the others name it.
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let api = api.client.clone();
        asking.spawn(async move { api.ask_for_sync(other_channel, &json!({})).await });
    }
    let (accepted, refused): (Vec<_>, Vec<_>) = asking.join_all().await.into_iter().partition(|r| r.status == 202);
    let [accepted] = accepted.as_slice() else { panic!("{} syncs of one channel", accepted.len()) };
    let started: Value = accepted.json();
    for reply in refused {
        assert_eq!(reply.refused(409), "sync_running");
        assert_eq!(reply.json::<Value>()["running_sync"], started["id"]);
    }
}

#[tokio::test]
async fn the_location_of_an_answer_leads_to_what_was_made() {
    let world = World::new().await;
    let api = world.api().await;
    let body = json!({"name": "support", "provider": "wuzapi", "base_url": "http://127.0.0.1:9", "features": ["import_messages"],
                      "credentials": {"token": "t"}});
    let channel = api.post_json("/v1/channels", &body).await;
    let made: Value = channel.json();
    let channels = format!("/v1/channels/{}", made["id"].as_str().unwrap());
    let ticket = format!("{channels}/contacts/{PHONE}/syncs");
    let sync = api.post_json(&format!("{channels}/syncs"), &json!({})).await;
    let ticket = api.post_json(&ticket, &json!({"messages": 5})).await;
    assert_eq!((channel.status, sync.status, ticket.status), (201, 202, 202));
    for reply in [channel, sync, ticket] {
        let (made, location): (Value, _) = (reply.json(), reply.headers["location"].to_str().unwrap());
        let found: Value = api.get(location).await.ok();
        assert_eq!(found["id"], made["id"], "{location}");
        assert_eq!(found["created_at"], made["created_at"]);
    }
}
