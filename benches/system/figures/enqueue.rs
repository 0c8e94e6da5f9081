//! Enqueue: channel syncs over HTTP until every job is committed in Postgres and known in Redis, while nobody works.
//!
//! 50 channels of 1,000 contacts each, given in the body: 100,000 jobs. Sincro writes the contacts, the jobs and a notice into
//! Postgres, then spans into Redis, then answers. BullMQ writes its jobs into Redis alone.

use std::time::Instant;

use anyhow::ensure;

use super::{CONTACTS, PER_CONTACT};
use crate::{
    line::{Line, Mark},
    peers::{Who, bullmq},
    session::Session,
    stats::as_number,
    world::client::UNLIMITED,
};

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let channels = session.size(50);
    let jobs = channels * CONTACTS * PER_CONTACT;
    let ours = sincro(session, channels, jobs).await?;
    let database = session.world.for_a_peer().await?;
    let theirs = bullmq::enqueue(&session.world, &database, jobs).await?;
    let rate = |seconds: f64| as_number(jobs) / seconds;
    let line = Line::alone("jobs taken in over HTTP", "jobs/s", rate(ours), Mark::TimesAtLeast(4.0));
    Ok(vec![line.beside(Who::Bullmq.name(), rate(theirs))])
}

async fn sincro(session: &Session, channels: usize, jobs: usize) -> anyhow::Result<f64> {
    let world = &session.world;
    let installation = world.installation().await?;
    let channels = installation.channels(channels, &world.nginx.url, UNLIMITED).await?;
    let requests = channels
        .iter()
        .map(|channel| {
            (*channel, crate::world::client::sync_of(channel.number * CONTACTS..(channel.number + 1) * CONTACTS))
        })
        .collect();
    let begun = Instant::now();
    installation.ask(requests).await?;
    installation.until_queued(world, jobs).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let rows = installation.database.number("SELECT count(*) FROM jobs WHERE state = 'queued'").await?;
    ensure!(rows == i64::try_from(jobs)?, "{rows} jobs in the ledger instead of {jobs}");
    Ok(seconds)
}
