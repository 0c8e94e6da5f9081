//! What Redis says of itself, for whoever checks an installation.

use crate::{Error, Queue, link::Said};

/// A Redis server that has a part of the queue, or a copy of one.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it is.
    pub address: String,
    /// Whether requests go to it; else it stands by.
    pub primary: bool,
    /// What it is, if it answers.
    pub facts: Result<ServerFacts, Error>,
}

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
    /// Asks all servers about themselves, primaries first.
    pub async fn redis_servers(&self) -> Result<Vec<RedisServer>, Error> {
        let said = self.link.infos().await?.into_iter();
        let server = |Said { server, primary, info }| RedisServer {
            address: server,
            primary,
            facts: info.map(|info| ServerFacts::read(&info)),
        };
        Ok(said.map(server).collect())
    }
}

impl ServerFacts {
    fn read(info: &str) -> Self {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        Self {
            version: field("redis_version").unwrap_or_default(),
            eviction_policy: field("maxmemory_policy"),
            append_only: field("aof_enabled").as_deref() == Some("1"),
        }
    }
}
