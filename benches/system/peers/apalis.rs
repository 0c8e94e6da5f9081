//! apalis-redis: its verbs are in `benches/peers/apalis/src/main.rs`.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Effort;
use crate::world::{World, postgres::Database, process::Process};

/// Which one is measured; `benches/peers/apalis/Cargo.toml` names it.
pub(crate) const VERSION: &str = "1.0.0";

/// Where `./just bench` has it built.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("a bench is in target/release/deps")?;
    let program = target.join("bench-apalis/release/sincro-bench-apalis");
    anyhow::ensure!(program.is_file(), "{} is missing: `./just bench` builds it", program.display());
    Ok(program)
}

async fn start(world: &World, database: &Database, verb: &str, numbers: &[usize]) -> anyhow::Result<Process> {
    let arguments = std::iter::once(verb.to_owned()).chain(numbers.iter().map(ToString::to_string)).collect();
    super::start(world, database, "apalis", &program()?, arguments).await
}

/// Adds so many jobs and makes them ready; the seconds that adding took.
pub(crate) async fn enqueue(world: &World, database: &Database, jobs: usize) -> anyhow::Result<f64> {
    let mut process = start(world, database, "enqueue", &[jobs]).await?;
    let seconds = process.says("seconds").await?;
    process.stop().await;
    Ok(seconds.as_f64().unwrap_or(f64::NAN))
}

/// A worker that says `completed` after so many jobs.
pub(crate) async fn worker(world: &World, database: &Database, jobs: usize, effort: Effort) -> anyhow::Result<Process> {
    let numbers = [jobs, effort.concurrency.unwrap_or(64), effort.connections.unwrap_or(16)];
    start(world, database, "work", &numbers).await
}
