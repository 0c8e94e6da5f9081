//! A worker at work, in real time. Longer than most files: all its tests stand on the `Worker` below.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use sincro_core::{
    job::JobId,
    limit::{LevelLimit, Limit},
    notice::{Entry, Notice},
    retry::RetryPolicy,
};
use sincro_queue::{Claim, Depth, Error, Queue, QueueSettings, Ruling, WorkerSettings, run_worker};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::{Bench, SERVER, WIDE, connect, lane, opens, rule, ruled, sync_of, urgent},
    server::Place,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> WorkerSettings {
    WorkerSettings {
        name: "test".to_owned(),
        concurrency: 16,
        lease: Duration::from_secs(10),
        grace: Duration::from_secs(5),
        retry: RetryPolicy { base: Duration::from_millis(20), cap: Duration::from_millis(50), max_attempts: 5 },
    }
}

/// A worker whose handler tells of every claim, says that it calls, and then does as `rule` says.
struct Worker {
    claims: mpsc::UnboundedReceiver<Claim>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl Worker {
    fn start<F, Fut>(queue: &Queue, settings: WorkerSettings, rule: F) -> Self
    where
        F: Fn(Claim) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Ruling> + Send + 'static,
    {
        let (tell, claims) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let handler = move |claim: Claim| {
            let _ = tell.send(claim.clone());
            claim.use_permit();
            rule(claim)
        };
        let running = tokio::spawn(run_worker(queue.clone(), settings, handler, stop.clone()));
        Self { claims, stop, running }
    }

    async fn next(&mut self) -> Claim {
        tokio::time::timeout(PATIENCE, self.claims.recv()).await.expect("no claim").expect("the worker ended")
    }

    async fn end(self) -> Result<(), Error> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.running).await.expect("the worker does not end").unwrap()
    }
}

async fn done(_: Claim) -> Ruling {
    Ruling::Done
}

