//! A million: the worker's memory through 1,000,000 jobs.
//!
//! It is that which the system has given to the process, looked at every half second until the last job is over. Flat means that the last
//! quarter of the jobs needs no more than the second.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::interval;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark},
    peers::Who,
    session::Session,
    stats::{as_number, percentile, slope},
    world::{client::UNLIMITED, installation::Installation, process::Process},
};

pub(super) const CHANNELS: usize = 100;
/// Contacts of each.
pub(super) const OF_A_CHANNEL: usize = 5_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let effort = session.best(Who::Sincro).await?;
    let channels = session.size(CHANNELS);
    let installation = filled(session, channels, OF_A_CHANNEL).await?;
    let worker = installation.worker(effort).await?;
    let looks = watch(&installation, &worker).await?;
    worker.stop().await;

    let most = looks.iter().map(|look| look.1).fold(0.0, f64::max);
    let jobs = as_number(channels * OF_A_CHANNEL * PER_CONTACT);
    let between = |from: f64, to: f64| -> Vec<f64> {
        looks.iter().filter(|look| (from * jobs..=to * jobs).contains(&look.0)).map(|look| look.1).collect()
    };
    let growth = percentile(&between(0.75, 1.0), 50.0) / percentile(&between(0.25, 0.5), 50.0);
    let later: Vec<(f64, f64)> = looks.iter().copied().filter(|look| look.0 > jobs / 4.0).collect();
    Ok(vec![
        Line::alone("memory of the worker at most", "MB", most, Mark::AtMost(96.0)),
        Line::alone("memory in the last quarter to the second", "times", growth, Mark::AtMost(1.05)),
        Line::alone("growth of memory", "MB per 100,000 jobs", slope(&later) * 1e5, Mark::Told),
    ])
}

/// An installation in which so many channels have so many contacts to be synced. The database has nothing left to do for what was taken in.
pub(super) async fn filled(session: &Session, channels: usize, contacts: usize) -> anyhow::Result<Installation> {
    let world = &session.world;
    let installation = world.installation().await?;
    let known = installation.channels(channels, &world.nginx.url, UNLIMITED).await?;
    installation.sync_all(&known, contacts).await?;
    installation.until_queued(world, channels * contacts * PER_CONTACT).await?;
    installation.database.run("VACUUM (ANALYZE)").await?;
    world.postgres.write_down().await?;
    Ok(installation)
}

/// Jobs that are over and megabytes at that time, until all are.
async fn watch(installation: &Installation, worker: &Process) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut looks = Vec::new();
    let mut beat = interval(BETWEEN_LOOKS);
    while !installation.is_over().await? {
        beat.tick().await;
        let memory = worker.resident_mb().context("only Linux tells what memory a process has")?;
        let jobs = usize::try_from(installation.jobs_over().await?)?;
        looks.push((as_number(jobs), memory));
    }
    installation.all_over().await?;
    Ok(looks)
}
