//! The work without a queue: a list in memory, 256 calls in flight, a commit for a few hundred jobs. It can be lost, it cannot be
//! limited, seen, stopped or shared; what it does in a second is what a queue could come close to.
//!
//! The same HTTP client, the same driver of Postgres and the same columns of messages as Sincro has.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use uuid::Uuid;

use super::Effort;
use crate::{
    report::tell,
    world::{World, answer, client::phone, postgres::Database, process::Process},
};

/// Jobs of one commit at most.
const COMMIT: usize = 384;

/// What is to be done.
#[derive(Debug, Args)]
pub(crate) struct Work {
    jobs: usize,
    calls: usize,
    commits: usize,
    gateway: String,
    database: String,
}

/// A process that says `completed` after so many jobs.
pub(crate) async fn worker(world: &World, database: &Database, jobs: usize, effort: Effort) -> anyhow::Result<Process> {
    let numbers = [jobs, effort.concurrency.unwrap_or(256), effort.connections.unwrap_or(2)];
    let mut arguments = vec!["unqueued".to_owned()];
    arguments.extend(numbers.iter().map(ToString::to_string));
    arguments.extend([world.nginx.url.clone(), database.url.clone()]);
    super::start(world, database, "unqueued", &std::env::current_exe()?, arguments).await
}

/// The chat of a job, and whose it is.
struct Job {
    number: i64,
    channel: Uuid,
    token: String,
    address: String,
}

/// A chat that was read.
struct Read {
    job: Job,
    rows: Vec<(Row, String)>,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Row {
    message_id: String,
    sender_jid: String,
    timestamp: String,
    message_type: String,
    text_content: String,
}

/// Reads all chats and stores what is in them.
pub(crate) async fn work(work: Work) -> anyhow::Result<()> {
    let pool = PgPool::connect(&work.database).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let room = Arc::new(Semaphore::new(work.calls));
    let (send, mut reads) = mpsc::channel::<anyhow::Result<Read>>(work.calls * 2);
    let jobs = work.jobs;
    tokio::spawn(async move {
        for number in 0..jobs {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let (http, gateway, send) = (http.clone(), work.gateway.clone(), send.clone());
            tokio::spawn(async move {
                let read = read(&http, &gateway, job(number)).await;
                drop(permit);
                let _ = send.send(read).await;
            });
        }
    });
    let mut commits = JoinSet::new();
    let mut left = jobs;
    while left > 0 {
        let mut batch = Vec::with_capacity(COMMIT);
        let count = reads.recv_many(&mut batch, COMMIT).await;
        ensure!(count > 0, "nobody reads any more");
        left -= count;
        if commits.len() >= work.commits {
            commits.join_next().await.context("a commit")???;
        }
        let (pool, batch) = (pool.clone(), batch.into_iter().collect::<anyhow::Result<Vec<Read>>>()?);
        commits.spawn(async move { store(&pool, batch).await });
    }
    while let Some(committed) = commits.join_next().await {
        committed??;
    }
    tell(&json!({"completed": jobs}));
    Ok(())
}

fn job(number: usize) -> Job {
    let channel = number / 2_000;
    Job {
        number: i64::try_from(number).unwrap_or(i64::MAX),
        channel: Uuid::from_u128(u128::try_from(channel).unwrap_or_default()),
        token: answer::token(channel),
        address: phone(number),
    }
}

async fn read(http: &reqwest::Client, gateway: &str, job: Job) -> anyhow::Result<Read> {
    let query = [("chat_jid", job.address.as_str()), ("limit", "100")];
    let request = http.get(format!("{gateway}/chat/history?{}", encoded(&query))).header("token", &job.token);
    let body = request.send().await?.error_for_status()?.bytes().await?;
    let answer: Answer = serde_json::from_slice(&body)?;
    let rows = answer.data.unwrap_or_default().into_iter();
    let rows = rows.map(|raw| Ok((serde_json::from_str(raw.get())?, Box::<str>::from(raw).into())));
    Ok(Read { job, rows: rows.collect::<anyhow::Result<_>>()? })
}

fn encoded(query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{name}={}", value.replace('@', "%40"))).collect();
    pairs.join("&")
}

/// Five messages and a result for each job, in one transaction for all of them.
async fn store(pool: &PgPool, batch: Vec<Read>) -> anyhow::Result<()> {
    let mut columns = Columns::default();
    for read in &batch {
        for (row, payload) in &read.rows {
            columns.push(&read.job, row, payload);
        }
    }
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO messages (channel_id, message_id, address, from_me, sent_at, kind, text, payload, job_id, stored_at)
         SELECT channel, id, address, sender = 'me', sent_at::timestamptz, kind, text, payload::json, job, now()
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[])
              AS m(channel, id, address, sender, sent_at, kind, text, payload, job)
         ON CONFLICT DO NOTHING",
    )
    .bind(&columns.channels)
    .bind(&columns.ids)
    .bind(&columns.addresses)
    .bind(&columns.senders)
    .bind(&columns.times)
    .bind(&columns.kinds)
    .bind(&columns.texts)
    .bind(&columns.payloads)
    .bind(&columns.jobs)
    .execute(&mut *tx)
    .await?;
    let jobs: Vec<i64> = batch.iter().map(|read| read.job.number).collect();
    let channels: Vec<Uuid> = batch.iter().map(|read| read.job.channel).collect();
    let addresses: Vec<&str> = batch.iter().map(|read| read.job.address.as_str()).collect();
    let fetched: Vec<i32> = batch.iter().map(|read| i32::try_from(read.rows.len()).unwrap_or(i32::MAX)).collect();
    sqlx::query(
        "INSERT INTO results (job_id, channel_id, address, state, fetched, stored, settled_at)
         SELECT job, channel, address, 'succeeded', fetched, fetched, now()
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::integer[]) AS r(job, channel, address, fetched)
         ON CONFLICT (job_id) DO NOTHING",
    )
    .bind(&jobs)
    .bind(&channels)
    .bind(&addresses)
    .bind(&fetched)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Messages as columns.
#[derive(Default)]
struct Columns<'a> {
    channels: Vec<Uuid>,
    ids: Vec<&'a str>,
    addresses: Vec<&'a str>,
    senders: Vec<&'a str>,
    times: Vec<&'a str>,
    kinds: Vec<&'a str>,
    texts: Vec<&'a str>,
    payloads: Vec<&'a str>,
    jobs: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, job: &'a Job, row: &'a Row, payload: &'a str) {
        self.channels.push(job.channel);
        self.ids.push(&row.message_id);
        self.addresses.push(&job.address);
        self.senders.push(&row.sender_jid);
        self.times.push(&row.timestamp);
        self.kinds.push(&row.message_type);
        self.texts.push(&row.text_content);
        self.payloads.push(payload);
        self.jobs.push(job.number);
    }
}
