//! How often levels with caps are called, minute by minute, for the ledger to remember.

use std::sync::LazyLock;

use sincro_core::channel::ChannelId;

use crate::{Error, Queue, fields::Fields, script::Script};

static COUNT_CALLS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/count_calls.lua")));

/// What the script takes at once.
const LEVELS_PER_CALL: usize = 200;
/// Fields of a level in its answer.
const ROW: usize = 6;

/// The calls of one level with a cap.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteCount {
    /// The channel, or none for the server itself.
    pub channel: Option<ChannelId>,
    /// Its server.
    pub server: String,
    /// Minutes since the Unix epoch, by the clock of Redis.
    pub minute: i64,
    /// Calls in that minute so far.
    pub calls: i64,
    /// Calls in the minute before.
    pub calls_before: i64,
    /// Calls per second that its rate allows.
    pub rate: f64,
    /// Whether it has work.
    pub works: bool,
}

impl Queue {
    /// Counts the calls of those levels that have a cap: servers (without a channel) and channels. Those of a shard without
    /// a life are left out.
    pub async fn count_calls(&self, levels: &[(String, Option<ChannelId>)]) -> Result<Vec<MinuteCount>, Error> {
        let mut counts = Vec::new();
        for shard in self.shards() {
            let of_shard: Vec<_> = levels.iter().filter(|(server, _)| self.shard_of(server) == shard).collect();
            for levels in of_shard.chunks(LEVELS_PER_CALL) {
                let call = levels.iter().fold(self.call(&COUNT_CALLS, shard), |call, (server, channel)| {
                    call.arg(server).arg(channel.map(|id| id.to_string()).unwrap_or_default())
                });
                let rows: Vec<String> = redis::from_redis_value(self.link.run_one(call).await?)?;
                for row in rows.chunks(ROW) {
                    counts.push(read(levels, &Fields(row.to_vec()))?);
                }
            }
        }
        Ok(counts)
    }
}

fn read(levels: &[&(String, Option<ChannelId>)], row: &Fields) -> Result<MinuteCount, Error> {
    let (server, channel) = levels
        .get(row.number::<usize>(0)?)
        .ok_or_else(|| Error::Unreadable("calls of a level that nobody asked for".to_owned()))?;
    Ok(MinuteCount {
        channel: *channel,
        server: server.clone(),
        minute: row.number(1)?,
        calls: row.number(2)?,
        calls_before: row.number(3)?,
        rate: row.number(4)?,
        works: row.text(5) == Some("1"),
    })
}
