//! Filling a shard that was emptied.

use std::time::Duration;

use sincro_core::{limit::Level, limit::Limit, notice::Entry, notice::LaneState, notice::Notice, verdict::Rest};
use sincro_queue::{Depth, Error, Ruling};

use crate::{
    bench::{Bench, SERVER, WIDE, follows, ids, lane, opens, rule},
    server::Place,
};

/// What the ledger would say of the lane of `notice`.
fn as_of_now(notice: &Notice, seq: i64, jobs: Vec<Entry>) -> Notice {
    let mut notice = notice.clone();
    let lane = lane(&mut notice);
    (lane.seq, lane.jobs) = (seq, jobs);
    notice
}

#[tokio::test]
async fn a_flushed_queue_is_restored_and_goes_on() {
    let mut bench = Bench::at(Place::own()).await;
    let emptied = bench.queue.emptied();
    let notice = opens(&rule(WIDE), 1, 100);
    bench.apply(std::slice::from_ref(&notice)).await;
    let old = bench.claim(10).await;
    let _: () = redis::cmd("FLUSHALL").query(&mut bench.place.raw()).unwrap();
    let next = follows(&notice, LaneState::Open);
    assert!(bench.apply(std::slice::from_ref(&next)).await.is_empty());
    assert!(emptied.borrow().contains(&0));

    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    let open = vec![Entry::Span { first: 5, last: 100 }, Entry::Tried { job: 3, attempts: 1, due_ms: 0 }];
    restoration.restore(&[as_of_now(&notice, 1, open)]).await.unwrap();
    restoration.open_epoch(2).await.unwrap();
    assert!(emptied.borrow().is_empty());
    assert_eq!(bench.apply(&[notice, next]).await.len(), 2);
    assert_eq!(bench.depth().await, Depth { queued: 97, running: 0, delayed: 0 });
    assert_eq!(bench.settle(&old, &Ruling::Back).await.len(), 10);
    bench.pass(Duration::from_secs(1));
    let batch = bench.ask(97).await;
    assert_eq!((batch.epoch, batch.jobs.len()), (2, 97));
    assert_eq!((batch.jobs[96].job, batch.jobs[96].attempt), (3, 2));
}

#[tokio::test]
async fn what_an_emptied_shard_still_holds_is_dropped_but_not_what_is_known_of_its_channels() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { concurrency: 20, ..WIDE });
    let notice = opens(&channel, 1, 100);
    bench.apply(&[notice.clone(), opens(&channel, 1_001, 1_100)]).await;
    let jobs = bench.claim(10).await;
    bench.settle(&jobs[..1], &Ruling::Delay { due: bench.due_in(Duration::from_mins(1)) }).await;
    let rest = Rest::Cooldown {
        level: Level::Channel,
        wait: Duration::from_secs(9),
        grows: false,
        slower: false,
        reason: "throttled",
        detail: String::new(),
    };
    bench.settle(&jobs[1..2], &Ruling::Rest(rest)).await;
    let _: () = redis::cmd("DEL").arg(bench.place.key("epoch2")).query(&mut bench.place.raw()).unwrap();

    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    assert_eq!(bench.depth().await, Depth::default());
    restoration.restore(&[as_of_now(&notice, 1, vec![Entry::Span { first: 1, last: 100 }])]).await.unwrap();
    restoration.open_epoch(2).await.unwrap();
    assert_eq!(bench.depth().await, Depth { queued: 100, running: 0, delayed: 0 });
    assert_eq!(bench.ask(5).await.wait, Some(Duration::from_secs(9)));
    assert_eq!(bench.settle(&jobs[2..], &Ruling::Done).await.len(), 8);
}

#[tokio::test]
async fn a_shard_of_ten_thousand_lanes_is_dropped_in_bounded_steps() {
    let bench = Bench::new().await;
    let channel = rule(WIDE);
    let notices: Vec<Notice> = (0..10_000).map(|i| opens(&channel, i * 2 + 1, i * 2 + 2)).collect();
    bench.apply(&notices).await;
    let elsewhere = bench.place.key("epoch2").replace("/0}", "/00}");
    let mut raw = bench.place.raw();
    let _: () = redis::cmd("SET").arg(&elsewhere).arg("not ours").query(&mut raw).unwrap();
    let _: () = redis::cmd("DEL").arg(bench.place.key("epoch2")).query(&mut raw).unwrap();
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    let server = bench.place.key(&format!("server:{SERVER}"));
    let channel = bench.place.key(&format!("channel:{}", channel.id));
    let mut left = [channel, server, bench.place.key("servers"), bench.place.key("restoring"), elsewhere];
    left.sort();
    assert_eq!(bench.place.keys(), left);
    restoration.open_epoch(2).await.unwrap();
}

