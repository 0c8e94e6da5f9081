//! Workers that sleep too long, and jobs that kill them.

use std::time::Duration;

use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{Call, Fault, Latency, Rule, Settings, When};
use tokio::time::{MissedTickBehavior, interval};

use super::{FAST, MORTAL, SLOW_ANSWERS, ends_complete, metric};
use crate::support::{
    Gateway, Person, Stage, World,
    gateway::{is_contacts, is_history},
    people,
    process::Process,
    within,
};

#[tokio::test]
async fn what_comes_after_its_lease_is_counted() {
    let world = World::with(&MORTAL).await;
    let gateway = Gateway::of(people(40)).await;
    gateway.set_latency(Latency { fixed_ms: 1_000, jitter_ms: 0 });
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let sleeper = world.listening("worker", &[("SINCRO_WORKER_LISTEN", "127.0.0.1:0")]).await;
    let sync = api.start_sync(channel, 25).await.id;
    let at_once = usize::try_from(FAST.concurrency).unwrap();
    within("calls under way", gateway.calls().wait_for(at_once, |call| !is_contacts(call))).await;
    assert_eq!(metric(&sleeper, "sincro_late_results_total").await, 0);
    sleeper.process.freeze();
    gateway.set_latency(Latency::default());
    let worker = world.worker().await;
    let stage = Stage { worker, api, channel, gateway, world };
    ends_complete(&stage, channel, sync).await;

    sleeper.process.thaw();
    sleeper.process.said("the result came after the lease had run out; dropped").await;
    let counted = async { while metric(&sleeper, "sincro_late_results_total").await < 10 {} };
    within("late results to be counted", counted).await;
    ends_complete(&stage, channel, sync).await;
}

#[tokio::test]
async fn a_worker_that_sleeps_while_it_records_finds_that_its_jobs_went_on_without_it() {
    const DROPPED: &str = "the result came after the lease had run out; dropped";
    const FENCED: &str = "the result came after the job had gone on without it; it changed nothing";
    let patient = [("SINCRO_RETRY_BASE_SECONDS", "1"), ("SINCRO_RETRY_CAP_SECONDS", "1")];
    let world = World::with(&[MORTAL.as_slice(), &patient].concat()).await;
    let gateway = Gateway::of(people(20)).await;
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let persons: Vec<Person> = gateway.truth().persons().iter().map(Person::from).collect();
    let sync = api.start_sync_of(channel, 25, &persons).await.id;

    // It has good answers and is about to record them; then it sleeps, and its connection with the locks goes.
    let mut obstacle = world.sql.begin().await.unwrap();
    sqlx::query("SELECT FROM jobs FOR UPDATE").execute(&mut *obstacle).await.unwrap();
    let sleeper = world.listening("worker", &[("SINCRO_WORKER_LISTEN", "127.0.0.1:0")]).await;
    let answered = |call: &Call| call.status == Some(200);
    within("answers", gateway.calls().wait_for(16, answered)).await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    within("the worker at the obstacle", async { while world.number(waiting).await == 0 {} }).await;
    sleeper.process.freeze();
    world.database.cut_connections().await;
    drop(obstacle);

    // Whoever works now meets nothing but failures, so that all its jobs go on to another attempt and none is over.
    gateway.set_faults(Rule::new(Fault::ServerError, When::Always)).unwrap();
    let worker = world.worker().await;
    let untried = "SELECT count(*) FROM jobs WHERE attempts < 2 AND state IN ('queued', 'delayed')";
    within("a second attempt of every job", async { while world.number(untried).await > 0 {} }).await;
    sleeper.process.thaw();
    let line = sleeper.process.said(FENCED).await;
    assert!(line["job"].as_i64().is_some_and(|job| job > 0) && line["attempt"] == 1, "{line}");
    let all_told = async {
        let told = || sleeper.process.times_said(FENCED) + sleeper.process.times_said(DROPPED);
        while metric(&sleeper, "sincro_late_results_total").await < 16 || told() < 16 {}
    };
    within("all that it came back with, counted and logged", all_told).await;
    assert_eq!(world.number("SELECT count(*) FROM messages").await, 0, "nothing of it counts");

    gateway.answer_again();
    let stage = Stage { worker, api, channel, gateway, world };
    ends_complete(&stage, channel, sync).await;
}

