//! Where everything is done: private servers at their packaged defaults, a gateway that is no bottleneck, and processes.
//!
//! | module | what it holds |
//! |---|---|
//! | `process` | a process that ends with us, and what it says |
//! | `programs` | where the installed programs are, and who may run them |
//! | `postgres`, `redis` | the two servers, and what they count |
//! | `nginx` | the gateway of most figures: answers WuzAPI's calls and notes time and token of each |
//! | `clock` | the gateway of those figures that are about milliseconds |
//! | `answer` | what a gateway answers |
//! | `installation` | a Sincro like that of an operator: migrated, with a key, an API and as many workers as are wanted |
//! | `client` | its HTTP API |
//!
//! Nothing that ran before is touched, and no server is reachable but from this machine.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod installation;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod redis;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;

use self::{installation::Installation, nginx::Nginx, postgres::Postgres, redis::Redis};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// The servers of all measurements; their processes end before the folder goes.
pub(crate) struct World {
    pub(crate) nginx: Nginx,
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    pub(crate) folder: TempDir,
}

impl World {
    /// Starts the servers with their data below `data`, or where temporary files go.
    pub(crate) async fn start(data: Option<&Path>) -> anyhow::Result<Self> {
        let place = data.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new().prefix("sincro-bench-").tempdir_in(&place);
        let folder = folder.with_context(|| format!("cannot make a folder in {}", place.display()))?;
        // Postgres' own user has to get through.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        let postgres = Postgres::start(folder.path()).await?;
        let redis = Redis::start(folder.path()).await?;
        let nginx = Nginx::start(folder.path()).await?;
        let world = Self { nginx, redis, postgres, folder };
        Installation::prepare(&world).await?;
        Ok(world)
    }

    /// What an earlier measurement left is gone, and the servers have nothing left to write for it.
    async fn cleared(&self) -> anyhow::Result<()> {
        self.redis.clear().await?;
        self.postgres.settle().await
    }

    /// A fresh Sincro: an empty ledger, an empty queue, an API.
    pub(crate) async fn installation(&self) -> anyhow::Result<Installation> {
        self.cleared().await?;
        Installation::start(self).await
    }

    /// A fresh database with the tables of the peers; a Redis with nothing in it.
    pub(crate) async fn for_a_peer(&self) -> anyhow::Result<postgres::Database> {
        self.cleared().await?;
        let tables = fs::read_to_string(root().join("benches/peers/tables.sql"))?;
        let database = self.postgres.database("postgres").await?;
        database.run(&tables).await?;
        Ok(database)
    }
}
