//! A new life for a shard that was emptied.

use std::time::Duration;

use sincro_core::{
    limit::{KeptCalls, KeptCooldown, Level, LevelLimit, Limit},
    notice::{Entry, LaneState, Notice},
    verdict::Rest,
};
use sincro_queue::{
    Depth, Error, Inspection, LAYOUT, Ruling,
    steps::{self, Ask, Claimed, HeldBack},
};

use crate::{
    bench::{Bench, LEASE, SERVER, WIDE, follows, ids, lane, opens, rule, ruled},
    server::Place,
};

const SECOND: Duration = Duration::from_secs(1);

fn ask() -> Ask<'static> {
    Ask { shard: 0, max: 10, max_bulk: 10, lease: LEASE, asker: "other", number: 1, again: false }
}

fn flush(bench: &Bench) {
    let _: () = redis::cmd("FLUSHALL").query(&mut bench.place.raw()).unwrap();
}

fn set(bench: &Bench, key: &str, value: &str) {
    let _: () = redis::cmd("SET").arg(bench.place.key(key)).arg(value).query(&mut bench.place.raw()).unwrap();
}

fn get(bench: &Bench, key: &str) -> String {
    redis::cmd("GET").arg(bench.place.key(key)).query(&mut bench.place.raw()).unwrap()
}

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
    flush(&bench);
    let next = follows(&notice, LaneState::Open);
    assert!(bench.apply(std::slice::from_ref(&next)).await.is_empty());
    assert!(emptied.borrow().contains(&0));

    bench.reopen(2).await;
    assert!(emptied.borrow().is_empty());
    let open = vec![Entry::Span { first: 5, last: 100 }, Entry::Tried { job: 3, attempts: 1, due_ms: 0 }];
    assert!(bench.apply(std::slice::from_ref(&next)).await.is_empty(), "its lane is not back");
    assert!(bench.put_back(2, &as_of_now(&notice, 1, open)).await);
    assert_eq!(bench.apply(&[notice, next]).await.len(), 2);
    assert_eq!(bench.depth().await, Depth { queued: 97, running: 0, delayed: 0 });
    assert_eq!(bench.settle(&old, &Ruling::Back).await.len(), 10);
    bench.pass(2 * SECOND);
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
    restoration.open_epoch(2, false).await.unwrap();
    bench.put_back(2, &as_of_now(&notice, 1, vec![Entry::Span { first: 1, last: 100 }])).await;
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
    restoration.open_epoch(2, false).await.unwrap();
}

#[tokio::test]
async fn nothing_is_claimed_before_a_shard_is_open_and_what_is_back_is_while_the_rest_is_on_its_way() {
    let mut bench = Bench::new().await;
    let (first, second) = (opens(&rule(WIDE), 1, 5), opens(&rule(WIDE), 11, 15));
    flush_epoch(&bench);
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    assert_eq!(steps::claim(&bench.clock(), &ask()).await.unwrap(), Claimed::Emptied);
    restoration.open_epoch(2, false).await.unwrap();
    bench.put_back(2, &first).await;
    bench.pass(2 * SECOND);
    assert_eq!(ids(&bench.claim(100).await), [1, 2, 3, 4, 5]);
    assert!(matches!(inspect(&bench).await, Inspection::Open { epoch: 2, restoring: true, whole: true, .. }));
    bench.put_back(2, &second).await;
    bench.queue.finish_restore(0, 2).await.unwrap();
    assert!(matches!(inspect(&bench).await, Inspection::Open { epoch: 2, restoring: false, whole: true, .. }));
    assert_eq!(ids(&bench.claim(100).await), [11, 12, 13, 14, 15]);
}

fn flush_epoch(bench: &Bench) {
    let _: () = redis::cmd("DEL").arg(bench.place.key("epoch2")).query(&mut bench.place.raw()).unwrap();
}

async fn inspect(bench: &Bench) -> Inspection {
    bench.clock().inspect(0, Duration::ZERO).await.unwrap()
}

#[tokio::test]
async fn the_life_of_another_redis_server_is_over() {
    let bench = Bench::new().await;
    let home = get(&bench, "home");
    let (run, layout) = home.split_once('|').unwrap();
    assert_eq!((run.len(), layout), (40, LAYOUT.to_string().as_str()));
    set(&bench, "home", &format!("{}|{layout}", "0".repeat(40)));
    assert_eq!(steps::claim(&bench.clock(), &ask()).await.unwrap(), Claimed::Emptied);
    assert!(bench.apply(&[opens(&rule(WIDE), 1, 5)]).await.is_empty());
    assert_eq!(inspect(&bench).await, Inspection::Emptied);
    bench.reopen(2).await;
    assert_eq!(get(&bench, "home"), home);
    assert_eq!(bench.apply(&[opens(&rule(WIDE), 1, 5)]).await.len(), 1);
}

