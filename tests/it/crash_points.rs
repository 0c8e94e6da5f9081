//! One sync that goes through every crash point of the code: at each the process that reaches it dies, and another goes on.
//!
//! The points are those of `sincro_core::drill`; a test build ends where `SINCRO_DRILL` says so, without another instruction.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt as _};

use reqwest::Method;
use serde_json::json;
use sincro_core::{
    drill::Point,
    limit::Limit,
    sync::{SyncId, SyncState, SyncStatus},
};
use sincro_simulator::{Latency, Settings};
use uuid::Uuid;

use crate::support::{
    Gateway, Stage, World, audit,
    gateway::people,
    process::Process,
    within,
    world::{Api, Setting},
};

/// The dead are missed soon, dying costs no job its last attempt, and one worker alone cannot fill the channel.
const MORTAL: [Setting<'_>; 3] =
    [("SINCRO_LEASE_SECONDS", "1"), ("SINCRO_MAX_ATTEMPTS", "100"), ("SINCRO_WORKER_CONCURRENCY", "8")];
const UNHURRIED: Limit = Limit { rate_per_second: 300.0, burst: 1, concurrency: 64 };
const SLOW_ANSWERS: Latency = Latency { fixed_ms: 5, jitter_ms: 10 };

/// SIGABRT: how a process dies at a point.
const ABORTED: Option<i32> = Some(6);

/// Where workers die one after the other while the sync runs: at the first passage of each point, and in the middle.
const OF_WORKERS: [(Point, u32); 17] = [
    (Point::Claimed, 1),
    (Point::Planning, 1),
    (Point::Planned, 1),
    (Point::Delivered, 1),
    (Point::Calling, 1),
    (Point::Called, 1),
    (Point::Judged, 1),
    (Point::Settling, 1),
    (Point::Settled, 1),
    (Point::Ruled, 1),
    (Point::Claimed, 9),
    (Point::Calling, 5),
    (Point::Called, 7),
    (Point::Judged, 6),
    (Point::Settling, 4),
    (Point::Settled, 6),
    (Point::Ruled, 8),
];

/// What is passed only where a gateway delivers later, or files are fetched: `crate::deliveries` has those who die there.
const OF_DELIVERIES: [Point; 4] = [Point::Attempting, Point::Ingesting, Point::Keeping, Point::Kept];

#[tokio::test]
async fn a_sync_survives_the_death_of_whoever_works_on_it_at_every_point() {
    let world = World::with(&MORTAL).await;
    let settings = Settings { population: people(200), latency: SLOW_ANSWERS, ..Settings::default() };
    let gateway = Gateway::start(settings).await;
    let mut run = Run { reached: BTreeSet::new(), api: world.api().await, world };
    let channel = run.api.create_channel(&gateway, UNHURRIED).await;

    let sync = run.ask_an_api_that_dies(channel).await;
    for (point, n) in OF_WORKERS {
        run.worker_dies_at(point, n).await;
    }
    run.pause_by_an_api_that_dies(sync).await;
    run.restorers_die(channel).await;
    run.session_is_lost_and_found_by_workers_that_die(&gateway, channel).await;

    run.reached.extend(OF_DELIVERIES);
    let missing: Vec<_> = Point::ALL.iter().filter(|point| !run.reached.contains(point)).collect();
    assert!(missing.is_empty(), "points that nobody died at: {missing:?}");
    let worker = run.world.worker().await;
    let end = run.api.end_of(sync).await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 400));
    let stage = Stage { worker, api: run.api, channel, gateway, world: run.world };
    audit::nothing_is_lost_or_doubled(&stage, &end, 25).await;
    nothing_is_left(&stage, sync).await;
    let reads: usize = stage.gateway.reads_per_address().values().sum();
    let chats = stage.gateway.truth().addresses().count();
    let most = chats + 8 * (OF_WORKERS.len() + 4);
    assert!((chats..=most).contains(&reads), "{reads} reads of {chats} chats: what was settled is not read again");
}

/// A world in which processes die.
struct Run {
    reached: BTreeSet<Point>,
    api: Api,
    world: World,
}

impl Run {
    /// The next API, which is to die there.
    async fn api_to_die_at(&mut self, point: Point, n: u32) {
        let order = format!("abort={point}:{n}");
        self.api = self.world.listening("api", &[("SINCRO_DRILL", &order)]).await;
    }

