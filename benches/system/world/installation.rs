//! A Sincro like that of an operator: the release binary, its own defaults, a key, an API and as many workers as are wanted.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::sleep;

use super::{
    World,
    client::{Channel, Client, Limit, sync_of},
    postgres::{Database, number},
    process::{Process, Program},
    programs,
};
use crate::peers::Effort;

/// Base64 of 32 bytes.
const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// Migrated and with a key; every installation begins as a copy of it.
const TEMPLATE: &str = "sincro_template";
const OPEN_SYNCS: &str = "SELECT count(*) FROM syncs WHERE finished_at IS NULL";
const BEAT: Duration = Duration::from_millis(20);
/// Syncs that are asked for at once, as a backend does that has many of them.
const ASKED_AT_ONCE: usize = 8;
const LONG_BEAT: Duration = Duration::from_millis(50);

/// One installation with nothing in it yet.
pub(crate) struct Installation {
    pub(crate) client: Client,
    api: Process,
    pub(crate) database: Database,
    redis_url: String,
    folder: std::path::PathBuf,
}

impl Installation {
    /// Migrates what the others are copies of.
    pub(super) async fn prepare(world: &World) -> anyhow::Result<()> {
        let database = world.postgres.named(TEMPLATE, "postgres").await?;
        run_to_end(&database, &world.redis.url, &["migrate"]).await?;
        let key =
            run_to_end(&database, &world.redis.url, &["key", "create", "--name", "bench", "--scope", "admin"]).await?;
        let key = key.lines().next_back().context("a key is printed")?;
        std::fs::write(world.folder.path().join("key"), key)?;
        Ok(())
    }

    pub(super) async fn start(world: &World) -> anyhow::Result<Self> {
        let database = world.postgres.database(TEMPLATE).await?;
        let key = std::fs::read_to_string(world.folder.path().join("key"))?;
        let listen = format!("127.0.0.1:{}", programs::free_port()?);
        let client = Client::new(format!("http://{listen}"), key)?;
        let (folder, redis_url) = (world.folder.path().to_owned(), world.redis.url.clone());
        let own = vec![("SINCRO_LISTEN", listen)];
        let mut api = start("api", &database, &redis_url, &folder, own).await?;
        api.until("ready", async || client.is_ready().await).await?;
        let installation = Self { client, api, database, redis_url, folder };
        // The first worker opens the queue; after that it is there for whoever comes.
        let worker = installation.worker(Effort::default()).await?;
        while !world.redis.is_open().await? {
            sleep(BEAT).await;
        }
        worker.stop().await;
        Ok(installation)
    }

    /// A worker process that is ready for work.
    pub(crate) async fn worker(&self, effort: Effort) -> anyhow::Result<Process> {
        let listen = format!("127.0.0.1:{}", programs::free_port()?);
        let mut own = vec![("SINCRO_WORKER_LISTEN", listen.clone())];
        if let Some(concurrency) = effort.concurrency {
            own.push(("SINCRO_WORKER_CONCURRENCY", concurrency.to_string()));
        }
        if let Some(connections) = effort.connections {
            own.push(("SINCRO_DATABASE_CONNECTIONS", connections.to_string()));
        }
        let mut worker = start("worker", &self.database, &self.redis_url, &self.folder, own).await?;
        let itself = Client::new(format!("http://{listen}"), String::new())?;
        worker.until("ready", async || itself.is_ready().await).await?;
        Ok(worker)
    }

    /// Channels with the numbers from 0 on.
    pub(crate) async fn channels(&self, count: usize, gateway: &str, limit: Limit) -> anyhow::Result<Vec<Channel>> {
        let made = stream::iter(0..count).map(|number| self.client.channel(number, gateway, limit));
        made.buffered(ASKED_AT_ONCE).try_collect().await
    }

    /// Syncs of so many contacts of each channel, all of them different people, each two jobs.
    pub(crate) async fn sync_all(&self, channels: &[Channel], contacts: usize) -> anyhow::Result<()> {
        let bodies = channels.iter().map(|channel| sync_of(channel.number * contacts..(channel.number + 1) * contacts));
        let requests: Vec<_> = channels.iter().copied().zip(bodies).collect();
        self.ask(requests).await
    }

    /// Makes these requests, several at a time.
    pub(crate) async fn ask(&self, requests: Vec<(Channel, String)>) -> anyhow::Result<()> {
        let asked = stream::iter(requests).map(|(channel, body)| self.client.sync(channel, body));
        asked.buffer_unordered(ASKED_AT_ONCE).try_collect().await
    }

    /// Waits until every sync is over, and makes sure that nothing failed.
    pub(crate) async fn all_over(&self) -> anyhow::Result<()> {
        let mut connection = self.database.connect().await?;
        while number(&mut connection, OPEN_SYNCS).await? > 0 {
            sleep(BEAT).await;
        }
        let bad = number(&mut connection, "SELECT count(*) FROM syncs WHERE state <> 'completed'").await?;
        ensure!(bad == 0, "{bad} syncs did not end well");
        Ok(())
    }

    /// Ends the API; the ledger stays.
    pub(crate) async fn stop(self) -> Database {
        self.api.stop().await;
        self.database
    }

    /// Whether every sync is over.
    pub(crate) async fn is_over(&self) -> anyhow::Result<bool> {
        Ok(self.database.number(OPEN_SYNCS).await? == 0)
    }

    /// Jobs that are over so far, as the ledger counts them.
    pub(crate) async fn jobs_over(&self) -> anyhow::Result<i64> {
        self.database
            .number("SELECT coalesce(sum(jobs_succeeded + jobs_failed + jobs_empty), 0)::bigint FROM syncs")
            .await
    }

    /// Waits until the queue holds so many jobs.
    pub(crate) async fn until_queued(&self, world: &World, jobs: usize) -> anyhow::Result<()> {
        let jobs = i64::try_from(jobs)?;
        while world.redis.queued().await? < jobs {
            sleep(LONG_BEAT).await;
        }
        Ok(())
    }
}

async fn start(
    verb: &str,
    database: &Database,
    redis_url: &str,
    folder: &std::path::Path,
    own: Vec<(&'static str, String)>,
) -> anyhow::Result<Process> {
    let mut variables = settings(database, redis_url);
    variables.extend(own);
    let path = programs::sincro()?;
    let arguments = vec![verb.into()];
    Process::start(Program { name: verb, path: &path, arguments, variables, end: "TERM", account: None, folder }).await
}

/// What every operator has to say.
fn settings(database: &Database, redis_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", database.url.clone()),
        ("REDIS_URL", redis_url.to_owned()),
        ("SINCRO_SECRET_KEY", SECRET_KEY.to_owned()),
    ]
}

async fn run_to_end(database: &Database, redis_url: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new(programs::sincro()?);
    command.args(arguments).env_clear().env("PATH", programs::search_path()).envs(settings(database, redis_url));
    let output = command.kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "sincro {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