#[tokio::test]
async fn a_life_that_says_nothing_of_its_server_is_over_and_one_that_could_not_tell_it_is_not() {
    let mut bench = Bench::new().await;
    set(&bench, "home", &format!("|{LAYOUT}"));
    assert!(bench.ask(1).await.jobs.is_empty());
    let _: () = redis::cmd("DEL").arg(bench.place.key("home")).query(&mut bench.place.raw()).unwrap();
    assert_eq!(steps::claim(&bench.clock(), &ask()).await.unwrap(), Claimed::Emptied);
}

#[tokio::test]
async fn keys_that_only_a_newer_version_knows_are_left_alone() {
    let bench = Bench::new().await;
    let run = get(&bench, "home").split('|').next().unwrap().to_owned();
    let newer = LAYOUT + 1;
    for home in [format!("{run}|{newer}"), format!("{}|{newer}", "0".repeat(40)), "|99".to_owned()] {
        set(&bench, "home", &home);
        let keys = bench.place.keys();
        assert_eq!(steps::claim(&bench.clock(), &ask()).await.unwrap(), Claimed::Newer);
        assert!(bench.apply(&[opens(&rule(WIDE), 1, 5)]).await.is_empty());
        assert!(matches!(bench.clock().begin_restore(0).await, Err(Error::Newer(0))));
        assert_eq!(inspect(&bench).await, Inspection::Newer);
        assert_eq!(bench.place.keys(), keys);
    }
    assert!(bench.queue.emptied().borrow().is_empty(), "nobody is to restore it");
}

#[tokio::test]
async fn keys_of_an_older_layout_are_built_anew() {
    let bench = Bench::new().await;
    let home = get(&bench, "home");
    set(&bench, "home", &home.replace(&format!("|{LAYOUT}"), &format!("|{}", LAYOUT - 1)));
    assert_eq!(steps::claim(&bench.clock(), &ask()).await.unwrap(), Claimed::Emptied);
    assert_eq!(inspect(&bench).await, Inspection::Emptied);
    bench.reopen(2).await;
    assert_eq!(get(&bench, "home"), home);
}

#[tokio::test]
async fn after_a_loss_no_level_is_called_before_the_window_of_its_rate_has_passed() {
    let mut bench = Bench::emptied(Place::new()).await;
    bench.reopen(2).await;
    let channel = rule(Limit { rate_per_second: 10.0, burst: 50, concurrency: 100 });
    bench.put_back(2, &opens(&channel, 1, 1_000)).await;
    let window = Duration::from_millis(1_010);
    let batch = bench.ask(100).await;
    assert_eq!((batch.jobs.len(), batch.wait, batch.held_back), (0, Some(window), HeldBack::Rate));
    bench.pass(Duration::from_micros(1_009_999));
    assert_eq!(bench.ask(100).await.jobs.len(), 0);
    bench.pass(Duration::from_micros(1));
    assert_eq!(bench.ask(100).await.jobs.len(), 50, "then its burst is there, and nothing to catch up with");
}

#[tokio::test]
async fn however_often_a_shard_is_lost_its_rate_is_never_exceeded() {
    let mut bench = Bench::at(Place::own()).await;
    let notice = opens(&rule(Limit { rate_per_second: 20.0, burst: 5, concurrency: 1_000 }), 1, 100_000);
    bench.apply(std::slice::from_ref(&notice)).await;
    let mut starts: Vec<i64> = Vec::new();
    let mut next = 1;
    for life in 2..12 {
        for _ in 0..(life * 37) {
            bench.pass(Duration::from_millis(7));
            let jobs = bench.claim(10).await;
            next = jobs.iter().map(|held| held.job + 1).max().unwrap_or(next);
            starts.extend(jobs.iter().map(|_| bench.now));
        }
        flush(&bench);
        bench.reopen(life).await;
        let left = vec![Entry::Span { first: next, last: 100_000 }];
        assert!(bench.put_back(life, &as_of_now(&notice, 1, left)).await);
    }
    let most =
        (0..starts.len()).map(|i| starts[i..].iter().take_while(|&&at| at < starts[i] + 1_000_000).count()).max();
    assert!(starts.len() > 100 && most <= Some(24), "{most:?} of {}", starts.len());
}

#[tokio::test]
async fn the_first_life_of_a_shard_begins_without_a_wait() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(Limit { rate_per_second: 10.0, burst: 5, concurrency: 100 }), 1, 100)]).await;
    assert_eq!(bench.ask(100).await.jobs.len(), 5);
}

