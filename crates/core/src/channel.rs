//! One connected WhatsApp number at one provider.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::{provider::Provider, word::words};

/// A channel's public id.
pub type ChannelId = Uuid;

words! {
    /// Something a channel is entitled to.
    pub enum Feature {
        /// Channel syncs: the whole contact list at once.
        ImportMessages = "import_messages",
    }
}

words! {
    /// Whether a channel's jobs may run.
    pub enum ChannelState {
        /// Jobs run within the limit.
        Active = "active",
        /// Nothing runs until somebody resumes it.
        Paused = "paused",
    }
}

/// How fast a gateway may be called for one channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Gateway calls per second over all workers, more than 0, at most 10,000.
    #[serde(default = "default_rate")]
    #[cfg_attr(feature = "schema", schema(default = default_rate, exclusive_minimum = 0.0, maximum = 10_000.0))]
    pub rate_per_second: f64,
    /// Calls that may be made at once after a quiet time, 1 to 1,000.
    #[serde(default = "default_burst")]
    #[cfg_attr(feature = "schema", schema(default = default_burst, minimum = 1, maximum = 1_000))]
    pub burst: u32,
    /// Calls that may be under way at once over all workers, 1 to 1,000.
    #[serde(default = "default_concurrency")]
    #[cfg_attr(feature = "schema", schema(default = default_concurrency, minimum = 1, maximum = 1_000))]
    pub concurrency: u32,
}

const fn default_rate() -> f64 {
    20.0
}
const fn default_burst() -> u32 {
    1
}
const fn default_concurrency() -> u32 {
    8
}

impl Default for Limit {
    fn default() -> Self {
        Self { rate_per_second: default_rate(), burst: default_burst(), concurrency: default_concurrency() }
    }
}

impl Limit {
    /// The field that is out of its bounds, and the bounds.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.rate_per_second > 0.0 && self.rate_per_second <= 10_000.0) {
            return Err(("limit.rate_per_second", "must be more than 0 and at most 10000"));
        }
        if !(1..=1_000).contains(&self.burst) {
            return Err(("limit.burst", "must be 1 to 1000"));
        }
        if !(1..=1_000).contains(&self.concurrency) {
            return Err(("limit.concurrency", "must be 1 to 1000"));
        }
        Ok(())
    }
}

/// A channel as everybody may see it: its credentials are not part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Public id.
    pub id: ChannelId,
    /// The operator's name for it.
    pub name: String,
    /// The kind of gateway.
    pub provider: Provider,
    /// The gateway's root; a path prefix on it is kept before every call's path.
    pub base_url: Url,
    /// What it is entitled to.
    pub features: BTreeSet<Feature>,
    /// How fast its gateway may be called.
    pub limit: Limit,
    /// Whether its jobs may run.
    pub state: ChannelState,
    /// Why it is paused, when it is.
    pub reason: Option<String>,
    /// The unguessable part of its webhook address.
    pub hook_token: String,
    /// Grows with every change; the queue keeps the newest it has heard of.
    pub version: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Channel {
    /// `provider/host:port`: all channels with the same key share one provider server, and so one shard.
    #[must_use]
    pub fn server(&self) -> String {
        server_key(self.provider, &self.base_url)
    }
}

/// `provider/host:port`, the port left out where it is the scheme's own.
#[must_use]
pub fn server_key(provider: Provider, base_url: &Url) -> String {
    let host = base_url.host_str().unwrap_or_default();
    match base_url.port() {
        Some(port) => format!("{provider}/{host}:{port}"),
        None => format!("{provider}/{host}"),
    }
}

/// A channel with what its gateway asks for: only the worker holds one.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The channel.
    pub channel: Channel,
    /// The credentials as the JSON object that was given at creation.
    pub credentials: SecretString,
}
