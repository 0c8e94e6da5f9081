//! What a job costs: bytes while it waits, time at any depth, and instructions of Redis.

use std::time::{Duration, Instant};

use sincro_core::{job::JobId, limit::Limit, notice::Entry, notice::Notice};
use sincro_queue::Ruling;

use crate::{
    bench::{Bench, WIDE, lane, opens, rule},
    server::Place,
};

fn used_memory(place: &Place) -> i64 {
    let info: String = redis::cmd("INFO").arg("memory").query(&mut place.raw()).unwrap();
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

async fn bytes_per_job(notices: &[Notice]) -> f64 {
    let bench = Bench::at(Place::own()).await;
    // Scripts, connections and the first keys are not what is measured.
    bench.apply(&[opens(&rule(WIDE), 900_000_001, 900_000_001)]).await;
    let before = used_memory(&bench.place);
    for notice in notices {
        bench.apply(std::slice::from_ref(notice)).await;
    }
    let bytes = used_memory(&bench.place) - before;
    let jobs = bench.depth().await.queued + bench.depth().await.delayed - 1;
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let per_job = bytes as f64 / jobs as f64;
    println!("{jobs} jobs waiting: {bytes} bytes, {per_job:.2} each");
    per_job
}

/// `jobs` attempted ones, so that nothing folds into spans.
fn tried(first: JobId, jobs: JobId, due_ms: i64) -> Notice {
    let mut notice = opens(&rule(WIDE), first, first);
    lane(&mut notice).jobs = (first..first + jobs).map(|job| Entry::Tried { job, attempts: 3, due_ms }).collect();
    notice
}

#[tokio::test]
async fn two_hundred_thousand_queued_jobs_take_a_few_bytes_each() {
    let fresh: Vec<Notice> = (0..100).map(|i| opens(&rule(WIDE), i * 2_000 + 1, i * 2_000 + 2_000)).collect();
    assert!(bytes_per_job(&fresh).await < 2.0);
    let attempted: Vec<Notice> = (0..100).map(|i| tried(i * 2_000 + 1, 2_000, 0)).collect();
    assert!(bytes_per_job(&attempted).await < 20.0);
    let delayed: Vec<Notice> = (0..100).map(|i| tried(i * 2_000 + 1, 2_000, 1_900_000_000_000)).collect();
    assert!(bytes_per_job(&delayed).await < 120.0);
}

/// Claims and settles 64 at a time, 50 times over.
async fn jobs_per_second(depth: i64, channels: i64, limit: Limit) -> f64 {
    let mut bench = Bench::at(Place::own()).await;
    let each = depth / channels;
    let notices: Vec<Notice> = (0..channels).map(|i| opens(&rule(limit), i * each + 1, i * each + each)).collect();
    bench.apply(&notices).await;
    let started = Instant::now();
    let mut done: u32 = 0;
    for _ in 0..50 {
        let jobs = bench.claim(64).await;
        done += u32::try_from(jobs.len()).unwrap();
        bench.settle(&jobs, &Ruling::Done).await;
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(done, 50 * 64);
    let rate = f64::from(done) / started.elapsed().as_secs_f64();
    println!("{depth} waiting in {channels} channels: {rate:.0} jobs claimed and settled per second");
    rate
}

#[tokio::test]
async fn a_claim_costs_the_same_whatever_waits_behind_it() {
    for (channels, limit) in [(1, WIDE), (100, Limit { rate_per_second: 100.0, burst: 1, concurrency: 8 })] {
        let shallow = jobs_per_second(10_000, channels, limit).await;
        let deep = jobs_per_second(2_000_000, channels, limit).await;
        assert!(deep > shallow / 4.0, "{shallow:.0} shallow, {deep:.0} deep");
    }
}

/// Instructions of Redis for a claim and its settlement, of each job; 341,000 when this was written, with Redis 7.0.
const INSTRUCTIONS: u64 = 375_000;
const CLAIMED_AT_ONCE: usize = 64;

/// All that a Redis does in whose queue ten channels have work, of which so many claims are taken and settled.
async fn instructions(claims: usize) -> u64 {
    let mut bench = Bench::at(Place::counted()).await;
    let notices: Vec<Notice> = (0..10).map(|i| opens(&rule(WIDE), i * 10_000 + 1, i * 10_000 + 10_000)).collect();
    bench.apply(&notices).await;
    for _ in 0..claims {
        let jobs = bench.claim(CLAIMED_AT_ONCE).await;
        assert_eq!(jobs.len(), CLAIMED_AT_ONCE);
        bench.settle(&jobs, &Ruling::Done).await;
        bench.pass(Duration::from_millis(100));
    }
    bench.place.instructions()
}

/// Where there is a valgrind.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_job_costs_redis_no_more_instructions_than_its_budget() {
    // What both have in common, as the start, is not in the difference.
    let (few, many) = (instructions(4).await, instructions(16).await);
    let per_job = (many - few) / (12 * CLAIMED_AT_ONCE as u64);
    println!("{per_job} instructions of Redis for a job");
    assert!(per_job <= INSTRUCTIONS, "{per_job} instructions of Redis for a job, more than {INSTRUCTIONS}");
}
