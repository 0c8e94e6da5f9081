//! Workers that sleep too long, and jobs that kill them.

use sincro_core::{job::JobState, sync::SyncState};
use sincro_simulator::{Latency, Settings};

use super::{FAST, MORTAL, SLOW_ANSWERS, ends_complete, metric};
use crate::support::{Gateway, Stage, World, gateway::is_contacts, people, process::Process, within};

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

/// Waits until one of them has died, and says which.
async fn first_to_end([one, other]: &mut [Process; 2]) -> usize {
    tokio::select! {
        _ = one.exit() => 0,
        _ = other.exit() => 1,
    }
}
