//! A million: how fast jobs are done while 1,000,000 wait, against 10,000; and the worker's memory through all of them.
//!
//! The speed is that of the first 8,000 calls behind the first 1,000, as the gateway saw them, in both cases of as many channels.
//! The memory is that which the system has given to the process, looked at every half second until the last job is over. Flat means that the last
//! quarter of the jobs needs no more than the second.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::interval;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark},
    peers::Who,
    session::Session,
    stats::{as_number, percentile, slope},
    world::{client::UNLIMITED, installation::Installation, nginx::Call, process::Process},
};

/// The calls whose speed counts.
const FROM: usize = 1_000;
const TO: usize = 9_000;
const SHALLOW: usize = 10_000;
const CONTACTS: usize = 5_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let effort = session.best(Who::Sincro).await?;
    let world = &session.world;

    let channels = session.size(100);
    let (installation, mark) = filled(session, channels, SHALLOW / PER_CONTACT / channels).await?;
    let worker = installation.worker(effort).await?;
    installation.all_over().await?;
    worker.stop().await;
    let shallow = speed(&world.nginx.calls_since(mark).await?)?;
    drop(installation);

    let (installation, mark) = filled(session, channels, CONTACTS).await?;
    let worker = installation.worker(effort).await?;
    let looks = watch(&installation, &worker).await?;
    worker.stop().await;
    let deep = speed(&world.nginx.calls_since(mark).await?)?;

    let most = looks.iter().map(|look| look.1).fold(0.0, f64::max);
    let jobs = as_number(channels * CONTACTS * PER_CONTACT);
    let between = |from: f64, to: f64| -> Vec<f64> {
        looks.iter().filter(|look| (from * jobs..=to * jobs).contains(&look.0)).map(|look| look.1).collect()
    };
    let growth = percentile(&between(0.75, 1.0), 50.0) / percentile(&between(0.25, 0.5), 50.0);
    let later: Vec<(f64, f64)> = looks.iter().copied().filter(|look| look.0 > jobs / 4.0).collect();
    Ok(vec![
        Line::alone("speed with a million waiting", "jobs/s", deep, Mark::TimesAtLeast(0.9))
            .beside("with 10,000 waiting", shallow),
        Line::alone("memory of the worker at most", "MB", most, Mark::AtMost(96.0)),
        Line::alone("memory in the last quarter to the second", "times", growth, Mark::AtMost(1.05)),
        Line::alone("growth of memory", "MB per 100,000 jobs", slope(&later) * 1e5, Mark::Told),
    ])
}

/// An installation in which so many channels have so many contacts to be synced.
async fn filled(session: &Session, channels: usize, contacts: usize) -> anyhow::Result<(Installation, u64)> {
    let world = &session.world;
    let installation = world.installation().await?;
    let known = installation.channels(channels, &world.nginx.url, UNLIMITED).await?;
    installation.sync_all(&known, contacts).await?;
    installation.until_queued(world, channels * contacts * PER_CONTACT).await?;
    world.postgres.write_down().await?;
    let mark = world.nginx.mark().await?;
    Ok((installation, mark))
}

fn speed(calls: &[Call]) -> anyhow::Result<f64> {
    let (first, last) = calls.get(FROM).zip(calls.get(TO)).context("too few calls")?;
    ensure!(last.at > first.at, "calls without a time between them");
    Ok(as_number(TO - FROM) / (last.at - first.at))
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
