//! Redis with an append-only file that is brought to the disk every second, otherwise at its packaged defaults.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use redis::{AsyncConnectionConfig, FromRedisValue, aio::MultiplexedConnection};
use tokio::time::sleep;

use super::{
    process::{Process, Program},
    programs,
};

const BEAT: Duration = Duration::from_millis(20);

/// A running server.
pub(crate) struct Redis {
    process: Process,
    pub(crate) url: String,
    connection: MultiplexedConnection,
}

impl Redis {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let (room, port) = (programs::room(folder, "redis", None)?, programs::free_port()?);
        let port = port.to_string();
        let settings = ["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "everysec"];
        let program = Program {
            name: "redis",
            path: &programs::find("redis-server")?,
            arguments: settings.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            end: "TERM",
            account: None,
            folder: &room,
        };
        let mut process = Process::start(program).await?;
        let url = format!("redis://127.0.0.1:{port}");
        let client = redis::Client::open(url.as_str())?;
        process.until("ready", async || client.get_multiplexed_async_connection().await.is_ok()).await?;
        // Half a second by itself; what BullMQ leaves takes longer to be forgotten.
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        Ok(Self { process, url, connection })
    }

    /// Empties it and waits until what it writes in the background is written.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        let _: String = self.ask(&["FLUSHALL", "SYNC"]).await?;
        while self.writes_in_the_background().await? {
            sleep(BEAT).await;
        }
        let _: String = self.ask(&["CONFIG", "RESETSTAT"]).await?;
        Ok(())
    }

    async fn writes_in_the_background(&self) -> anyhow::Result<bool> {
        let info: String = self.ask(&["INFO", "persistence"]).await?;
        Ok(["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"]
            .iter()
            .any(|s| info.contains(s)))
    }

    /// Bytes that it uses now.
    pub(crate) async fn used_memory(&self) -> anyhow::Result<f64> {
        self.counter("memory", "used_memory").await
    }

    /// Times that it found something to read on a connection: the round trips that anybody has made. A request that comes in
    /// several pieces counts as often.
    pub(crate) async fn round_trips(&self) -> anyhow::Result<f64> {
        self.counter("stats", "total_reads_processed").await
    }

    async fn counter(&self, section: &str, name: &str) -> anyhow::Result<f64> {
        let info: String = self.ask(&["INFO", section]).await?;
        let prefix = format!("{name}:");
        let value = info.lines().find_map(|line| line.strip_prefix(&prefix)?.trim().parse().ok());
        value.with_context(|| format!("Redis says nothing of {name}"))
    }

    /// Whether our queue is there for jobs.
    pub(crate) async fn is_open(&self) -> anyhow::Result<bool> {
        let there = async |key: &str| self.ask::<bool>(&["EXISTS", &format!("sincro:{{main/0}}:{key}")]).await;
        Ok(there("epoch2").await? && !there("restoring").await?)
    }

    /// Jobs that wait in our queue.
    pub(crate) async fn queued(&self) -> anyhow::Result<i64> {
        let lanes: Vec<i64> = self.ask(&["HVALS", "sincro:{main/0}:queued"]).await?;
        Ok(lanes.into_iter().sum())
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.process.cpu_seconds()
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }
}