#[tokio::test]
async fn a_channel_restored_after_a_flush_starts_with_an_empty_bucket() {
    let mut bench = Bench::emptied(Place::new()).await;
    let channel = rule(Limit { rate_per_second: 10.0, burst: 50, concurrency: 100 });
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    restoration.restore(&[opens(&channel, 1, 100)]).await.unwrap();
    restoration.open_epoch(1).await.unwrap();
    let batch = bench.ask(100).await;
    assert_eq!((batch.jobs.len(), batch.wait), (0, Some(Duration::from_millis(100))));
}

#[tokio::test]
async fn restoring_twice_gives_the_lane_once() {
    let bench = Bench::emptied(Place::new()).await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    lane(&mut notice).jobs = (1..=2_500).map(|i| Entry::Tried { job: i * 2, attempts: 1, due_ms: 0 }).collect();
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    for _ in 0..2 {
        restoration.restore(std::slice::from_ref(&notice)).await.unwrap();
        assert_eq!(bench.depth().await, Depth { queued: 2_500, running: 0, delayed: 0 });
    }
    restoration.open_epoch(1).await.unwrap();
    assert_eq!(bench.apply(&[notice]).await, [1]);
    assert_eq!(bench.depth().await.queued, 2_500);
}

#[tokio::test]
async fn nothing_is_claimed_while_a_shard_is_being_restored() {
    let bench = Bench::emptied(Place::new()).await;
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    restoration.restore(&[opens(&rule(WIDE), 1, 100)]).await.unwrap();
    let ask = sincro_queue::steps::Ask {
        shard: 0,
        max: 10,
        max_bulk: 10,
        lease: Duration::from_secs(1),
        asker: "w",
        number: 1,
        again: false,
    };
    let claimed = sincro_queue::steps::claim(&bench.clock(), &ask).await.unwrap();
    assert_eq!(claimed, sincro_queue::steps::Claimed::Emptied);
}

#[tokio::test]
async fn of_two_who_restore_at_once_the_first_is_refused() {
    let mut bench = Bench::emptied(Place::new()).await;
    let notice = opens(&rule(WIDE), 1, 10);
    let first = bench.clock().begin_restore(0).await.unwrap().unwrap();
    first.restore(std::slice::from_ref(&notice)).await.unwrap();
    let second = bench.clock().begin_restore(0).await.unwrap().unwrap();
    assert!(matches!(first.restore(std::slice::from_ref(&notice)).await, Err(Error::TakenOver(0))));
    second.restore(&[notice]).await.unwrap();
    assert!(matches!(first.open_epoch(8).await, Err(Error::TakenOver(0))));
    second.open_epoch(9).await.unwrap();
    assert!(bench.clock().begin_restore(0).await.unwrap().is_none());
    bench.pass(Duration::from_secs(1));
    let batch = bench.ask(100).await;
    assert_eq!((batch.epoch, batch.jobs.len()), (9, 10));
}

#[tokio::test]
async fn a_hundred_thousand_jobs_of_one_lane_come_back_in_chunks() {
    let mut bench = Bench::emptied(Place::new()).await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    let due_ms = bench.now / 1_000 + 60_000;
    lane(&mut notice).jobs = (1..=100_000)
        .map(|job| Entry::Tried { job, attempts: 1, due_ms: if job % 2 == 0 { due_ms } else { 0 } })
        .collect();
    let started = std::time::Instant::now();
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    restoration.restore(&[notice]).await.unwrap();
    restoration.open_epoch(1).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(bench.depth().await, Depth { queued: 50_000, running: 0, delayed: 50_000 });
    bench.pass(Duration::from_secs(1));
    assert_eq!(ids(&bench.claim(3).await), [1, 3, 5]);
}

#[tokio::test]
async fn lanes_of_another_shard_are_left_to_its_own_restoration() {
    let bench = Bench::emptied(Place::new()).await;
    let queue = crate::bench::connect(&bench.place, 8).await;
    let shard = queue.shard_of(SERVER);
    let other = (0..8).find(|&other| other != shard).unwrap();
    let restoration = queue.begin_restore(other).await.unwrap().unwrap();
    restoration.restore(&[opens(&rule(WIDE), 1, 10)]).await.unwrap();
    restoration.open_epoch(1).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}
