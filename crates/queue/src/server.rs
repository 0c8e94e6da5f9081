//! What Redis says of itself, for whoever checks an installation.

use crate::{Error, Queue};

/// What matters of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its version.
    pub version: String,
    /// What it throws away when its memory is full; anything but `noeviction` loses parts of the queue.
    pub eviction_policy: Option<String>,
    /// Whether it keeps a log of its writes.
    pub append_only: bool,
}

impl Queue {
    /// Asks Redis about itself.
    pub async fn server_facts(&self) -> Result<ServerFacts, Error> {
        let info = self.link.info().await?;
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        Ok(ServerFacts {
            version: field("redis_version").unwrap_or_default(),
            eviction_policy: field("maxmemory_policy"),
            append_only: field("aof_enabled").as_deref() == Some("1"),
        })
    }
}
