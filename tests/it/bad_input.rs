//! Requests that cannot be done: each is refused as `application/problem+json` with its status, a stable code and the name
//! of what is wrong, nothing of it is left behind, and the next request is served as if nothing had been.

mod asking;
mod bodies;
mod channels;
mod syncs;

use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Api, Client, World, client::Reply};

const PHONE: &str = "5511988887777@s.whatsapp.net";
const LID: &str = "190000000000001@lid";

/// Status, code and field of a refusal; no field is an empty one.
type Refusal<'a> = (u16, &'a str, &'a str);

/// An API where nobody works, so that nothing changes but by requests.
struct Quiet {
    api: Api,
    world: World,
    /// May be synced as a whole.
    channel: Uuid,
    /// May not.
    plain: Uuid,
}

impl Quiet {
    async fn open() -> Self {
        let world = World::new().await;
        let api = world.api().await;
        let channel = create_channel(&api, &json!(["import_messages"])).await;
        let plain = create_channel(&api, &json!([])).await;
        Self { api, world, channel, plain }
    }

    fn syncs(&self) -> String {
        format!("/v1/channels/{}/syncs", self.channel)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.api.request(Method::POST, path).json(body)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.api.request(Method::GET, path)
    }

    /// A POST of exactly these bytes as JSON.
    fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.api.request(Method::POST, path).header(header::CONTENT_TYPE, "application/json").body(body)
    }

    /// The request is refused like this, and leaves nothing behind.
    async fn refuses(&self, what: &str, request: RequestBuilder, refusal: Refusal<'_>) {
        let before = self.world.footprint().await;
        let reply = self.api.send(request).await;
        is_refused(what, &reply, refusal);
        assert_eq!(self.world.footprint().await, before, "{what} left something behind");
    }

    /// A sync of the channel with this body is refused like this.
    async fn refuses_sync(&self, body: &Value, refusal: Refusal<'_>) {
        self.refuses(&shorten(&body.to_string()), self.post(&self.syncs(), body), refusal).await;
    }

    /// A channel sync that is right is accepted and found, whatever was refused before.
    async fn still_works(&self) {
        let body = json!({"messages_per_contact": 100, "contacts": [{"phone_jid": PHONE, "lid": LID, "name": "Ana"}]});
        let reply = self.api.send(self.post(&self.syncs(), &body)).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let sync: Value = reply.ok();
        let id: Uuid = sync["id"].as_str().unwrap().parse().unwrap();
        let status = self.api.status(id).await;
        assert_eq!((status.jobs.total, status.jobs.queued), (2, 2));
        self.api.steer(id, "cancel").await;
    }
}

async fn create_channel(api: &Client, features: &Value) -> Uuid {
    let channel: Value = api.post_json("/v1/channels", &channel_with("features", features.clone())).await.ok();
    channel["id"].as_str().unwrap().parse().unwrap()
}

/// The body of a good creation, but for this field.
fn channel_with(field: &str, value: Value) -> Value {
    let mut body = json!({
        "name": "support",
        "provider": "wuzapi",
        "base_url": "http://127.0.0.1:9",
        "credentials": {"token": "t"},
        "features": ["import_messages"],
    });
    body[field] = value;
    body
}

/// The body of a sync of these contacts.
fn sync_of(contacts: &Value) -> Value {
    json!({"contacts": contacts})
}

fn is_refused(what: &str, reply: &Reply, (status, code, field): Refusal<'_>) {
    let given = reply.refused(reply.status);
    assert_eq!((reply.status, given.as_str()), (status, code), "{what}: {}", reply.body);
    let problem: Value = reply.json();
    assert_eq!(problem["status"], status, "{what}: {problem}");
    assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{what}: {problem}");
    assert_eq!(problem["type"], format!("urn:sincro:problem:{code}"), "{what}");
    for words in ["title", "detail"] {
        assert!(problem[words].as_str().is_some_and(|words| !words.is_empty()), "{what}: no {words}: {problem}");
    }
    assert!(reply.headers.contains_key("x-request-id"), "{what}");
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}
