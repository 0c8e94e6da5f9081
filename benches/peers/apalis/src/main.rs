//! apalis-redis 1.0.0 at the same work as Sincro, one process for each verb:
//!
//! ```text
//! enqueue JOBS                       adds that many jobs in chunks and prints {"seconds"}
//! work JOBS CONCURRENCY CONNECTIONS  completes that many and prints {"completed"}
//! ```
//!
//! `REDIS_URL`, `DATABASE_URL` and `GATEWAY` say where everything is. The settings are those at which it does most: large batches, no
//! locks, no events, no results kept, handlers on threads of their own.
//!
//! As published it cannot take up 8,000 jobs that are due at once: its script unpacks all of them onto the stack of Lua. So the jobs
//! are moved to where that script would put them, and that is not counted.

mod work;

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use apalis::prelude::{
    BackendExt as _, BoxDynError, Data, ParallelizeExt as _, TaskSink as _, WorkerBuilder, WorkerBuilderExt as _,
};
use apalis_redis::{Config, RedisStorage};
use redis::aio::ConnectionManager;
use sqlx::postgres::PgPoolOptions;

use work::{Job, Place};

const QUEUE: &str = "history";
/// Its client gives up an answer that takes longer than half a second.
const CHUNK: usize = 500;
const POLL: Duration = Duration::from_millis(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u32>().ok());
    match (words.first().map(String::as_str), number(1), number(2), number(3)) {
        (Some("enqueue"), Some(jobs), _, _) => enqueue(jobs).await,
        (Some("work"), Some(jobs), Some(concurrency), Some(connections)) => {
            complete(jobs, concurrency, connections).await
        }
        _ => bail!("enqueue JOBS, or work JOBS CONCURRENCY CONNECTIONS"),
    }
}

async fn connect() -> anyhow::Result<ConnectionManager> {
    Ok(redis::Client::open(variable("REDIS_URL")?)?.get_connection_manager().await?)
}

fn config(batch: usize) -> Config {
    Config::default()
        .queue(QUEUE)
        .batch_size(batch)
        .lock_tasks(false)
        .emit_events(false)
        .persist_results(false)
        .heartbeat_interval(Duration::from_secs(2))
}

async fn enqueue(jobs: u32) -> anyhow::Result<()> {
    let mut connection = connect().await?;
    let mut storage = RedisStorage::new(connection.clone()).with_config(config(CHUNK));
    let jobs: Vec<Job> = (0..jobs).map(Job::numbered).collect();
    let begun = Instant::now();
    for chunk in jobs.chunks(CHUNK) {
        storage.push_bulk(chunk.to_vec()).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    make_ready(&mut connection).await?;
    println!("{{\"seconds\":{seconds}}}");
    Ok(())
}

/// Does what the fetching script does with jobs that are due, a few at a time.
async fn make_ready(connection: &mut ConnectionManager) -> anyhow::Result<()> {
    let (scheduled, active) = (format!("{QUEUE}:scheduled"), format!("{QUEUE}:active"));
    loop {
        let due: Vec<String> =
            redis::cmd("ZRANGE").arg(&scheduled).arg(0).arg(CHUNK - 1).query_async(connection).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut moved = redis::pipe();
        moved.atomic().rpush(&active, &due).ignore().zrem(&scheduled, &due).ignore();
        moved.exec_async(connection).await?;
    }
}

async fn complete(jobs: u32, concurrency: u32, connections: u32) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(connections).connect(&variable("DATABASE_URL")?).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let place = Place { http, gateway: variable("GATEWAY")?, pool };
    let left = Left { count: Arc::new(AtomicU64::new(jobs.into())), of: jobs };
    let concurrency = usize::try_from(concurrency)?;
    let storage = RedisStorage::<Job>::new(connect().await?).with_config(config(concurrency)).poll_with_interval(POLL);
    let worker = WorkerBuilder::new(format!("bench-{}", std::process::id()))
        .backend(storage)
        .data(place)
        .data(left)
        .concurrency(concurrency)
        .parallelize(tokio::spawn)
        .build(handle);
    worker.run().await.map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Jobs that are not done yet, of how many.
#[derive(Clone)]
struct Left {
    count: Arc<AtomicU64>,
    of: u32,
}

async fn handle(job: Job, place: Data<Place>, left: Data<Left>) -> Result<(), BoxDynError> {
    work::work(&job, &place).await?;
    if left.count.fetch_sub(1, Ordering::Relaxed) == 1 {
        println!("{{\"completed\":{}}}", left.of);
    }
    Ok(())
}

fn variable(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