    /// Waits until the API has died, and starts another.
    async fn api_is_dead(&mut self, point: Point) {
        assert_eq!(self.api.process.exit().await.signal(), ABORTED, "the API at {point}");
        self.reached.insert(point);
        self.api = self.world.api().await;
    }

    /// The sync is in the ledger though nobody was told so; who asks again is given it.
    async fn ask_an_api_that_dies(&mut self, channel: Uuid) -> SyncId {
        self.api_to_die_at(Point::Requested, 1).await;
        let path = format!("/v1/channels/{channel}/syncs");
        let body = json!({"messages_per_contact": 25});
        let ask = |api: &Api| api.request(Method::POST, &path).header("Idempotency-Key", "once").json(&body);
        assert!(ask(&self.api).send().await.is_err(), "an answer of the dead");
        self.api_is_dead(Point::Requested).await;
        let reply = self.api.send(ask(&self.api)).await;
        assert_eq!(reply.headers["idempotent-replayed"], "true");
        reply.ok::<SyncStatus>().id
    }

    async fn pause_by_an_api_that_dies(&mut self, sync: SyncId) {
        self.api_to_die_at(Point::Delivered, 1).await;
        let pause = self.api.request(Method::POST, &format!("/v1/syncs/{sync}/pause"));
        assert!(pause.send().await.is_err(), "an answer of the dead");
        self.api_is_dead(Point::Delivered).await;
        assert_eq!(self.api.status(sync).await.state, SyncState::Paused);
        self.api.post(&format!("/v1/syncs/{sync}/resume")).await.ok::<SyncStatus>();
    }

    /// A worker that dies there, whatever it was told before.
    async fn worker_dies_at(&mut self, point: Point, n: u32) {
        let order = format!("abort={point}:{n}");
        let worker = self.world.start(&["worker"], &[("SINCRO_DRILL", &order)]);
        self.worker_is_dead(worker, point).await;
    }

    async fn worker_is_dead(&mut self, mut worker: Process, point: Point) {
        assert_eq!(worker.exit().await.signal(), ABORTED, "a worker at {point}");
        self.reached.insert(point);
    }

    /// The queue is emptied, and those who fill it again die over it; twice, because a restorer who died leaves a half of it.
    async fn restorers_die(&mut self, channel: Uuid) {
        for point in [Point::Emptied, Point::Restored] {
            self.world.queue.flush();
            self.worker_dies_at(point, 1).await;
        }
        // Something to restore beside the sync, and a lane that nobody has begun.
        let ticket = self.api.start_ticket(channel, "5511900000001@s.whatsapp.net", 25).await;
        self.world.queue.flush();
        self.worker_dies_at(Point::Restored, 2).await;
        let _worker = self.world.worker().await;
        assert_eq!(self.api.end_of(ticket.id).await.state, SyncState::Completed);
    }

    async fn session_is_lost_and_found_by_workers_that_die(&mut self, gateway: &Gateway, channel: Uuid) {
        gateway.lose_session_of(gateway.token()).unwrap();
        self.worker_dies_at(Point::Paused, 1).await;
        assert_eq!(self.api.channel(channel).await["paused_by"], "session");
        gateway.set_session_of(gateway.token(), true).unwrap();
        self.worker_dies_at(Point::Resumed, 1).await;
        assert_eq!(self.api.channel(channel).await["state"], "active");
    }
}

/// Of a sync that has ended: no job is open, nothing waits in the outbox, and the queue holds no job.
async fn nothing_is_left(stage: &Stage, sync: SyncId) {
    let jobs = stage.api.jobs(sync).await;
    assert!(jobs.iter().all(|job| (1..=30).contains(&job.attempts) || job.reason.is_some()), "{jobs:?}");
    let delivered = async { while stage.world.number("SELECT count(*) FROM notices").await > 0 {} };
    within("an empty outbox", delivered).await;
    let open = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'delayed', 'awaiting')";
    assert_eq!(stage.world.number(open).await, 0);
    let held = stage.world.queue.keys().into_iter().filter(|key| key.ends_with(":held") || key.contains(":lane:"));
    let held: Vec<_> = held.collect();
    assert!(held.is_empty(), "{held:?}");
}
