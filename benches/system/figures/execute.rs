//! Execute: 20,000 jobs that wait already, from the gateway's first call to the last acknowledged job, by one worker process.
//!
//! A job fetches a chat, parses the answer, stores five messages and its result durably, and is acknowledged. Everybody works at
//! the effort at which it did most in trials. The processor time is that of all processes that take part, the gateway included.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::time::sleep;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark, number},
    peers::{self, Effort, Who, apalis, bullmq, unqueued},
    report::say,
    session::Session,
    stats::as_number,
    world::{World, answer::MESSAGES, client::UNLIMITED, process::Process},
};

/// Jobs of one sync.
const OF_A_CHANNEL: usize = 2_000;
/// In a trial; enough for a second and more of whoever is fastest.
const TRIAL: usize = 12_000;
/// So many are tried again: one trial on a machine that others use as well says little about which of two is better.
const FINALISTS: usize = 2;
/// So often.
const FINALS: usize = 2;
/// Whoever stops a moment after its last job acknowledges it before that.
const A_MOMENT: Duration = Duration::from_millis(500);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let jobs = session.size(20_000);
    let mut done = BTreeMap::new();
    for who in Who::ALL {
        done.insert(who, work(session, who, session.best(who).await?, jobs).await?);
    }
    let beside = |name, unit, who: Who, mark, of: fn(&Done) -> f64| {
        Line::alone(name, unit, of(&done[&Who::Sincro]), mark).beside(who.name(), of(&done[&who]))
    };
    Ok(vec![
        beside("jobs done", "jobs/s", Who::Bullmq, Mark::TimesAtLeast(4.5), |done| done.rate),
        beside("jobs done, beside a loop", "jobs/s", Who::Unqueued, Mark::TimesAtLeast(0.75), |done| done.rate),
        beside("jobs done, beside apalis-redis", "jobs/s", Who::Apalis, Mark::Told, |done| done.rate),
        beside("processor time of a job", "µs", Who::Bullmq, Mark::Told, |done| done.spent.all()),
        beside("of that in the worker", "µs", Who::Unqueued, Mark::Told, |done| done.spent.worker),
        beside("of that in Postgres", "µs", Who::Unqueued, Mark::Told, |done| done.spent.postgres),
        beside("of that in Redis", "µs", Who::Bullmq, Mark::Told, |done| done.spent.redis),
        beside("of that at the gateway", "µs", Who::Unqueued, Mark::Told, |done| done.spent.gateway),
    ])
}

/// What somebody did.
struct Done {
    /// Jobs per second.
    rate: f64,
    spent: Spent,
}

/// Processor time of a job, in microseconds.
#[derive(Clone, Copy)]
struct Spent {
    worker: f64,
    postgres: f64,
    redis: f64,
    gateway: f64,
}

impl Spent {
    fn all(self) -> f64 {
        self.worker + self.postgres + self.redis + self.gateway
    }
}

/// The processor time of the servers so far.
fn spent_before(world: &World) -> [f64; 3] {
    [world.postgres.cpu_seconds(), world.redis.cpu_seconds(), world.nginx.cpu_seconds()]
}

/// What was spent since, for each of so many jobs.
fn spent_since(world: &World, before: [f64; 3], worker: &Process, jobs: usize) -> Spent {
    let per_job = |seconds: f64| seconds * 1e6 / as_number(jobs);
    let now = spent_before(world);
    Spent {
        worker: per_job(worker.cpu_seconds()),
        postgres: per_job(now[0] - before[0]),
        redis: per_job(now[1] - before[1]),
        gateway: per_job(now[2] - before[2]),
    }
}

/// Tries one at several efforts, and the best two of them again in turns; tells which did most in all its trials.
pub(crate) async fn try_efforts(session: &Session, who: Who) -> anyhow::Result<Effort> {
    let mut tried = Vec::new();
    for effort in efforts(who) {
        tried.push((effort, trial(session, who, effort).await?));
    }
    tried.sort_by(|(_, rate), (_, other)| other.total_cmp(rate));
    tried.truncate(FINALISTS);
    for _ in 0..FINALS {
        for (effort, rates) in &mut tried {
            *rates += trial(session, who, *effort).await?;
        }
    }
    let best = tried.into_iter().max_by(|(_, rates), (_, others)| rates.total_cmp(others));
    best.map(|(effort, _)| effort).context("nothing to try")
}

