//! Private Postgres and Redis servers, started from the installed programs in a data folder of their own.
//!
//! What `sincro demo`, `sincro dev` and `sincro services` run on when the user names no servers. Neither a server that
//! was running before nor its files are ever touched, and ours end with this process, however it ends.
//!
//! | room | what it is for |
//! |---|---|
//! | `account` | which user runs the servers when we are root |
//! | `folder` | where the data is, who uses it, what is locked |
//! | `leash` | a child process that cannot outlive us |
//! | `ports` | free ports |
//! | `postgres`, `redis` | one server each: make, start, wait, stop |
//! | `programs` | where the installed programs are |
//! | `services` | the verb `sincro services -- COMMAND` |

mod account;
mod folder;
mod leash;
mod ports;
mod postgres;
mod programs;
mod redis;
mod services;

use std::ffi::OsString;
use std::path::Path;

use folder::Folder;
use postgres::Postgres;
use redis::Redis;

pub(crate) use folder::data_dir;
pub(crate) use services::run_with_services;

/// What the user brings, and how careful our own servers are.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Used instead of a Postgres of our own.
    pub(crate) database_url: Option<String>,
    /// Used instead of a Redis of our own.
    pub(crate) redis_url: Option<String>,
    /// Whether writes reach the disk before they are reported done. Only for throw-away data is it turned off.
    pub(crate) fsync: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { database_url: None, redis_url: None, fsync: true }
    }
}

/// The servers to work with: the user's, ours, or one of each.
pub(crate) struct LocalServers {
    database_url: String,
    redis_url: String,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    // Last: the folder is given up only when both servers have ended.
    _folder: Option<Folder>,
}

impl LocalServers {
    /// Starts those servers that the settings do not name, and returns when both can be used.
    ///
    /// The folder is made, and its servers created in it, on first use. Fails when another process uses it, when a
    /// program is not installed (the message says how to install it) or when a server does not start (the message ends
    /// with its log).
    pub(crate) async fn start_missing(data_dir: &Path, settings: Settings) -> anyhow::Result<Self> {
        let (database_url, redis_url) = match (settings.database_url, settings.redis_url) {
            (Some(database_url), Some(redis_url)) => {
                return Ok(Self { database_url, redis_url, postgres: None, redis: None, _folder: None });
            }
            some => some,
        };
        let folder = Folder::claim(data_dir)?;
        let postgres = async {
            if database_url.is_some() { Ok(None) } else { Postgres::start(&folder, settings.fsync).await.map(Some) }
        };
        let redis = async {
            if redis_url.is_some() { Ok(None) } else { Redis::start(&folder, settings.fsync).await.map(Some) }
        };
        let (postgres, redis) = tokio::try_join!(postgres, redis)?;
        let ours = postgres.as_ref().map(|server| server.url().to_owned());
        let database_url = database_url.or(ours).unwrap_or_default();
        let ours = redis.as_ref().map(|server| server.url().to_owned());
        let redis_url = redis_url.or(ours).unwrap_or_default();
        Ok(Self { database_url, redis_url, postgres, redis, _folder: Some(folder) })
    }

    /// With the password in it.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// With the password in it.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Stops what was started here, with everything saved. Dropping does the same, but blocks and reports nothing.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let postgres = async {
            match self.postgres {
                Some(server) => server.stop().await,
                None => Ok(()),
            }
        };
        let redis = async {
            match self.redis {
                Some(server) => server.stop().await,
                None => Ok(()),
            }
        };
        let (postgres, redis) = tokio::join!(postgres, redis);
        postgres.and(redis)
    }
}

/// An environment variable; an empty one counts as not set.
#[expect(clippy::disallowed_methods, reason = "says where the servers are or go, before there is a configuration")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn search_path() -> OsString {
    variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}
