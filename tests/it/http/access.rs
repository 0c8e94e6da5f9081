//! Who may call what.

use reqwest::Method;
use serde_json::Value;

use super::{Operation, PHONE, Subject, idle_channel};
use crate::support::{Api, Client, World};

/// The calls that a key opens or does not. The address of a webhook is a key itself.
async fn operations(api: &Client) -> Vec<Operation> {
    let mut all = super::operations(api).await;
    all.retain(|operation| !operation.path.starts_with("/hooks/"));
    all
}

/// The scope that a call must ask for, by what it does.
fn scope_of(operation: &Operation) -> Option<&'static str> {
    match operation.path.as_str() {
        "/healthz" | "/readyz" => None,
        _ if operation.method == Method::GET => Some("read"),
        path if path.ends_with("/syncs")
            || path.ends_with("/resync")
            || path.ends_with("/check")
            || path.ends_with("/plan")
            || path.starts_with("/v1/syncs/") =>
        {
            Some("enqueue")
        }
        _ => Some("admin"),
    }
}

/// An API with a channel and a sync that is over, so that its events end.
async fn opened() -> (World, Api, Subject<'static>) {
    let world = World::new().await;
    let api = world.api().await;
    let channel = idle_channel(&api).await;
    let sync = api.start_ticket(channel, PHONE, 5).await.id;
    api.steer(sync, "cancel").await;
    (world, api, Subject { channel, sync, address: PHONE })
}

#[tokio::test]
async fn without_a_valid_key_only_health_answers() {
    let (world, api, subject) = opened().await;
    let revoked = world.create_key("admin").await;
    sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE last_used_at IS NULL").execute(&world.sql).await.unwrap();
    let (unknown, other_scheme) = (api.with_key(&revoked.replace('_', "-")), format!("Basic {}", world.key));
    let strangers = [api.anonymous(), unknown, api.with_key(&revoked)];
    let before = world.footprint().await;
    for operation in operations(&api).await {
        let path = operation.path_of(subject);
        let mut requests: Vec<_> = strangers.iter().map(|api| api.request(operation.method.clone(), &path)).collect();
        requests.push(strangers[0].request(operation.method.clone(), &path).header("authorization", &other_scheme));
        requests.push(strangers[0].request(operation.method.clone(), &format!("{path}?key={}", world.key)));
        if operation.method == Method::GET && scope_of(&operation).is_some() {
            let head = api.anonymous().request(Method::HEAD, &path);
            assert_eq!(api.send(head).await.status, 401, "HEAD {}", operation.path);
        }
        for request in requests {
            let reply = api.send(request).await;
            if scope_of(&operation).is_none() {
                assert_eq!(reply.status, 200, "{}", operation.name());
            } else {
                assert_eq!(reply.refused(401), "unauthorized", "{}", operation.name());
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
            }
        }
    }
    assert_eq!(world.footprint().await, before, "nobody was let in by the back door");
}

#[tokio::test]
async fn a_worker_answers_about_itself_and_about_nothing_else() {
    let world = World::new().await;
    let worker = world.listening("worker", &[("SINCRO_WORKER_LISTEN", "127.0.0.1:0")]).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(worker.anonymous().get(path).await.status, 200, "{path}");
    }
    assert_eq!(worker.anonymous().get("/metrics").await.refused(401), "unauthorized");
    let metrics = worker.with_key(&world.create_key("read").await).get("/metrics").await;
    assert!(metrics.body.contains("sincro_queue_depth{"), "{}", metrics.body);
    for path in ["/openapi.json", "/v1/channels", "/v1/syncs"] {
        assert_eq!(worker.get(path).await.refused(404), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_key_opens_what_its_scope_names_and_nothing_more() {
    let (world, api, subject) = opened().await;
    let operations = operations(&api).await;
    for operation in &operations {
        assert_eq!(operation.scope.as_deref(), scope_of(operation), "as described: {}", operation.name());
    }
    let scopes = ["read", "enqueue", "admin"];
    for (strength, scope) in scopes.iter().enumerate().take(2) {
        let key = api.with_key(&world.create_key(scope).await);
        let (open, closed): (Vec<_>, Vec<_>) = operations.iter().partition(|operation| {
            scope_of(operation).is_none_or(|needed| scopes.iter().position(|s| *s == needed).unwrap() <= strength)
        });
        let before = world.footprint().await;
        for operation in closed {
            let reply = key.send(key.request(operation.method.clone(), &operation.path_of(subject))).await;
            assert_eq!(reply.refused(403), "scope_missing", "{scope}: {}", operation.name());
        }
        assert_eq!(world.footprint().await, before, "{scope}");
        for operation in open {
            let reply = key.send(key.request(operation.method.clone(), &operation.path_of(subject))).await;
            let name = operation.name();
            assert!(![401, 403].contains(&reply.status) && reply.status < 500, "{scope}: {name}: {}", reply.status);
        }
        // The address of a webhook is as good as a key to it.
        let shown: Value = key.get(&format!("/v1/channels/{}", subject.channel)).await.ok();
        assert_eq!(shown["hook_url"], Value::Null);
    }
}