#[tokio::test]
async fn a_cap_counts_what_was_called_before_a_loss() {
    let mut bench = Bench::emptied(Place::new()).await;
    let limit = Limit { rate_per_second: 100.0, burst: 1, concurrency: 1_000 };
    let channel = ruled(LevelLimit { per_minute: Some(60), per_hour: Some(2_000), ..limit.into() });
    let minute = bench.now / 60_000_000;
    let kept = |minute, by_minute: Vec<(i64, i64)>| KeptCalls {
        server: SERVER.to_owned(),
        channel: minute,
        by_minute,
        rate: 100.0,
        unnoted: Duration::from_millis(100),
        worked: true,
    };
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    // 30 of this minute and 10 that may have been made since; what was called two minutes ago matters to the hour alone.
    restoration.recall(&[kept(Some(channel.id), vec![(minute, 30), (minute - 2, 1_930)])]).await.unwrap();
    restoration.open_epoch(2, false).await.unwrap();
    bench.put_back(2, &opens(&channel, 1, 1_000)).await;
    let mut called = 0;
    for _ in 0..58 {
        bench.pass(SECOND);
        called += bench.claim(100).await.len();
    }
    assert_eq!(called, 20, "60 in a minute, of which 40 are gone");
    for _ in 0..300 {
        bench.pass(SECOND);
        called += bench.claim(100).await.len();
    }
    assert_eq!(called, 30, "2,000 in an hour, of which 1,970 are gone");
}

#[tokio::test]
async fn calls_of_a_minute_are_counted_for_levels_with_a_cap_and_for_no_others() {
    let mut bench = Bench::new().await;
    let capped = ruled(LevelLimit { per_minute: Some(500), ..WIDE.into() });
    let free = rule(WIDE);
    bench.apply(&[opens(&capped, 1, 100), opens(&free, 201, 205)]).await;
    bench.now -= bench.now % 60_000_000;
    bench.pass(50 * SECOND);
    for _ in 0..3 {
        bench.claim(2).await;
        bench.pass(4 * SECOND);
    }
    let levels = [(SERVER.to_owned(), None), (SERVER.to_owned(), Some(capped.id)), (SERVER.to_owned(), Some(free.id))];
    let counts = bench.clock().count_calls(&levels).await.unwrap();
    let [count] = &counts[..] else { panic!("{counts:?}") };
    assert_eq!((count.channel, count.server.as_str(), count.works), (Some(capped.id), SERVER, true));
    assert_eq!((count.minute, count.calls + count.calls_before), (bench.now / 60_000_000, 3));
    assert_eq!((count.calls, count.rate), (0, 10_000.0));
    flush_epoch(&bench);
    assert!(bench.clock().count_calls(&levels).await.unwrap().is_empty(), "nothing is known without a life");
}

#[tokio::test]
async fn a_rest_that_the_ledger_remembers_goes_on() {
    let mut bench = Bench::emptied(Place::new()).await;
    let restoration = bench.clock().begin_restore(0).await.unwrap().unwrap();
    let left = Duration::from_secs(20);
    let kept = KeptCooldown { server: SERVER.to_owned(), channel: None, left, reason: "throttled: 429".to_owned() };
    restoration.rest(&[kept]).await.unwrap();
    restoration.open_epoch(2, false).await.unwrap();
    bench.put_back(2, &opens(&rule(WIDE), 1, 10)).await;
    let batch = bench.ask(10).await;
    assert_eq!((batch.jobs.len(), batch.wait, batch.held_back), (0, Some(left), HeldBack::Cooldown));
    bench.pass(left);
    assert_eq!(bench.ask(10).await.jobs.len(), 1, "one tries it");
}

#[tokio::test]
async fn of_two_who_restore_at_once_the_first_is_refused() {
    let bench = Bench::emptied(Place::new()).await;
    let first = bench.clock().begin_restore(0).await.unwrap().unwrap();
    let second = bench.clock().begin_restore(0).await.unwrap().unwrap();
    assert!(matches!(first.open_epoch(8, false).await, Err(Error::TakenOver(0))));
    second.open_epoch(9, false).await.unwrap();
    assert!(bench.clock().begin_restore(0).await.unwrap().is_none());
    let lane = opens(&rule(WIDE), 1, 10);
    assert!(matches!(bench.clock().put_back(0, 8, &lane).await, Err(Error::TakenOver(0))));
    assert!(bench.put_back(9, &lane).await);
    bench.queue.finish_restore(0, 8).await.unwrap();
    assert!(matches!(inspect(&bench).await, Inspection::Open { epoch: 9, restoring: true, .. }));
}

#[tokio::test]
async fn a_hundred_thousand_jobs_of_one_lane_come_back_in_chunks() {
    let mut bench = Bench::new().await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    let due_ms = bench.now / 1_000 + 60_000;
    lane(&mut notice).jobs = (1..=100_000)
        .map(|job| Entry::Tried { job, attempts: 1, due_ms: if job % 2 == 0 { due_ms } else { 0 } })
        .collect();
    let started = std::time::Instant::now();
    assert!(bench.put_back(1, &notice).await);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(bench.depth().await, Depth { queued: 50_000, running: 0, delayed: 50_000 });
    bench.pass(2 * SECOND);
    assert_eq!(ids(&bench.claim(3).await), [1, 3, 5]);
}
