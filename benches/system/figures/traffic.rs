//! Traffic: Redis round trips and Postgres transactions of a job under load, by what the servers themselves count.
//!
//! Everything that speaks to them counts: claims, settlements, renewals, the janitors, the API, this driver. A round trip is a
//! time that Redis found something to read on a connection, so commands that travel together are one.

use std::time::Duration;

use tokio::time::sleep;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark},
    peers::{Who, bullmq},
    session::Session,
    stats::as_number,
    world::client::UNLIMITED,
};

const CHANNELS: usize = 10;
/// Postgres counts a transaction a second later at most.
const UNTIL_COUNTED: Duration = Duration::from_millis(1_500);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let jobs = session.size(20_000);
    let (round_trips, transactions) = sincro(session, jobs).await?;
    let (their_round_trips, their_transactions) = bullmq(session, jobs).await?;
    Ok(vec![
        Line::alone("Redis round trips of a job", "", round_trips, Mark::AtMost(0.1))
            .beside(Who::Bullmq.name(), their_round_trips),
        Line::alone("Postgres transactions of a job", "", transactions, Mark::AtMost(0.05))
            .beside(Who::Bullmq.name(), their_transactions),
    ])
}

async fn sincro(session: &Session, jobs: usize) -> anyhow::Result<(f64, f64)> {
    let world = &session.world;
    let installation = world.installation().await?;
    let channels = installation.channels(CHANNELS, &world.nginx.url, UNLIMITED).await?;
    installation.sync_all(&channels, jobs / CHANNELS / PER_CONTACT).await?;
    installation.until_queued(world, jobs).await?;
    let effort = session.best(Who::Sincro).await?;
    sleep(UNTIL_COUNTED).await;
    let transactions = world.postgres.transactions(&installation.database).await?;
    let round_trips = world.redis.round_trips().await?;
    let worker = installation.worker(effort).await?;
    installation.all_over().await?;
    let round_trips = world.redis.round_trips().await? - round_trips;
    sleep(UNTIL_COUNTED).await;
    let transactions = world.postgres.transactions(&installation.database).await? - transactions;
    worker.stop().await;
    Ok(per_job(round_trips, transactions, jobs))
}

async fn bullmq(session: &Session, jobs: usize) -> anyhow::Result<(f64, f64)> {
    let world = &session.world;
    let database = world.for_a_peer().await?;
    bullmq::enqueue(world, &database, jobs).await?;
    let effort = session.best(Who::Bullmq).await?;
    sleep(UNTIL_COUNTED).await;
    let transactions = world.postgres.transactions(&database).await?;
    let round_trips = world.redis.round_trips().await?;
    let mut worker = bullmq::worker(world, &database, jobs, effort).await?;
    worker.says("completed").await?;
    let round_trips = world.redis.round_trips().await? - round_trips;
    sleep(UNTIL_COUNTED).await;
    let transactions = world.postgres.transactions(&database).await? - transactions;
    worker.stop().await;
    Ok(per_job(round_trips, transactions, jobs))
}

fn per_job(round_trips: f64, transactions: i64, jobs: usize) -> (f64, f64) {
    let transactions = i32::try_from(transactions).map_or(f64::NAN, f64::from);
    (round_trips / as_number(jobs), transactions / as_number(jobs))
}
