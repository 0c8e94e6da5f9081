//! Whoever does the same work beside us, each in processes of its own and at its best.
//!
//! | module | who |
//! |---|---|
//! | `bullmq` | BullMQ, as its users write it: `benches/peers/bullmq` |
//! | `apalis` | apalis-redis as it is published: `benches/peers/apalis` |
//! | `unqueued` | a loop without any queue, which is what a queue could come close to |

pub(crate) mod apalis;
pub(crate) mod bullmq;
pub(crate) mod unqueued;

use std::{fmt, process::Command};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::{
    report::say,
    world::{
        World,
        postgres::Database,
        process::{Process, Program},
        programs, root,
    },
};

/// Who works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Who {
    Sincro,
    Bullmq,
    Apalis,
    Unqueued,
}

/// How much of it is done at once; what is not said is as it comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Effort {
    pub(crate) concurrency: Option<usize>,
    /// To Postgres.
    pub(crate) connections: Option<usize>,
}

impl Who {
    pub(crate) const ALL: [Self; 4] = [Self::Sincro, Self::Bullmq, Self::Apalis, Self::Unqueued];

    /// As tables call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sincro => "Sincro",
            Self::Bullmq => "BullMQ",
            Self::Apalis => "apalis-redis",
            Self::Unqueued => "a loop without a queue",
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |value: Option<usize>| value.map_or_else(|| "default".to_owned(), |value| value.to_string());
        write!(f, "{} at once, {} connections", told(self.concurrency), told(self.connections))
    }
}

/// Installs what BullMQ is made of, as its lock file says. The others are built.
pub(crate) fn prepare() -> anyhow::Result<()> {
    let bullmq = root().join("benches/peers/bullmq");
    if bullmq.join("node_modules/bullmq").is_dir() {
        return Ok(());
    }
    say("installing BullMQ");
    let mut npm = Command::new(programs::find("npm")?);
    let output = npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(bullmq).output().context("cannot run npm")?;
    ensure!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A peer's process; `GATEWAY`, `REDIS_URL` and `DATABASE_URL` tell it where everything is.
async fn start(
    world: &World,
    database: &Database,
    name: &str,
    program: &std::path::Path,
    arguments: Vec<String>,
) -> anyhow::Result<Process> {
    let variables = vec![
        ("GATEWAY", world.nginx.url.clone()),
        ("REDIS_URL", world.redis.url.clone()),
        ("DATABASE_URL", database.url.clone()),
    ];
    let arguments = arguments.into_iter().map(Into::into).collect();
    let folder = world.folder.path();
    Process::start(Program { name, path: program, arguments, variables, end: "TERM", account: None, folder }).await
}

/// The rows of the messages that a peer has stored.
pub(crate) async fn stored(database: &Database) -> anyhow::Result<i64> {
    database.number("SELECT count(*) FROM messages").await
}
