//! The HTTP surface as a backend meets it: who may call what, what comes back, and that it stays what it was promised to be.

mod access;
mod channels;
mod description;
mod events;
mod idempotency;
mod messages;
mod metrics;
mod outage;
mod pages;
mod secrets;
mod tickets;

use reqwest::Method;
use sincro_core::sync::SyncId;
use uuid::Uuid;

use crate::support::{Client, World};

const PHONE: &str = "5511988887777@s.whatsapp.net";
const LID: &str = "190000000000001@lid";

/// A call that `/openapi.json` describes.
struct Operation {
    method: Method,
    /// With its parameters in braces.
    path: String,
    /// The scope it asks for; none lets everybody in.
    scope: Option<String>,
}

/// What a call can be about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    channel: Uuid,
    sync: SyncId,
    address: &'a str,
}

impl Operation {
    /// The path about this subject.
    fn path_of(&self, subject: Subject<'_>) -> String {
        let path = self
            .path
            .replace("{channel_id}", &subject.channel.to_string())
            .replace("{sync_id}", &subject.sync.to_string())
            .replace("{address}", subject.address)
            .replace("{message_id}", "any")
            .replace("{provider}/{hook_token}", "wuzapi/nobody");
        assert!(!path.contains('{'), "a parameter that this test does not know: {path}");
        path
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Every call that the API describes.
async fn operations(api: &Client) -> Vec<Operation> {
    let document: serde_json::Value = api.get("/openapi.json").await.ok();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["api_key"][0].as_str().map(str::to_owned);
            let method = method.to_uppercase().parse().unwrap();
            operations.push(Operation { method, path: path.clone(), scope });
        }
    }
    operations
}

/// A channel that is never called, because nobody works in the tests that use it.
async fn idle_channel(api: &Client) -> Uuid {
    let body = serde_json::json!({
        "name": "idle",
        "provider": "wuzapi",
        "base_url": "http://127.0.0.1:9",
        "credentials": {"token": "t"},
        "features": ["import_messages"],
    });
    let channel: serde_json::Value = api.post_json("/v1/channels", &body).await.ok();
    channel["id"].as_str().unwrap().parse().unwrap()
}

/// How many syncs there are.
async fn syncs_in(world: &World) -> i64 {
    world.number("SELECT count(*) FROM syncs").await
}
