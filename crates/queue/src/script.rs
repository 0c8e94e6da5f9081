//! A Lua script as Redis knows it: by its hash, under the key names and the shared parts it stands on.

use redis::Cmd;

use crate::{keys, link};

const BASE: &str = include_str!("../lua/shared/base.lua");
const HOLD: &str = include_str!("../lua/shared/hold.lua");
const LEVEL: &str = include_str!("../lua/shared/level.lua");
const CHANNEL: &str = include_str!("../lua/shared/channel.lua");
const RULE: &str = include_str!("../lua/shared/rule.lua");
const LANE: &str = include_str!("../lua/shared/lane.lua");
const OUTLOOK: &str = include_str!("../lua/shared/outlook.lua");

/// One file of `lua/`, ready to be called.
pub(crate) struct Script {
    source: String,
    hash: String,
}

impl Script {
    pub(crate) fn new(body: &str) -> Self {
        let source = [keys::lua_header().as_str(), BASE, HOLD, LEVEL, CHANNEL, RULE, LANE, OUTLOOK, body].join("\n");
        let hash = redis::Script::new(&source).get_hash().to_owned();
        Self { source, hash }
    }

    /// The command that makes Redis remember the script.
    pub(crate) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(&self.source);
        command
    }
}

/// One call of a script, on one shard.
pub(crate) struct Call {
    pub(crate) script: &'static Script,
    /// Of all keys of the shard.
    pub(crate) slot: u16,
    pub(crate) command: Cmd,
}

impl Call {
    /// `now_us` is 0 for the clock of Redis.
    pub(crate) fn new(script: &'static Script, prefix: &str, now_us: i64) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&script.hash).arg(1).arg(prefix).arg(now_us);
        Self { script, slot: link::slot(prefix), command }
    }

    pub(crate) fn arg(mut self, value: impl redis::ToRedisArgs) -> Self {
        self.command.arg(value);
        self
    }
}
