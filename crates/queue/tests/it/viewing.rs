//! What the queue tells of itself.

use std::time::Duration;

use sincro_core::{
    channel::{Pause, PausedBy},
    limit::{Cooldown, Level, Limit},
    notice::LaneState,
    sync::Live,
    verdict::Rest,
    waiting::WaitsFor,
};
use sincro_queue::{Depth, Queue, Ruling};
use uuid::Uuid;

use crate::bench::{Bench, SERVER, WIDE, connect, follows, opens, rule, sync_of};

const SECOND: Duration = Duration::from_secs(1);

fn throttled(wait: Duration) -> Rest {
    Rest::Cooldown {
        level: Level::Channel,
        wait,
        grows: false,
        slower: false,
        reason: "throttled",
        detail: "GET /chat/history: 429".to_owned(),
    }
}

async fn limited_by(queue: &Queue, notice: &sincro_core::notice::Notice) -> Option<String> {
    queue.live(SERVER, notice.channel.id, sync_of(notice)).await.unwrap().waits_for.map(|reason| reason.to_string())
}

#[tokio::test]
async fn what_nobody_knows_is_idle() {
    let bench = Bench::new().await;
    assert_eq!(bench.queue.live(SERVER, Uuid::now_v7(), Uuid::now_v7()).await.unwrap(), Live::default());
    assert!(bench.queue.held_jobs(SERVER, Uuid::now_v7()).await.unwrap().is_empty());
    assert!(bench.queue.channel_view(SERVER, Uuid::now_v7()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sync_says_what_it_waits_for() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 2.0, burst: 1, concurrency: 2 });
    let notice = opens(&channel, 1, 4);
    bench.apply(std::slice::from_ref(&notice)).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await, None);
    let first = bench.claim(1).await;
    let live = bench.clock().live(SERVER, channel.id, sync_of(&notice)).await.unwrap();
    assert_eq!(
        live,
        Live {
            running: 1,
            delayed: 0,
            waits_for: Some(WaitsFor::Rate { level: Level::Channel, per: None }),
            next_at: Some(bench.due_in(Duration::from_millis(500))),
            calls_made: 1,
            calls_per_second: Some(2.0),
        }
    );
    bench.pass(SECOND);
    let second = bench.claim(1).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some("concurrency: channel"));
    let rest = throttled(90 * SECOND);
    bench.settle(&first, &Ruling::Rest(rest)).await;
    let expected = "cooldown until 2027-01-15T08:01:31Z: throttled";
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some(expected), "whatever is still under way");
    bench.settle(&second, &Ruling::Done).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some(expected));
    let pause = follows(&notice, LaneState::Paused);
    bench.apply(&[pause]).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some("paused by operator: sync"));
}

#[tokio::test]
async fn a_sync_of_a_paused_channel_says_why_it_is_paused() {
    let bench = Bench::new().await;
    let mut channel = rule(WIDE);
    channel.paused = Some(Pause::new(PausedBy::Operator, "anna is on it"));
    let notice = opens(&channel, 1, 4);
    bench.apply(std::slice::from_ref(&notice)).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some("paused by operator: anna is on it"));
}

#[tokio::test]
async fn a_sync_with_nothing_but_retries_says_when_the_first_is_due() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 2);
    bench.apply(std::slice::from_ref(&notice)).await;
    let jobs = bench.claim(2).await;
    bench.settle(&jobs[..1], &Ruling::Delay { due: bench.due_in(40 * SECOND) }).await;
    bench.settle(&jobs[1..], &Ruling::Delay { due: bench.due_in(20 * SECOND) }).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some("retry at 2027-01-15T08:00:20Z"));
    bench.pass(20 * SECOND);
    let due = bench.claim(2).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await.as_deref(), Some("retry at 2027-01-15T08:00:40Z"));
    bench.pass(20 * SECOND);
    bench.settle(&due, &Ruling::Done).await;
    let last = bench.claim(2).await;
    assert_eq!(limited_by(&bench.clock(), &notice).await, None);
    bench.settle(&last, &Ruling::Done).await;
    assert_eq!(bench.depth().await, Depth::default());
}

#[tokio::test]
async fn held_jobs_are_those_at_a_worker_now_even_of_a_closed_sync() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    let (one, other) = (opens(&channel, 1, 5), opens(&channel, 11, 15));
    bench.apply(&[one.clone(), other.clone()]).await;
    let jobs = bench.claim(7).await;
    assert_eq!(bench.queue.held_jobs(SERVER, sync_of(&one)).await.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(bench.queue.held_jobs(SERVER, sync_of(&other)).await.unwrap(), [11, 12]);
    bench.settle(&jobs[..2], &Ruling::Done).await;
    bench.apply(&[follows(&one, LaneState::Closed)]).await;
    assert_eq!(bench.queue.held_jobs(SERVER, sync_of(&one)).await.unwrap(), [3, 4, 5]);
}

#[tokio::test]
async fn a_channel_shows_its_cooldown_its_load_and_its_next_slot() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 1.0, burst: 1, concurrency: 5 });
    bench.apply(&[opens(&channel, 1, 50)]).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!((view.channel.running, view.next_call_at), (0, Some(bench.due_in(Duration::ZERO))));
    let first = bench.claim(1).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!((view.channel.running, view.next_call_at), (1, Some(bench.due_in(Duration::from_millis(1_010)))));
    bench.settle(&first, &Ruling::Rest(throttled(60 * SECOND))).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    let cooldown = Cooldown { until: bench.due_in(60 * SECOND), reason: "throttled: GET /chat/history: 429".into() };
    assert_eq!((view.next_call_at, view.channel.cooldown), (Some(cooldown.until), Some(cooldown)));
    bench.pass(60 * SECOND);
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!(view.channel.cooldown, None);
}

#[tokio::test]
async fn the_depth_is_that_of_all_shards() {
    let bench = Bench::new().await;
    let queue = connect(&bench.place, 4).await;
    for shard in 1..4 {
        crate::bench::open_first(&queue, shard).await;
    }
    let mut shards = std::collections::BTreeSet::new();
    for i in 0..12 {
        let mut notice = opens(&rule(WIDE), i * 10 + 1, i * 10 + 10);
        notice.channel.server = format!("wuzapi/gateway-{i}.test");
        shards.insert(queue.shard_of(&notice.channel.server));
        assert_eq!(queue.apply(&[notice]).await.unwrap().len(), 1);
    }
    assert_eq!(shards.len(), 4);
    assert_eq!(queue.depth().await.unwrap(), Depth { queued: 120, running: 0, delayed: 0 });
}
