//! Traffic: Redis round trips and Postgres transactions of a job under load, by what the servers themselves count.
//!
//! Everything that speaks to them counts, from the request to the last result: the API, claims, settlements, renewals, the janitors,
//! this driver. A round trip is a time that Redis found something to read on a connection, so commands that travel together are one.
//! What Postgres does to hand notifications on is a transaction by its count.

use std::time::Duration;

use tokio::time::sleep;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark},
    peers::{Effort, Who, bullmq},
    session::Session,
    stats::as_number,
    world::{
        World,
        client::{UNLIMITED, sync_of},
        postgres::Database,
    },
};

const CHANNELS: usize = 10;
/// Contacts of each that are read before, other people than those that count.
const WARMING: usize = 100;
/// A connection to Postgres that has nothing to do tells what it did ten seconds later; one that ends, at once.
const UNTIL_COUNTED: Duration = Duration::from_millis(10_500);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let jobs = session.size(20_000);
    // Asked for first: a trial clears everything away.
    let (our_best, their_best) = (session.best(Who::Sincro).await?, session.best(Who::Bullmq).await?);
    let (round_trips, transactions) = sincro(session, jobs, our_best).await?;
    let (their_round_trips, their_transactions) = bullmq(session, jobs, their_best).await?;
    Ok(vec![
        Line::alone("Redis round trips of a job", "", round_trips, Mark::AtMost(0.1))
            .beside(Who::Bullmq.name(), their_round_trips),
        Line::alone("Postgres transactions of a job", "", transactions, Mark::AtMost(0.05))
            .beside(Who::Bullmq.name(), their_transactions),
    ])
}

async fn sincro(session: &Session, jobs: usize, effort: Effort) -> anyhow::Result<(f64, f64)> {
    let world = &session.world;
    let installation = world.installation().await?;
    let channels = installation.channels(CHANNELS, &world.nginx.url, UNLIMITED).await?;
    let worker = installation.worker(effort).await?;
    // Opening connections and preparing statements is not what is counted.
    let elsewhere = |number: usize| jobs + number * WARMING..jobs + (number + 1) * WARMING;
    installation.ask(channels.iter().map(|channel| (*channel, sync_of(elsewhere(channel.number)))).collect()).await?;
    installation.all_over().await?;
    let before = Counted::now(world, &installation.database).await?;
    let mark = world.nginx.mark().await?;
    installation.sync_all(&channels, jobs / CHANNELS / PER_CONTACT).await?;
    world.nginx.until_called(mark, jobs).await?;
    installation.all_over().await?;
    let round_trips = world.redis.round_trips().await?;
    worker.stop().await;
    let database = installation.stop().await;
    before.per_job(world, &database, round_trips, jobs).await
}

async fn bullmq(session: &Session, jobs: usize, effort: Effort) -> anyhow::Result<(f64, f64)> {
    let world = &session.world;
    let database = world.for_a_peer().await?;
    bullmq::enqueue(world, &database, jobs).await?;
    let before = Counted::now(world, &database).await?;
    let mut worker = bullmq::worker(world, &database, jobs, effort).await?;
    worker.says("completed").await?;
    let round_trips = world.redis.round_trips().await?;
    worker.stop().await;
    before.per_job(world, &database, round_trips, jobs).await
}

/// What the servers have counted so far.
struct Counted {
    round_trips: f64,
    transactions: f64,
}

impl Counted {
    async fn now(world: &World, database: &Database) -> anyhow::Result<Self> {
        sleep(UNTIL_COUNTED).await;
        Ok(Self {
            round_trips: world.redis.round_trips().await?,
            transactions: world.postgres.transactions(database).await?,
        })
    }

    /// What came since, for each job. Nobody is connected to the database any more, so everything is counted.
    async fn per_job(
        self,
        world: &World,
        database: &Database,
        round_trips: f64,
        jobs: usize,
    ) -> anyhow::Result<(f64, f64)> {
        let transactions = world.postgres.transactions(database).await? - self.transactions;
        Ok(((round_trips - self.round_trips) / as_number(jobs), transactions / as_number(jobs)))
    }
}
