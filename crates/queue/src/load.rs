//! What is going on behind each provider server: for the plan of a sync and the signal to whoever scales workers.

use std::sync::LazyLock;

use redis::Value;
use sincro_core::scaling::{ChannelLoad, ServerLoad};

use crate::{
    Error, Queue,
    fields::{Fields, read_blocked},
    script::Script,
};

static READ_LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/read_load.lua")));
static LIST_SERVERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/list_servers.lua")));

/// As many as the script gives at once.
const CHANNELS_PER_PAGE: usize = 200;

impl Queue {
    /// The servers that have work, with the channels that have some.
    pub async fn loads(&self) -> Result<Vec<ServerLoad>, Error> {
        let mut loads = Vec::new();
        for shard in self.shards() {
            for server in self.servers(shard).await? {
                let load = self.load(shard, server).await?;
                if !load.channels.is_empty() {
                    loads.push(load);
                }
            }
        }
        Ok(loads)
    }

    async fn servers(&self, shard: u16) -> Result<Vec<String>, Error> {
        Ok(redis::from_redis_value(self.link.run_one(self.call(&LIST_SERVERS, shard)).await?)?)
    }

    async fn load(&self, shard: u16, server: String) -> Result<ServerLoad, Error> {
        let mut load = ServerLoad {
            server,
            rate: None,
            concurrency: None,
            running: 0,
            call_seconds: None,
            blocked: None,
            channels: Vec::new(),
        };
        loop {
            let call = self.call(&READ_LOAD, shard).arg(&load.server).arg(load.channels.len());
            let answer: (Vec<String>, i64, Vec<Value>) = redis::from_redis_value(self.link.run_one(call).await?)?;
            let (level, hold_us, rows) = answer;
            let level = Fields(level).level()?;
            (load.rate, load.concurrency, load.running) = (level.effective_rate, level.concurrency, level.running);
            #[expect(clippy::cast_precision_loss, reason = "an average, for estimates")]
            let seconds = hold_us as f64 / 1e6;
            load.call_seconds = (hold_us > 0).then_some(seconds);
            load.blocked = level.resting(sincro_core::limit::Level::Server);
            let rows: Vec<ChannelLoad> = rows.chunks_exact(4).map(read_row).collect::<Result<_, _>>()?;
            let complete = rows.len() < CHANNELS_PER_PAGE;
            load.channels.extend(rows);
            if complete {
                return Ok(load);
            }
        }
    }
}

fn read_row(row: &[Value]) -> Result<ChannelLoad, Error> {
    let text = |i: usize| redis::from_redis_value::<String>(row[i].clone());
    let outlook = Fields(redis::from_redis_value(row[2].clone())?);
    let fields = Fields(redis::from_redis_value(row[3].clone())?);
    let level = fields.level()?;
    Ok(ChannelLoad {
        id: text(0)?.parse().map_err(|_| Error::Unreadable("a channel that is no id".to_owned()))?,
        rate: level.effective_rate.unwrap_or_default(),
        concurrency: level.concurrency.unwrap_or(1),
        weight: fields.number(8)?,
        queued: redis::from_redis_value(row[1].clone())?,
        running: level.running,
        blocked: read_blocked(&outlook, &level)?,
    })
}
