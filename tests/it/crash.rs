//! Processes, connections and queues that go away in the middle of a sync.
//!
//! The moments are chosen by what the sync has settled, as its event stream tells, and never by time. A call may be made
//! twice when the process that made it dies; a message is never stored twice, and nothing is left out.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sincro_core::{limit::Limit, sync::SyncState};
use sincro_simulator::{Fault, Latency, Rule, Settings, When};
use uuid::Uuid;

use crate::support::{
    Gateway, Person, Stage, World, announce, audit, environment,
    gateway::{is_contacts, people},
    proxy::Proxy,
    stage::FAST,
    within,
    world::Setting,
};

/// A worker that died is missed soon, and dying costs no job its last attempt.
const MORTAL: [Setting<'_>; 2] = [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100")];
/// Slow enough that a sync of some hundred jobs is caught in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 32 };
/// Calls take a while, so that some are always under way.
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 10, jitter_ms: 20 };
/// What a worker says that has filled an emptied shard.
const RESTORED: &str = "the queue is restored from the ledger";

#[tokio::test]
async fn a_worker_killed_at_ten_random_moments_loses_and_doubles_nothing() {
    let seed = seed();
    let mut moments: Vec<i64> = {
        let mut dice = StdRng::seed_from_u64(seed);
        (0..10).map(|_| dice.random_range(0..750)).collect()
    };
    moments.sort_unstable();
    announce(&format!("seed {seed}: the worker is killed when so many of 800 jobs are settled: {moments:?}"));

    let mut stage = Stage::with(people(400), UNHURRIED, &MORTAL).await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    for settled in &moments {
        events.until_settled(*settled).await;
        let next = stage.world.worker().await;
        std::mem::replace(&mut stage.worker, next).kill();
    }
    let end = events.end().await;

    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 800));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let reads: usize = stage.gateway.reads_per_address().values().sum();
    let chats = stage.gateway.truth().addresses().count();
    let most = chats + moments.len() * 32;
    assert!((chats..=most).contains(&reads), "{reads} reads of {chats} chats: what was settled is not read again");
}

#[tokio::test]
async fn a_restart_of_api_and_worker_resumes_by_itself() {
    let mut stage = Stage::with(people(300), UNHURRIED, &MORTAL).await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(150).await;
    let (worker, api) = tokio::join!(stage.world.worker(), stage.world.api());
    std::mem::replace(&mut stage.worker, worker).kill();
    std::mem::replace(&mut stage.api, api).process.kill();

    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn one_process_of_both_killed_before_it_has_planned_anything_resumes_by_itself() {
    let world = World::with(&MORTAL).await;
    let gateway = Gateway::of(people(100)).await;
    gateway.set_faults(Rule::new(Fault::Hang, When::Always)).unwrap();
    let all = world.listening("all", &[]).await;
    let channel = all.create_channel(&gateway, FAST).await;
    let sync = all.start_sync(channel, 25).await.id;
    within("the call for the contact list", gateway.calls().wait_for(1, |_| true)).await;
    all.process.kill();
    gateway.answer_again();

    let all = world.listening("all", &[]).await;
    let end = all.end_of(sync).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 200));
    audit::messages_are_the_truth(&all, channel, &gateway.truth(), 25).await;
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_finishes_what_it_has_begun() {
    let mut stage = Stage::with(people(200), UNHURRIED, &[]).await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(100).await;
    stage.worker.terminate();
    assert_eq!(stage.worker.exit().await.code(), Some(0));
    let left = stage.api.status(sync).await;
    assert_eq!((left.state, left.jobs.running), (SyncState::Running, 0), "nothing is held by nobody");

    stage.worker = stage.world.worker().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 1), "nothing was asked twice");
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "and no attempt was spent");
}

