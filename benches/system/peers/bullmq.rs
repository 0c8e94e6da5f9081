//! BullMQ: its verbs are in `benches/peers/bullmq/peer.js`.

use super::Effort;
use crate::world::{World, postgres::Database, process::Process, programs, root};

async fn start(world: &World, database: &Database, words: &[&str], numbers: &[usize]) -> anyhow::Result<Process> {
    let mut arguments = vec![root().join("benches/peers/bullmq/peer.js").display().to_string()];
    arguments.extend(words.iter().map(|word| (*word).to_owned()));
    arguments.extend(numbers.iter().map(ToString::to_string));
    super::start(world, database, "bullmq", &programs::find("node")?, arguments).await
}

/// Adds so many jobs; the seconds that took.
pub(crate) async fn enqueue(world: &World, database: &Database, jobs: usize) -> anyhow::Result<f64> {
    let mut process = start(world, database, &["enqueue"], &[jobs]).await?;
    let seconds = process.says("seconds").await?;
    process.stop().await;
    Ok(seconds.as_f64().unwrap_or(f64::NAN))
}

/// A worker that says `completed` after so many jobs. It works already.
pub(crate) async fn worker(world: &World, database: &Database, jobs: usize, effort: Effort) -> anyhow::Result<Process> {
    let numbers = [jobs, effort.concurrency.unwrap_or(64), effort.connections.unwrap_or(16)];
    let mut process = start(world, database, &["work"], &numbers).await?;
    process.says("ready").await?;
    Ok(process)
}

/// Adds so many jobs to the queue of each channel.
pub(crate) async fn fill(world: &World, database: &Database, channels: usize, jobs: usize) -> anyhow::Result<()> {
    let mut process = start(world, database, &["fill"], &[channels, jobs]).await?;
    process.says("filled").await?;
    process.stop().await;
    Ok(())
}

/// A worker of all these queues, each under BullMQ's limiter. It works already.
pub(crate) async fn limited(
    world: &World,
    database: &Database,
    channels: usize,
    rate: usize,
) -> anyhow::Result<Process> {
    let mut process = start(world, database, &["limited"], &[channels, rate, 8]).await?;
    process.says("ready").await?;
    Ok(process)
}