async fn trial(session: &Session, who: Who, effort: Effort) -> anyhow::Result<f64> {
    let rate = work(session, who, effort, TRIAL).await?.rate;
    say(&format!("  trial of {}, {effort}: {} jobs/s", who.name(), number(rate)));
    Ok(rate)
}

fn efforts(who: Who) -> Vec<Effort> {
    let all = |concurrencies: &[usize], connections: &[usize]| {
        let pairs = concurrencies.iter().flat_map(|c| connections.iter().map(move |p| (*c, *p)));
        pairs.map(|(c, p)| Effort { concurrency: Some(c), connections: Some(p) }).collect()
    };
    match who {
        Who::Sincro => [64, 128, 256, 512, 1_000].map(|c| Effort { concurrency: Some(c), connections: None }).to_vec(),
        Who::Bullmq | Who::Apalis => all(&[32, 64, 128], &[16, 32]),
        Who::Unqueued => all(&[256], &[1, 2, 3]),
    }
}

async fn work(session: &Session, who: Who, effort: Effort, jobs: usize) -> anyhow::Result<Done> {
    match who {
        Who::Sincro => sincro(session, effort, jobs).await,
        _ => peer(session, who, effort, jobs).await,
    }
}

async fn sincro(session: &Session, effort: Effort, jobs: usize) -> anyhow::Result<Done> {
    let world = &session.world;
    let installation = world.installation().await?;
    let channels = installation.channels(jobs.div_ceil(OF_A_CHANNEL), &world.nginx.url, UNLIMITED).await?;
    installation.sync_all(&channels, jobs / channels.len() / PER_CONTACT).await?;
    installation.until_queued(world, jobs).await?;
    let (mark, before) = (world.nginx.mark().await?, spent_before(world));
    let worker = installation.worker(effort).await?;
    installation.all_over().await?;
    let (ended, spent) = (now(), spent_since(world, before, &worker, jobs));
    worker.stop().await;
    let rows = installation.database.number("SELECT count(*) FROM messages").await?;
    ensure!(rows == i64::try_from(jobs * MESSAGES)?, "{rows} messages of {jobs} jobs");
    Ok(Done { rate: since_the_first_call(session, mark, ended, jobs).await?, spent })
}

async fn peer(session: &Session, who: Who, effort: Effort, jobs: usize) -> anyhow::Result<Done> {
    let world = &session.world;
    let database = world.for_a_peer().await?;
    match who {
        Who::Bullmq => drop(bullmq::enqueue(world, &database, jobs).await?),
        Who::Apalis => drop(apalis::enqueue(world, &database, jobs).await?),
        Who::Sincro | Who::Unqueued => {}
    }
    let (mark, before) = (world.nginx.mark().await?, spent_before(world));
    let mut worker: Process = match who {
        Who::Bullmq => bullmq::worker(world, &database, jobs, effort).await?,
        Who::Apalis => apalis::worker(world, &database, jobs, effort).await?,
        Who::Sincro | Who::Unqueued => unqueued::worker(world, &database, jobs, effort).await?,
    };
    worker.says("completed").await?;
    let (ended, spent) = (now(), spent_since(world, before, &worker, jobs));
    sleep(A_MOMENT).await;
    worker.stop().await;
    let rows = peers::stored(&database).await?;
    ensure!(rows == i64::try_from(jobs * MESSAGES)?, "{}: {rows} messages of {jobs} jobs", who.name());
    Ok(Done { rate: since_the_first_call(session, mark, ended, jobs).await?, spent })
}

/// Jobs per second, where the gateway says when the first one began.
async fn since_the_first_call(session: &Session, mark: u64, ended: f64, jobs: usize) -> anyhow::Result<f64> {
    let calls = session.world.nginx.calls_since(mark).await?;
    ensure!(calls.len() == jobs, "{} calls for {jobs} jobs", calls.len());
    Ok(as_number(jobs) / (ended - calls[0].at))
}

/// In seconds, by the clock that the gateway's log has as well.
pub(crate) fn now() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are below 2^53")]
    let micros = sincro_core::clock::now().timestamp_micros() as f64;
    micros / 1e6
}