#[tokio::test]
async fn a_worker_without_time_of_grace_hands_back_what_it_has_begun() {
    let mut stage = Stage::with(people(20), FAST, &[("SINCRO_SHUTDOWN_GRACE_SECONDS", "0")]).await;
    stage.gateway.hold_reads();
    let sync = stage.start().await;
    stage.gateway.until_reads_hang(10).await;
    stage.worker.terminate();
    assert_eq!(stage.worker.exit().await.code(), Some(0));
    stage.gateway.answer_again();

    // The leases are the usual ones, half a minute: what was handed back need not wait for them.
    let left = stage.api.status(sync).await;
    assert_eq!((left.state, left.jobs.running), (SyncState::Running, 0));
    stage.worker = stage.world.worker().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "no attempt was spent");
}

#[tokio::test]
async fn a_second_signal_ends_a_worker_at_once_and_loses_nothing() {
    let mut stage = Stage::with(people(20), FAST, &MORTAL).await;
    stage.gateway.hold_reads();
    let sync = stage.start().await;
    stage.gateway.until_reads_hang(10).await;
    stage.worker.terminate();
    stage.worker.said("draining: nothing new is started; a second signal ends at once").await;
    stage.worker.terminate();
    assert_eq!(stage.worker.exit().await.code(), Some(143));
    stage.gateway.answer_again();

    stage.worker = stage.world.worker().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn an_api_that_is_asked_to_stop_ends_its_streams_and_exits_well() {
    let mut stage = Stage::with(people(200), UNHURRIED, &[]).await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    events.until_settled(10).await;
    stage.api.process.terminate();
    while !events.is_closed().await {}
    assert_eq!(stage.api.process.exit().await.code(), Some(0));

    // The worker does not need it.
    stage.api = stage.world.api().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn what_a_worker_brings_after_its_lease_has_run_out_changes_nothing() {
    let stage = Stage::with(people(60), FAST, &MORTAL).await;
    stage.gateway.set_latency(Latency { fixed_ms: 1_000, jitter_ms: 0 });
    let sync = stage.start().await;
    let at_once = usize::try_from(FAST.concurrency).unwrap();
    within("calls under way", stage.gateway.calls().wait_for(at_once, |call| !is_contacts(call))).await;
    stage.worker.freeze();
    stage.gateway.set_latency(Latency::default());
    let other = stage.world.worker().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);

    stage.worker.thaw();
    stage.worker.said("the result came after the lease had run out; dropped").await;
    // It works on, and by the time it has done something new it is through with what it came back with.
    other.kill();
    let phone = stage.gateway.truth().persons()[0].phone_jid.clone().unwrap();
    let ticket = stage.api.start_ticket(stage.channel, &phone, 25).await;
    assert_eq!(stage.api.end_of(ticket.id).await.state, SyncState::Completed);
    assert_eq!(stage.api.status(sync).await, end);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn a_worker_that_freezes_within_a_transaction_does_not_hold_the_others_up() {
    let world = World::with(&MORTAL).await;
    let gateway = Gateway::of(people(20)).await;
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let persons: Vec<Person> = gateway.truth().persons().iter().map(Person::from).collect();
    let sync = api.start_sync_of(channel, 25, &persons).await.id;

    // Held up on its way, the worker is frozen with the locks it has so far; then the way is free again.
    let mut obstacle = world.sql.begin().await.unwrap();
    sqlx::query("SELECT FROM jobs FOR UPDATE").execute(&mut *obstacle).await.unwrap();
    let frozen = world.worker().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let held_up = async { while world.number(waiting).await == 0 {} };
    within("the worker at the obstacle", held_up).await;
    frozen.freeze();
    obstacle.rollback().await.unwrap();

    let _other = world.worker().await;
    let end = api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 40));
    audit::messages_are_the_truth(&api, channel, &gateway.truth(), 25).await;
}

#[tokio::test]
async fn a_sync_that_redis_did_not_hear_of_is_delivered_by_the_sweeper() {
    let world = World::new().await;
    let gateway = Gateway::of(people(40)).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let api = world.listening("api", &[("REDIS_URL", &line.url(&world.queue.url))]).await;
    let channel = api.create_channel(&gateway, FAST).await;
    line.cut();
    let sync = api.start_sync(channel, 25).await.id;
    assert_eq!(api.status(sync).await.limited_by.as_deref(), Some("queue unavailable"));
    api.process.kill();
    assert_eq!(world.number("SELECT count(*) FROM notices").await, 1, "nobody has told the queue");

    let api = world.api().await;
    // The first worker restores a queue that was never there; with a life of its own the queue waits for notices only.
    let other = world.worker().await;
    let end = api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 80));
    audit::messages_are_the_truth(&api, channel, &gateway.truth(), 25).await;
    drop(other);
}