#[tokio::test]
async fn what_a_dead_worker_held_is_taken_over_when_its_leases_run_out_and_not_before() {
    const LEASE: Duration = Duration::from_secs(3);
    const IN_TIME: Duration = Duration::from_secs(1);
    /// Two clocks of one machine, read one after the other.
    const CLOCKS_DIFFER: Duration = Duration::from_millis(10);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
    let world = World::alone(&[("SINCRO_LEASE_SECONDS", "3"), ("SINCRO_MAX_ATTEMPTS", "100")]).await;
    let gateway = Gateway::of(people(10)).await;
    gateway.hold_reads();
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let mortal = world.worker().await;
    let sync = api.start_sync(channel, 25).await.id;
    let chats = gateway.truth().addresses().count();
    within("a call for each chat", gateway.calls().wait_for(chats, is_history)).await;
    let worker = world.worker().await;

    // Renewed as long as its worker lives: longer than it was given for.
    let first_end = *world.queue.leases().last().expect("there are leases");
    let mut looks = interval(Duration::from_millis(50));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let renewed = async {
        while gateway.calls().now_us() < first_end + micros(IN_TIME) {
            looks.tick().await;
        }
    };
    within("the first leases to be over", renewed).await;
    assert_eq!(gateway.calls().count(is_history), chats, "nobody else calls for what is being called for");

    gateway.answer_again();
    mortal.kill();
    let died = gateway.calls().now_us();
    let ends = world.queue.leases();
    let (first, last) = (ends[0], ends[ends.len() - 1]);
    assert_eq!(ends.len(), chats, "it held what it called for, and nobody holds anything else");
    assert!(last <= died + micros(LEASE), "a lease that ends {} us after its worker", last - died);
    let stage = Stage { worker, api, channel, gateway, world };
    ends_complete(&stage, channel, sync).await;
    let calls = stage.gateway.calls().all();
    let again: Vec<u64> = calls.iter().filter(|call| is_history(call)).skip(chats).map(|call| call.at_us).collect();
    assert_eq!(again.len(), chats, "each chat is read once more");
    let in_time = (first - micros(CLOCKS_DIFFER))..=(last + micros(IN_TIME));
    let late: Vec<i128> = again.iter().map(|at| i128::from(*at) - i128::from(last)).collect();
    assert!(again.iter().all(|at| in_time.contains(at)), "us after the end of the leases: {late:?}");
    for job in stage.api.jobs(sync).await {
        let claims = if job.state == JobState::Skipped { 1 } else { 2 };
        assert_eq!(job.attempts, claims, "an attempt for each claim: {job:?}");
    }
}

#[tokio::test]
async fn a_job_that_kills_its_workers_fails_alone_after_its_attempts() {
    const ATTEMPTS: usize = 4;
    let settings = [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "4"), ("SINCRO_WORKER_CONCURRENCY", "8")];
    let world = World::with(&settings).await;
    let gateway =
        Gateway::start(Settings { population: people(60), latency: SLOW_ANSWERS, ..Settings::default() }).await;
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let lid = gateway.truth().persons().iter().rev().find_map(|person| person.lid.clone()).unwrap();
    let deadly = format!("abort=calling@{lid}");
    let deadly = [("SINCRO_DRILL", deadly.as_str())];
    let mut workers = [world.worker_with(&deadly).await, world.worker_with(&deadly).await];
    let sync = api.start_sync(channel, 25).await.id;
    for _ in 0..ATTEMPTS {
        let dead = first_to_end(&mut workers).await;
        workers[dead] = world.worker_with(&deadly).await;
    }

    let end = api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.total, end.jobs.failed), (SyncState::CompletedWithFailures, 120, 1));
    let jobs = api.jobs(sync).await;
    let failed = jobs.iter().find(|job| job.state == JobState::Failed).unwrap();
    assert_eq!(failed.reason.as_deref(), Some("worker_lost"), "{failed:?}");
    assert_eq!(gateway.calls().count(|call| call.address.as_deref() == Some(&lid)), 0, "no call came of it");
    for worker in &mut workers {
        worker.terminate();
        assert_eq!(worker.exit().await.code(), Some(0), "nobody else died of it");
    }
}

#[tokio::test]
async fn jobs_that_died_with_their_workers_each_time_have_not_failed_before_they_ran_alone() {
    const ATTEMPTS: usize = 2;
    let settings = [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "2"), ("SINCRO_WORKER_CONCURRENCY", "8")];
    let world = World::with(&settings).await;
    let gateway = Gateway::of(people(2)).await;
    gateway.hold_reads();
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let persons: Vec<Person> = gateway.truth().persons().iter().map(Person::from).collect();
    let sync = api.start_sync_of(channel, 25, &persons).await.id;
    let open = "SELECT count(*) FROM jobs WHERE state = 'queued'";
    let together = format!("abort=claimed:{}", world.number(open).await);
    for _ in 0..ATTEMPTS {
        let mut mortal = world.worker_with(&[("SINCRO_DRILL", together.as_str())]).await;
        assert_ne!(mortal.exit().await.code(), Some(0), "it died with all of them in its hands");
    }

    gateway.answer_again();
    let worker = world.worker().await;
    ends_complete(&Stage { worker, api, channel, gateway, world }, channel, sync).await;
}

/// Waits until one of them has died, and says which.
async fn first_to_end([one, other]: &mut [Process; 2]) -> usize {
    tokio::select! {
        _ = one.exit() => 0,
        _ = other.exit() => 1,
    }
}
