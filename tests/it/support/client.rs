//! The HTTP API as a backend uses it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sincro_core::{
    job::JobLine,
    limit::Limit,
    message::StoredMessage,
    receipt::Receipt,
    sync::{SyncId, SyncStatus},
};
use uuid::Uuid;

use super::{follow::Follower, gateway::Gateway};

/// A client with one key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) base: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// A person of a contact list in a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    pub(crate) phone_jid: Option<String>,
    pub(crate) lid: Option<String>,
    pub(crate) name: Option<String>,
}

/// An answer, whatever it is.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Method and path, for people.
    call: String,
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    /// The body of a good answer.
    pub(crate) fn ok<T: DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.call, self.status, self.body);
        self.json()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{}: {} {}: {error}", self.call, self.status, self.body))
    }

    /// The code of a refusal, which must come with this status as `application/problem+json`.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}: {}", self.call, self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.call);
        let problem: Value = self.json();
        problem["code"].as_str().unwrap_or_else(|| panic!("no code: {problem}")).to_owned()
    }
}

impl Client {
    pub(crate) fn new(base: &str, key: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(40))
            .build()
            .unwrap();
        Self { base: base.to_owned(), key: Some(key.to_owned()), http }
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The same API with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same API without a key.
    pub(crate) fn anonymous(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The key it shows, or nothing.
    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// A request to be completed by the test.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        let request = request.build().unwrap();
        let call = format!("{} {}", request.method(), request.url().path());
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => panic!("{call}: {error:?}"),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap_or_else(|error| panic!("{call}: {error:?}"));
        Reply { call, status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// A POST without a body.
    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A channel at the simulated gateway's first number, entitled to channel syncs.
    pub(crate) async fn create_channel(&self, gateway: &Gateway, limit: Limit) -> Uuid {
        self.create_channel_with(gateway, gateway.token(), limit).await
    }

    /// The same with any token.
    pub(crate) async fn create_channel_with(&self, gateway: &Gateway, token: &str, limit: Limit) -> Uuid {
        let body = json!({
            "name": "test",
            "provider": gateway.provider().as_str(),
            "base_url": gateway.base_url(),
            "credentials": {"token": token},
            "features": ["import_messages"],
            "limit": limit,
        });
        let channel: Value = self.post_json("/v1/channels", &body).await.ok();
        channel["id"].as_str().and_then(|id| id.parse().ok()).expect("a channel has an id")
    }

    pub(crate) async fn channel(&self, channel: Uuid) -> Value {
        self.get(&format!("/v1/channels/{channel}")).await.ok()
    }

    /// `pause` or `resume`.
    pub(crate) async fn steer_channel(&self, channel: Uuid, verb: &str) -> Value {
        self.post(&format!("/v1/channels/{channel}/{verb}")).await.ok()
    }

    /// Syncs everybody the gateway lists.
    pub(crate) async fn start_sync(&self, channel: Uuid, messages: u32) -> SyncStatus {
        let reply = self.ask_for_sync(channel, &json!({"messages_per_contact": messages})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.ok()
    }

    /// Syncs the persons of a list.
    pub(crate) async fn start_sync_of(&self, channel: Uuid, messages: u32, persons: &[Person]) -> SyncStatus {
        let contacts: Vec<Value> = persons.iter().map(Person::json).collect();
        let body = json!({"messages_per_contact": messages, "contacts": contacts});
        let reply = self.ask_for_sync(channel, &body).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.ok()
    }

    pub(crate) async fn ask_for_sync(&self, channel: Uuid, body: &Value) -> Reply {
        self.post_json(&format!("/v1/channels/{channel}/syncs"), body).await
    }

    /// A ticket sync: one person, urgent.
    pub(crate) async fn start_ticket(&self, channel: Uuid, address: &str, messages: u32) -> SyncStatus {
        let path = format!("/v1/channels/{channel}/contacts/{address}/syncs");
        let reply = self.post_json(&path, &json!({"messages": messages})).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.ok()
    }

    pub(crate) async fn status(&self, sync: SyncId) -> SyncStatus {
        self.get(&format!("/v1/syncs/{sync}")).await.ok()
    }

    /// `pause`, `resume`, `cancel` or `retry`.
    pub(crate) async fn steer(&self, sync: SyncId, verb: &str) -> SyncStatus {
        self.ask_to(sync, verb).await.ok()
    }

    pub(crate) async fn ask_to(&self, sync: SyncId, verb: &str) -> Reply {
        self.post(&format!("/v1/syncs/{sync}/{verb}")).await
    }

    /// The sync's event stream.
    pub(crate) async fn follow(&self, sync: SyncId) -> Follower {
        Follower::open(self, sync).await
    }

    /// The sync's last status, when it is over.
    pub(crate) async fn end_of(&self, sync: SyncId) -> SyncStatus {
        self.follow(sync).await.end().await
    }

    /// The receipt with all its lines, in pages of an odd size.
    pub(crate) async fn receipt(&self, sync: SyncId) -> Receipt {
        let page = async |after: Option<i64>| -> Receipt {
            let after = after.map_or_else(String::new, |after| format!("&after={after}"));
            self.get(&format!("/v1/syncs/{sync}/receipt?limit=997{after}")).await.ok()
        };
        let mut whole = page(None).await;
        while let Some(after) = whole.next {
            let more = page(Some(after)).await;
            whole.lines.extend(more.lines);
            whole.next = more.next;
        }
        whole
    }

    /// All jobs of a sync.
    pub(crate) async fn jobs(&self, sync: SyncId) -> Vec<JobLine> {
        self.pages(&format!("/v1/syncs/{sync}/jobs?limit=499")).await
    }

    /// Everything that is stored for a channel.
    pub(crate) async fn messages(&self, channel: Uuid) -> Vec<StoredMessage> {
        self.pages(&format!("/v1/channels/{channel}/messages?limit=997")).await
    }

    /// Everything that is stored for one person.
    pub(crate) async fn messages_of(&self, channel: Uuid, address: &str) -> Vec<StoredMessage> {
        self.pages(&format!("/v1/channels/{channel}/messages?limit=7&address={address}")).await
    }

    /// All pages of a list whose path already has a query.
    pub(crate) async fn pages<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let mut page: Value = self.get(&format!("{path}{after}")).await.ok();
            let found = page["items"].take();
            items.extend(serde_json::from_value::<Vec<T>>(found).expect("the items of a page"));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }
}

impl Person {
    fn json(&self) -> Value {
        let mut person = json!({});
        for (field, value) in [("phone_jid", &self.phone_jid), ("lid", &self.lid), ("name", &self.name)] {
            if let Some(value) = value {
                person[field] = json!(value);
            }
        }
        person
    }
}

impl From<&sincro_simulator::Person> for Person {
    fn from(person: &sincro_simulator::Person) -> Self {
        let name = Some(person.full_name.clone()).filter(|name| !name.is_empty());
        Self { phone_jid: person.phone_jid.clone(), lid: person.lid.clone(), name }
    }
}