/// Until the queue holds this much; told by looking, since it has no word for it.
async fn until_depth(queue: &Queue, depth: Depth) {
    let give_up = Instant::now() + PATIENCE;
    while queue.depth().await.unwrap() != depth {
        assert!(Instant::now() < give_up, "{:?} and not {depth:?}", queue.depth().await.unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn middle(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_hears_of_a_new_job_within_a_few_milliseconds() {
    let bench = Bench::new().await;
    let mut worker = Worker::start(&bench.queue, settings(), done);
    let channel = rule(WIDE);
    let mut latencies = Vec::new();
    for i in 1..=60 {
        let notice = opens(&channel, i, i);
        until_depth(&bench.queue, Depth::default()).await;
        let asked = Instant::now();
        bench.queue.apply(&[notice]).await.unwrap();
        worker.next().await;
        latencies.push(asked.elapsed());
    }
    let (median, worst) = middle(latencies.split_off(5));
    println!("from enqueue to handler on an idle worker: median {median:?}, worst {worst:?}");
    assert!(median < Duration::from_millis(25));
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_run_every_job_once() {
    let bench = Bench::new().await;
    let notices: Vec<Notice> = (0..10).map(|i| opens(&rule(WIDE), i * 1_000 + 1, i * 1_000 + 1_000)).collect();
    bench.queue.apply(&notices).await.unwrap();
    let started = Instant::now();
    let wide = WorkerSettings { concurrency: 64, ..settings() };
    let mut workers = [Worker::start(&bench.queue, wide.clone(), done), Worker::start(&bench.queue, wide, done)];
    until_depth(&bench.queue, Depth::default()).await;
    println!("10,000 jobs through two workers in {:?}", started.elapsed());
    let mut seen: Vec<JobId> = Vec::new();
    for worker in &mut workers {
        while let Ok(claim) = worker.claims.try_recv() {
            assert_eq!((claim.attempt, claim.epoch), (1, 1));
            seen.push(claim.job);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=10_000).collect::<Vec<_>>());
    for worker in workers {
        worker.end().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_several_calls_is_claimed_for_each_under_one_attempt() {
    let bench = Bench::new().await;
    let calls: Arc<Mutex<HashMap<JobId, u32>>> = Arc::default();
    let counted = calls.clone();
    let mut worker = Worker::start(&bench.queue, settings(), move |claim| {
        let mut calls = counted.lock().unwrap();
        let calls = calls.entry(claim.job).or_default();
        *calls += 1;
        let ruling = if *calls < 3 { Ruling::Next } else { Ruling::Done };
        async move { ruling }
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 20)]).await.unwrap();
    for _ in 0..60 {
        assert_eq!(worker.next().await.attempt, 1);
    }
    until_depth(&bench.queue, Depth::default()).await;
    assert!(calls.lock().unwrap().values().all(|calls| *calls == 3));
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_has_failed_its_attempt_and_harms_nobody() {
    let bench = Bench::new().await;
    let mut worker = Worker::start(&bench.queue, settings(), |claim| async move {
        assert!(claim.job != 7 || claim.attempt > 2, "on purpose");
        Ruling::Done
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 10)]).await.unwrap();
    let mut attempts = Vec::new();
    while attempts.len() < 3 {
        let claim = worker.next().await;
        if claim.job == 7 {
            attempts.push(claim.attempt);
        }
    }
    assert_eq!(attempts, [1, 2, 3]);
    until_depth(&bench.queue, Depth::default()).await;
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_claimed_than_can_start_at_once() {
    let bench = Bench::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let mut worker = Worker::start(&bench.queue, WorkerSettings { concurrency: 4, ..settings() }, move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ruling::Done
        }
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 20)]).await.unwrap();
    for _ in 0..3 {
        worker.next().await;
    }
    assert_eq!(bench.depth().await, Depth { queued: 17, running: 3, delayed: 0 });
    opened.add_permits(1);
    worker.next().await;
    assert_eq!(bench.depth().await, Depth { queued: 16, running: 3, delayed: 0 });
    opened.add_permits(100);
    until_depth(&bench.queue, Depth::default()).await;
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_kept_for_urgent_work_while_bulk_calls_take_their_time() {
    let bench = Bench::new().await;
    let settings = WorkerSettings { concurrency: 4, grace: Duration::ZERO, ..settings() };
    let mut worker = Worker::start(&bench.queue, settings, |_| std::future::pending());
    bench.queue.apply(&[opens(&rule(WIDE), 1, 20)]).await.unwrap();
    for _ in 0..3 {
        worker.next().await;
    }
    assert_eq!(bench.depth().await.running, 3);
    bench.queue.apply(&[urgent(opens(&rule(WIDE), 101, 120))]).await.unwrap();
    assert_eq!(worker.next().await.job, 101);
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_that_was_not_used_is_given_back() {
    let bench = Bench::new().await;
    let slow = rule(Limit { rate_per_second: 0.01, burst: 1, concurrency: 8 });
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |claim: Claim| {
        let _ = tell.send(claim);
        async { Ruling::Done }
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_worker(bench.queue.clone(), settings(), handler, stop.clone()));
    bench.queue.apply(&[opens(&slow, 1, 20)]).await.unwrap();
    for _ in 0..20 {
        tokio::time::timeout(PATIENCE, told.recv()).await.expect("the permits are gone").unwrap();
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_lets_running_jobs_finish_and_starts_none() {
    let bench = Bench::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let mut worker = Worker::start(&bench.queue, WorkerSettings { concurrency: 5, ..settings() }, move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ruling::Done
        }
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 20)]).await.unwrap();
    for _ in 0..4 {
        worker.next().await;
    }
    worker.stop.cancel();
    opened.add_permits(100);
    let Worker { mut claims, running, .. } = worker;
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(bench.depth().await, Depth { queued: 16, running: 0, delayed: 0 });
    assert!(claims.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unfinished_when_the_grace_is_over_goes_back_with_its_attempt() {
    let mut bench = Bench::new().await;
    let brief = WorkerSettings { grace: Duration::from_millis(50), concurrency: 5, ..settings() };
    let mut worker = Worker::start(&bench.queue, brief, |claim| async move {
        if claim.job > 2 {
            std::future::pending::<()>().await;
        }
        Ruling::Done
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 6)]).await.unwrap();
    for _ in 0..6 {
        worker.next().await;
    }
    worker.end().await.unwrap();
    assert_eq!(bench.depth().await, Depth { queued: 4, running: 0, delayed: 0 });
    bench.now = 4_000_000_000_000_000;
    let again = bench.claim(10).await;
    assert_eq!(again.len(), 4);
    assert!(again.iter().all(|held| held.attempt == 1 && held.job > 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_keeps_its_job_for_as_long_as_it_takes() {
    let bench = Bench::new().await;
    let brief = WorkerSettings { lease: Duration::from_millis(300), ..settings() };
    let slow = |claim: Claim| async move {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(claim.holds_lease());
        Ruling::Done
    };
    let mut workers =
        [Worker::start(&bench.queue, brief.clone(), slow), Worker::start(&bench.queue, brief.clone(), slow)];
    bench.queue.apply(&[opens(&rule(WIDE), 1, 8)]).await.unwrap();
    until_depth(&bench.queue, Depth { queued: 0, running: 8, delayed: 0 }).await;
    until_depth(&bench.queue, Depth::default()).await;
    let mut claims = Vec::new();
    for worker in &mut workers {
        while let Ok(claim) = worker.claims.try_recv() {
            claims.push((claim.job, claim.attempt));
        }
    }
    claims.sort_unstable();
    assert_eq!(claims, (1..=8).map(|job| (job, 1)).collect::<Vec<_>>());
    for worker in workers {
        worker.end().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lease_is_noticed_and_its_result_changes_nothing() {
    let mut bench = Bench::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let brief = WorkerSettings { lease: Duration::from_millis(300), concurrency: 1, ..settings() };
    let mut worker = Worker::start(&bench.queue, brief, move |_| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            Ruling::Done
        }
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 1)]).await.unwrap();
    let claim = worker.next().await;
    assert!(claim.holds_lease());
    // Another worker, for whom the lease has long run out.
    bench.now = 4_000_000_000_000_000;
    assert_eq!(bench.claim_one().await.attempt, 2);
    let give_up = Instant::now() + PATIENCE;
    while claim.holds_lease() {
        assert!(Instant::now() < give_up, "the loss was not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    opened.add_permits(1);
    worker.end().await.unwrap();
    assert_eq!(bench.queue.held_jobs(SERVER, claim.sync).await.unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_cost_neither_jobs_nor_attempts() {
    let bench = Bench::at(Place::own()).await;
    let mut worker = Worker::start(&bench.queue, settings(), |_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ruling::Done
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 4_000)]).await.unwrap();
    let mut claims = Vec::new();
    let mut raw = bench.place.raw();
    for cut in 1..=10 {
        while claims.len() < cut * 150 {
            claims.push(worker.next().await);
        }
        for kind in ["normal", "pubsub"] {
            let _: i64 = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).query(&mut raw).unwrap();
        }
    }
    while claims.len() < 4_000 {
        claims.push(worker.next().await);
    }
    let depth = loop {
        if let Ok(depth) = bench.queue.depth().await {
            break depth;
        }
    };
    assert!(depth.queued == 0, "{depth:?}");
    until_depth(&bench.queue, Depth::default()).await;
    assert!(claims.iter().all(|claim| claim.attempt == 1));
    assert_eq!(claims.iter().map(|claim| claim.job).collect::<HashSet<_>>().len(), 4_000);
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_a_redis_that_comes_back_empty() {
    let mut bench = Bench::at(Place::own()).await;
    let mut emptied = bench.queue.emptied();
    let channel = rule(Limit { rate_per_second: 1_000.0, burst: 1, concurrency: 100 });
    let notice = opens(&channel, 1, 100_000);
    let mut worker = Worker::start(&bench.queue, settings(), done);
    bench.queue.apply(std::slice::from_ref(&notice)).await.unwrap();
    worker.next().await;
    let server = bench.place.server.as_mut().unwrap();
    server.stop();
    assert!(matches!(bench.queue.ping().await, Err(Error::Unreachable(_))));
    bench.place.server.as_mut().unwrap().start_again();
    tokio::time::timeout(PATIENCE, emptied.wait_for(|shards| shards.contains(&0))).await.unwrap().unwrap();

    let mut restored = notice.clone();
    lane(&mut restored).jobs = vec![Entry::Span { first: 200_001, last: 200_010 }];
    let restoration = bench.queue.begin_restore(0).await.unwrap().unwrap();
    restoration.open_epoch(2, false).await.unwrap();
    assert!(bench.queue.put_back(0, 2, &restored).await.unwrap());
    let mut after = HashSet::new();
    while after.len() < 10 {
        let claim = worker.next().await;
        if claim.epoch == 2 {
            after.insert(claim.job);
        }
    }
    until_depth(&bench.queue, Depth::default()).await;
    worker.end().await.unwrap();
    assert_eq!(after, (200_001..=200_010).collect());
    assert!(bench.queue.held_jobs(SERVER, sync_of(&notice)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_of_a_life_that_is_over_is_lost_at_once_and_its_slots_come_free() {
    let bench = Bench::at(Place::own()).await;
    let mut worker = Worker::start(&bench.queue, settings(), |claim: Claim| async move {
        if claim.epoch == 1 {
            claim.lost().await;
        }
        Ruling::Done
    });
    let notice = opens(&rule(WIDE), 1, 100_000);
    bench.queue.apply(std::slice::from_ref(&notice)).await.unwrap();
    let first = worker.next().await;
    let _: () = redis::cmd("FLUSHALL").query(&mut bench.place.raw()).unwrap();
    bench.queue.begin_restore(0).await.unwrap().unwrap().open_epoch(2, true).await.unwrap();
    assert!(bench.queue.put_back(0, 2, &notice).await.unwrap());
    while worker.next().await.epoch == 1 {}
    assert!(!first.holds_lease());
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_stopped_while_redis_is_gone_ends_and_says_what_it_could_not() {
    let mut bench = Bench::at(Place::own()).await;
    let mut worker = Worker::start(&bench.queue, settings(), |_| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ruling::Done
    });
    bench.queue.apply(&[opens(&rule(WIDE), 1, 5)]).await.unwrap();
    worker.next().await;
    bench.place.server.as_mut().unwrap().stop();
    assert!(matches!(worker.end().await, Err(Error::Unreachable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_serves_all_shards() {
    let place = Place::new();
    let queue = connect(&place, 5).await;
    for shard in queue.shards() {
        crate::bench::open_first(&queue, shard).await;
    }
    let mut worker = Worker::start(&queue, settings(), done);
    let mut shards = HashSet::new();
    for i in 0..20 {
        let mut notice = opens(&rule(WIDE), i * 10 + 1, i * 10 + 10);
        notice.channel.server = format!("wuzapi/gateway-{i}.test");
        shards.insert(queue.shard_of(&notice.channel.server));
        queue.apply(&[notice]).await.unwrap();
    }
    assert_eq!(shards.len(), 5);
    let mut jobs = HashSet::new();
    while jobs.len() < 200 {
        jobs.insert(worker.next().await.job);
    }
    until_depth(&queue, Depth::default()).await;
    worker.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_together_keep_to_the_rate_and_use_it() {
    const JOBS: i64 = 200;
    let bench = Bench::new().await;
    let workers: Vec<Worker> = (0..3).map(|_| Worker::start(&bench.queue, settings(), done)).collect();
    // A cap that never binds: so long the queue remembers its permits.
    let rate = Limit { rate_per_second: 50.0, burst: 1, concurrency: 8 };
    let channel = ruled(LevelLimit { per_minute: Some(3_000), ..rate.into() });
    bench.queue.apply(&[opens(&channel, 1, JOBS)]).await.unwrap();
    until_depth(&bench.queue, Depth::default()).await;
    for worker in workers {
        worker.end().await.unwrap();
    }
    let calls = bench.place.key(&format!("calls:{}", channel.id));
    let mut permits: Vec<i64> = redis::cmd("LRANGE").arg(calls).arg(0).arg(-1).query(&mut bench.place.raw()).unwrap();
    permits.sort_unstable();
    assert_eq!(permits.len(), 200);
    let soonest = permits.windows(51).map(|of_51| of_51[50] - of_51[0]).min().unwrap();
    let took = permits[permits.len() - 1] - permits[0];
    println!("{JOBS} permits at 50 per second: 51 of them in {soonest} µs at least, all in {took} µs");
    assert!(soonest >= 1_000_000);
    // 4 s; where three workers share a busy machine, more, but never as much as one at half the rate would take.
    assert!(took < 8_000_000);
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_reported_within_seconds() {
    let redis_url = SecretString::from("redis://127.0.0.1:1");
    let started = Instant::now();
    let refused = Queue::connect(QueueSettings::new(redis_url)).await;
    assert!(matches!(refused, Err(Error::Unreachable(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_with_the_reason() {
    for (url, namespace, shards, says) in [
        ("redis://127.0.0.1:1", "a{b}", 1, "namespace"),
        ("redis://127.0.0.1:1", "main", 0, "shards"),
        ("http://127.0.0.1:1", "main", 1, "URL"),
    ] {
        let settings = QueueSettings { redis_url: SecretString::from(url), namespace: namespace.to_owned(), shards };
        let error = Queue::connect(settings).await.unwrap_err();
        assert!(matches!(&error, Error::Settings(reason) if reason.contains(says)), "{error}");
    }
}
