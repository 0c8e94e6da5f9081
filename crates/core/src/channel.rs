//! One connected WhatsApp number at one provider.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use crate::{limit::Limit, provider::Provider, word::words};

/// A channel's public id.
pub type ChannelId = Uuid;

words! {
    /// Something a channel is entitled to.
    pub enum Feature {
        /// Channel syncs: the whole contact list at once.
        ImportMessages = "import_messages",
        /// Files are fetched without being asked for.
        FetchMedia = "fetch_media",
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

words! {
    /// Who or what stopped a channel; decides how it goes on.
    pub enum PausedBy {
        /// A person: goes on when somebody resumes it.
        Operator = "operator",
        /// An answer that nothing but a person can mend (bad token, banned): goes on when somebody resumes it.
        Gateway = "gateway",
        /// A lost session: it is probed, and goes on by itself when it is back.
        Session = "session",
    }
}

/// Why a channel stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who or what stopped it.
    pub by: PausedBy,
    /// For people.
    pub reason: String,
}

impl Pause {
    /// A pause with its reason.
    pub fn new(by: PausedBy, reason: impl Into<String>) -> Self {
        Self { by, reason: reason.into() }
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
    /// Who or what paused it and why, when it is.
    pub paused: Option<Pause>,
    /// The unguessable part of its webhook address.
    pub hook_token: String,
    /// Grows with every change; the queue keeps the newest it has heard of.
    pub version: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Channel {
    /// Whether its jobs may run.
    #[must_use]
    pub const fn state(&self) -> ChannelState {
        if self.paused.is_some() { ChannelState::Paused } else { ChannelState::Active }
    }

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
