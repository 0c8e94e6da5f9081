//! How processes start and stop, also while a server is away.
//!
//! Who starts waits for its servers, who is told to stop ends well and in time, and either costs nothing but time. What a
//! worker does with its jobs when it stops is the concern of `crash`.

use std::time::{Duration, Instant};

use sincro_core::{limit::Limit, sync::SyncState};
use sincro_simulator::{Latency, Settings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    Gateway, Stage, World, audit, gateway::people, private::postgres::Postgres, process::Process, proxy::Proxy,
    stage::FAST, within, world::Setting,
};

/// A worker that died is missed soon, and dying costs no job its last attempt.
const MORTAL: [Setting<'_>; 3] =
    [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100"), ("SINCRO_SHUTDOWN_GRACE_SECONDS", "1")];
/// Slow enough that a sync of some hundred jobs is caught in the middle.
const UNHURRIED: Limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 32 };
/// Calls take a while, so that some are always under way.
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 10, jitter_ms: 20 };
/// What an HTTP server says to a client that asks before it sends the body.
const GO_ON: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
const WAITS: &str = "waiting for the ledger; nothing runs until Postgres is there";
/// What a process that is told to stop may take when a server is away: a grace of one second, five for the last words, and as
/// much again on a busy machine.
const LAST_WORDS: Duration = Duration::from_secs(12);
/// What a second signal may take on a busy machine: less than what it cuts short.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Waits for a good end of a process that was told to stop just now.
async fn ends_well(process: &mut Process, bound: Duration) {
    let told = Instant::now();
    let code = process.exit().await.code();
    assert_eq!(code, Some(0), "{}", process.whole_log());
    assert!(told.elapsed() < bound, "it took {:?}", told.elapsed());
}

#[tokio::test]
async fn processes_that_start_while_postgres_is_away_say_so_wait_and_work_when_it_is_there() {
    let mut postgres = Postgres::start(60).await;
    let world = World::on(None, Some(postgres.url()), &[]).await;
    postgres.crash();
    let (worker, api) = (world.start(&["worker"], &[]), world.start(&["api"], &[]));
    let mut unneeded = world.start(&["all"], &[]);
    for process in [&worker, &api, &unneeded] {
        process.said(WAITS).await;
    }
    unneeded.terminate();
    ends_well(&mut unneeded, LAST_WORDS).await;
    postgres.recover().await;

    worker.said("the worker works").await;
    let api = world.when_listening(api).await;
    assert_eq!((worker.times_said(WAITS), api.process.times_said(WAITS)), (1, 1), "said once");
    let gateway = Gateway::of(people(20)).await;
    let channel = api.create_channel(&gateway, FAST).await;
    let stage = Stage { worker, api, channel, gateway, world };
    let end = stage.sync().await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn processes_that_are_told_to_stop_while_postgres_is_away_end_well_and_lose_nothing() {
    let mut postgres = Postgres::start(60).await;
    // The leases are the usual ones: what is handed back need not wait for them.
    let world = World::on(None, Some(postgres.url()), &[("SINCRO_SHUTDOWN_GRACE_SECONDS", "1")]).await;
    let gateway = Settings { population: people(150), latency: SLOW_ANSWERS, ..Settings::default() };
    let mut stage = Stage::set(world, gateway, UNHURRIED).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    postgres.crash();
    stage.worker.terminate();
    stage.api.process.terminate();
    ends_well(&mut stage.worker, LAST_WORDS).await;
    ends_well(&mut stage.api.process, LAST_WORDS).await;
    postgres.recover().await;

    stage.worker = stage.world.worker().await;
    stage.api = stage.world.api().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "no attempt was spent");
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_while_redis_is_away_ends_well_and_its_jobs_come_back() {
    let world = World::with(&MORTAL).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let gateway = Gateway::of(people(20)).await;
    gateway.hold_reads();
    let api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let worker = world.worker_with(&[("REDIS_URL", &line.url(&world.queue.url))]).await;
    let mut stage = Stage { worker, api, channel, gateway, world };
    let sync = stage.start().await;
    stage.gateway.until_reads_hang(10).await;
    line.cut();
    stage.worker.terminate();
    ends_well(&mut stage.worker, LAST_WORDS).await;
    let said = "ended without telling the queue; what was claimed comes back when its leases run out";
    assert_eq!(stage.worker.times_said(said), 1);
    stage.gateway.answer_again();

    stage.worker = stage.world.worker().await;
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

#[tokio::test]
async fn one_process_of_both_that_is_asked_to_stop_finishes_what_it_has_begun() {
    let world = World::new().await;
    let gateway = Settings { population: people(150), latency: SLOW_ANSWERS, ..Settings::default() };
    let gateway = Gateway::start(gateway).await;
    let mut all = world.listening("all", &[]).await;
    let channel = all.create_channel(&gateway, UNHURRIED).await;
    let sync = all.start_sync(channel, 25).await.id;
    let mut events = all.follow(sync).await;
    events.until_settled(50).await;
    all.process.terminate();
    while !events.is_closed().await {}
    // Nothing is held up, so the time of grace (20 s) is not needed.
    ends_well(&mut all.process, Duration::from_secs(15)).await;

    let stage = Stage { worker: world.worker().await, api: world.api().await, channel, gateway, world };
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    assert!(stage.gateway.reads_per_address().values().all(|&reads| reads == 1), "nothing was asked twice");
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 1), "and no attempt was spent");
}

#[tokio::test]
async fn a_second_signal_ends_api_and_both_in_one_at_once_whatever_is_under_way() {
    let world = World::with(&[("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100")]).await;
    let gateway = Gateway::of(people(20)).await;
    gateway.hold_reads();
    let mut api = world.api().await;
    let channel = api.create_channel(&gateway, FAST).await;
    let mut all = world.listening("all", &[]).await;
    let sync = all.start_sync(channel, 25).await.id;
    gateway.until_reads_hang(10).await;
    for process in [&mut api, &mut all] {
        let mut events = process.follow(sync).await;
        within("the first event", events.next()).await.unwrap();
        let _unfinished = unfinished_request(&process.base, process.key()).await;
        process.process.terminate();
        process.process.said("draining: nothing new is started; a second signal ends at once").await;
        let told = Instant::now();
        process.process.terminate();
        assert_eq!(process.process.exit().await.code(), Some(143));
        assert!(told.elapsed() < AT_ONCE, "it took {:?}", told.elapsed());
    }
    gateway.answer_again();

    let stage = Stage { worker: world.worker().await, api: world.api().await, channel, gateway, world };
    let end = stage.api.end_of(sync).await;
    assert_eq!(end.state, SyncState::Completed);
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
}

/// A request that the API has begun to read and whose body does not come: one that is asked to stop waits for that.
async fn unfinished_request(base: &str, key: &str) -> TcpStream {
    let address = base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/channels HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut word = [0; GO_ON.len()];
    within("leave to send the body", connection.read_exact(&mut word)).await.unwrap();
    assert_eq!(word, *GO_ON);
    connection
}