#[tokio::test]
async fn a_sync_that_a_running_queue_did_not_hear_of_is_delivered_by_the_sweeper() {
    let stage = Stage::of(people(40)).await;
    assert_eq!(stage.sync().await.state, SyncState::Completed);
    let line = Proxy::to_redis(&stage.world.queue.url).await;
    let deaf = stage.world.listening("api", &[("REDIS_URL", &line.url(&stage.world.queue.url))]).await;
    line.cut();
    let sync = deaf.start_sync(stage.channel, 25).await.id;
    deaf.process.kill();

    let end = stage.api.end_of(sync).await;
    assert_eq!((end.state, end.messages.stored), (SyncState::Completed, 0));
    assert!(stage.worker.times_said("delivered notices that were left behind") > 0);
    audit::messages_are_the_truth(&stage.api, stage.channel, &stage.gateway.truth(), 25).await;
}

#[tokio::test]
async fn a_queue_that_is_flushed_in_the_middle_is_rebuilt_from_the_ledger() {
    let stage = Stage::with(people(300), UNHURRIED, &[]).await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    // In its first life it is filled as well.
    stage.worker.said(RESTORED).await;
    for settled in [0, 100, 101, 400] {
        events.until_settled(settled).await;
        let before = stage.worker.times_said(RESTORED);
        assert!(stage.world.queue.flush() > 0, "there was something to lose");
        stage.worker.said_more_often(RESTORED, before).await;
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 600));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "a flush costs no attempt");
}

#[tokio::test]
async fn a_redis_that_is_away_for_a_while_holds_a_sync_up_and_loses_nothing() {
    let world = World::with(&MORTAL).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let worker = world.worker_with(&[("REDIS_URL", &url)]).await;
    let api = world.listening("api", &[("REDIS_URL", &url)]).await;
    let gateway =
        Gateway::start(Settings { population: people(200), latency: SLOW_ANSWERS, ..Settings::default() }).await;
    let channel = api.create_channel(&gateway, UNHURRIED).await;
    let stage = Stage { worker, api, channel, gateway, world };
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    for settled in [50, 150, 250] {
        events.until_settled(settled).await;
        line.cut();
        events.until(|status| status.limited_by.as_deref() == Some("queue unavailable")).await;
        line.mend().await;
    }
    let end = events.end().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn database_connections_that_break_in_the_middle_lose_and_double_nothing() {
    let stage = Stage::with(people(200), UNHURRIED, &[("SINCRO_LEASE_SECONDS", "30")]).await;
    stage.gateway.set_latency(SLOW_ANSWERS);
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    for settled in [0, 50, 100, 150, 200, 250] {
        events.until_settled(settled).await;
        stage.world.database.cut_connections().await;
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 400));
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    let spent = stage.world.rows("SELECT id, state, attempts, reason FROM jobs WHERE attempts <> 1 LIMIT 5").await;
    assert!(spent.is_empty(), "what went back lost no attempt: {spent:?}");
}

/// Of the moments of this run; `SINCRO_TEST_SEED` repeats another one.
fn seed() -> u64 {
    environment::text("SINCRO_TEST_SEED")
        .map_or_else(|| Uuid::now_v7().as_u64_pair().1, |seed| seed.parse().expect("SINCRO_TEST_SEED is a number"))
}

#[tokio::test]
async fn a_worker_without_work_that_is_told_to_stop_ends_well() {
    let stage = Stage::of(people(2)).await;
    stage.sync().await;
    for _ in 0..10 {
        let mut worker = stage.world.worker().await;
        worker.terminate();
        assert!(worker.exit().await.success(), "{}", worker.whole_log());
    }
}
