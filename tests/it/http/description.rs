//! `/openapi.json` says what there is, all of it and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{PHONE, Subject, operations};
use crate::support::World;

/// Calls of this version's contract (design, section 5), without those about the process.
const CONTRACT: [(&str, &str); 32] = [
    ("POST", "/v1/channels"),
    ("GET", "/v1/channels"),
    ("GET", "/v1/channels/{channel_id}"),
    ("PATCH", "/v1/channels/{channel_id}"),
    ("DELETE", "/v1/channels/{channel_id}"),
    ("POST", "/v1/channels/{channel_id}/pause"),
    ("POST", "/v1/channels/{channel_id}/resume"),
    ("POST", "/v1/channels/{channel_id}/syncs"),
    ("POST", "/v1/channels/{channel_id}/contacts/{address}/syncs"),
    ("GET", "/v1/channels/{channel_id}/messages"),
    ("GET", "/v1/syncs"),
    ("GET", "/v1/syncs/{sync_id}"),
    ("GET", "/v1/syncs/{sync_id}/jobs"),
    ("GET", "/v1/syncs/{sync_id}/receipt"),
    ("GET", "/v1/syncs/{sync_id}/events"),
    ("POST", "/v1/syncs/{sync_id}/pause"),
    ("POST", "/v1/syncs/{sync_id}/resume"),
    ("POST", "/v1/syncs/{sync_id}/cancel"),
    ("POST", "/v1/syncs/{sync_id}/retry"),
    ("POST", "/v1/channels/{channel_id}/syncs/plan"),
    ("GET", "/v1/limits"),
    ("PUT", "/v1/limits"),
    ("GET", "/v1/limits/changes"),
    ("GET", "/v1/scaling"),
    ("POST", "/hooks/{provider}/{hook_token}"),
    ("GET", "/hooks/{provider}/{hook_token}"),
    ("POST", "/v1/channels/{channel_id}/messages/{message_id}/resync"),
    ("POST", "/v1/channels/{channel_id}/media/syncs"),
    ("POST", "/v1/channels/{channel_id}/allow-history"),
    ("POST", "/v1/channels/{channel_id}/check"),
    ("GET", "/v1/channels/{channel_id}/check"),
    ("POST", "/v1/channels/{channel_id}/connect"),
];

#[tokio::test]
async fn the_description_and_the_router_agree_on_every_path_and_method() {
    let world = World::new().await;
    let api = world.api().await;
    let document: Value = api.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);

    let subject = Subject { channel: Uuid::nil(), sync: Uuid::nil(), address: PHONE };
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut calls = BTreeSet::new();
    for operation in operations(&api).await {
        let methods = described.entry(operation.path_of(subject)).or_default();
        methods.insert(operation.method.to_string());
        if operation.method == Method::GET {
            methods.insert("HEAD".to_owned());
        }
        calls.insert((operation.method.to_string(), operation.path));
    }
    let about_itself = ["/healthz", "/readyz", "/metrics", "/openapi.json"].map(|path| ("GET", path));
    let contract = CONTRACT.into_iter().chain(about_itself).map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(calls, contract.collect(), "the calls of the contract, and no other");

    // The router itself says which methods a path has when it is asked with one that no path has.
    for (path, methods) in described {
        let reply = api.send(api.request(Method::TRACE, &path)).await;
        assert_eq!(reply.refused(405), "method_not_allowed", "{path}");
        let allowed = reply.headers["allow"].to_str().unwrap().split(',').map(|method| method.trim().to_owned());
        assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_a_status_that_is_described() {
    let world = World::new().await;
    let api = world.api().await;
    let document: Value = api.get("/openapi.json").await.ok();
    let channel = super::idle_channel(&api).await;
    let sync = api.start_ticket(channel, PHONE, 5).await.id;
    api.steer(sync, "cancel").await;
    let (there, nowhere) = (
        Subject { channel, sync, address: PHONE },
        Subject { channel: Uuid::from_u128(7), sync: Uuid::from_u128(7), address: "nobody" },
    );
    let mut operations = operations(&api).await;
    operations.sort_by_key(|operation| operation.method == Method::DELETE);
    for subject in [nowhere, there] {
        for operation in &operations {
            let described = &document["paths"][&operation.path][operation.method.as_str().to_lowercase()]["responses"];
            for body in ["", "{", r#"{"colour":"red"}"#, "{}"] {
                let path = operation.path_of(subject);
                let mut request = api.request(operation.method.clone(), &path);
                if operation.method != Method::GET && operation.method != Method::DELETE {
                    request = request.header("content-type", "application/json").body(body);
                } else if !body.is_empty() {
                    continue;
                }
                let reply = api.send(request).await;
                let answer = &described[reply.status.to_string()];
                let name = operation.name();
                assert!(answer.is_object(), "{name} with {body:?}: {} is not described: {}", reply.status, reply.body);
                if reply.status >= 400 {
                    let code = reply.refused(reply.status);
                    let described = answer["description"].as_str().unwrap();
                    assert!(described.contains(&format!("`{code}`")), "{name}: {code} is not described: {described}");
                }
            }
        }
    }
}
