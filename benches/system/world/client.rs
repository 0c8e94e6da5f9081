//! The HTTP API of an installation, as a backend uses it.

use std::{fmt::Write as _, ops::Range, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer;

/// A client with an admin key.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// A channel, by the number that its token names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: usize,
    pub(crate) id: Uuid,
}

/// How fast a channel may be called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) rate_per_second: f64,
    pub(crate) concurrency: u32,
}

/// As much as can be said.
pub(crate) const UNLIMITED: Limit = Limit { rate_per_second: 10_000.0, concurrency: 1_000 };

impl Client {
    pub(crate) fn new(base: String, key: String) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, base, key })
    }

    /// Whether the process says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.base)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// A channel at that gateway which may be read as a whole.
    pub(crate) async fn channel(&self, number: usize, gateway: &str, limit: Limit) -> anyhow::Result<Channel> {
        let Limit { rate_per_second, concurrency } = limit;
        let burst = if rate_per_second > 1_000.0 { 1_000 } else { 1 };
        let body = json!({
            "name": format!("channel {number}"),
            "provider": "wuzapi",
            "base_url": gateway,
            "credentials": {"token": answer::token(number)},
            "features": ["import_messages"],
            "limit": {"rate_per_second": rate_per_second, "burst": burst, "concurrency": concurrency},
        });
        let made: Value = serde_json::from_str(&self.post("/v1/channels", body.to_string(), 201).await?)?;
        let id = made["id"].as_str().context("a channel without an id")?.parse()?;
        Ok(Channel { number, id })
    }

    /// Limits servers and channels.
    pub(crate) async fn limit(&self, rules: Value) -> anyhow::Result<()> {
        let request = self.http.put(format!("{}/v1/limits", self.base)).bearer_auth(&self.key);
        let answer = request.json(&json!({ "rules": rules })).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "PUT /v1/limits: {status} {}", answer.text().await?);
        Ok(())
    }

    /// Asks for the sync of a channel with this body; returns when that is accepted.
    pub(crate) async fn sync(&self, channel: Channel, body: String) -> anyhow::Result<()> {
        self.post(&format!("/v1/channels/{}/syncs", channel.id), body, 202).await.map(drop)
    }

    /// Asks for one contact at once; tells when that was accepted.
    pub(crate) async fn ticket(&self, channel: Channel, contact: usize) -> anyhow::Result<Instant> {
        let path = format!("/v1/channels/{}/contacts/{}/syncs", channel.id, phone(contact));
        self.post(&path, json!({"messages": answer::MESSAGES}).to_string(), 202).await?;
        Ok(Instant::now())
    }

    async fn post(&self, path: &str, body: String, expected: u16) -> anyhow::Result<String> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let answer = request.header("content-type", "application/json").body(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == expected, "POST {path}: {status} {text}");
        Ok(text)
    }
}

/// The body of a request for these contacts: two jobs each.
pub(crate) fn sync_of(contacts: Range<usize>) -> String {
    let mut body = format!("{{\"messages_per_contact\":{},\"contacts\":[", answer::MESSAGES);
    let first = contacts.start;
    for contact in contacts {
        let comma = if contact == first { "" } else { "," };
        let _ = write!(body, "{comma}{{\"phone_jid\":\"{}\",\"lid\":\"{}\"}}", phone(contact), lid(contact));
    }
    body + "]}"
}

/// The phone JID of a contact.
pub(crate) fn phone(contact: usize) -> String {
    format!("{}@s.whatsapp.net", 5_510_000_000_000 + contact)
}

/// Its LID.
fn lid(contact: usize) -> String {
    format!("{}@lid", 190_000_000_000_000 + contact)
}
