//! Notices on their way in.

use std::time::Duration;

use sincro_core::{
    channel::{Pause, PausedBy},
    limit::Limit,
    notice::{ChannelRule, Entry, LaneState, Notice},
};
use sincro_queue::{Depth, Ruling};

use crate::{
    bench::{Bench, WIDE, connect, follows, ids, lane, open_first, opens, rule, sync_of},
    server::Place,
};

const fn queued(queued: i64) -> Depth {
    Depth { queued, running: 0, delayed: 0 }
}

/// `n` entries that do not fold into spans.
fn scattered(channel: &ChannelRule, n: i64) -> Notice {
    let mut notice = opens(channel, 1, 1);
    lane(&mut notice).jobs = (1..=n).map(|i| Entry::Tried { job: i * 2, attempts: 1, due_ms: 0 }).collect();
    notice
}

#[tokio::test]
async fn a_notice_without_a_lane_sets_the_rule_and_nothing_else() {
    let bench = Bench::new().await;
    let rule = rule(WIDE);
    let notice = Notice { id: 7, channel: rule.clone(), lane: None };
    assert_eq!(bench.apply(&[notice]).await, [7]);
    assert_eq!(bench.depth().await, Depth::default());
    let view = bench.clock().channel_view(&rule.server, rule.id).await.unwrap().unwrap();
    assert_eq!((view.channel.configured_rate, view.server.configured_rate), (Some(10_000.0), None));
}

#[tokio::test]
async fn applying_nothing_applies_nothing() {
    let bench = Bench::new().await;
    assert!(bench.apply(&[]).await.is_empty());
}

#[tokio::test]
async fn a_notice_delivered_twice_is_applied_once() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 5);
    assert_eq!(bench.apply(&[notice.clone(), notice.clone()]).await, [1, 1]);
    assert_eq!(bench.depth().await, queued(5));
    let jobs = bench.claim(10).await;
    assert_eq!(ids(&jobs), [1, 2, 3, 4, 5]);
    assert_eq!(bench.apply(&[notice]).await, [1]);
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 5, delayed: 0 });
}

#[tokio::test]
async fn a_notice_that_comes_too_early_waits_for_the_one_before() {
    let bench = Bench::new().await;
    let first = opens(&rule(WIDE), 1, 5);
    let mut second = follows(&first, LaneState::Open);
    lane(&mut second).jobs = vec![Entry::Span { first: 6, last: 8 }];
    let third = follows(&second, LaneState::Paused);
    assert!(bench.apply(&[third.clone(), second.clone()]).await.is_empty());
    assert_eq!(bench.depth().await, queued(0));
    assert_eq!(bench.apply(&[first.clone(), third.clone(), second.clone()]).await, [first.id, second.id]);
    assert_eq!(bench.depth().await, queued(8));
    assert_eq!(bench.apply(&[third.clone(), second]).await.len(), 2);
    assert_eq!(bench.depth().await, queued(8));
}

#[tokio::test]
async fn a_notice_of_ten_thousand_entries_comes_in_whole_and_once() {
    let mut bench = Bench::new().await;
    let notice = scattered(&rule(WIDE), 10_000);
    assert_eq!(bench.apply(std::slice::from_ref(&notice)).await, [1]);
    assert_eq!(bench.depth().await, queued(10_000));
    assert_eq!(bench.apply(&[notice]).await, [1]);
    assert_eq!(bench.depth().await, queued(10_000));
    let jobs = bench.claim(1_000).await;
    assert_eq!(ids(&jobs), (1..=1_000).map(|i| i * 2).collect::<Vec<_>>());
    assert!(jobs.iter().all(|held| held.attempt == 2));
}

#[tokio::test]
async fn a_delivery_that_broke_off_between_chunks_is_taken_up_where_it_ended() {
    let mut bench = Bench::new().await;
    let whole = scattered(&rule(WIDE), 2_500);
    break_off_after_one_chunk(&bench, &whole).await;
    assert_eq!(bench.depth().await, queued(1_000));
    let early = bench.claim(10).await;
    assert_eq!(ids(&early), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    assert!(bench.apply(&[follows(&whole, LaneState::Open)]).await.is_empty());
    assert_eq!(bench.apply(std::slice::from_ref(&whole)).await, [1]);
    assert_eq!(bench.depth().await, Depth { queued: 2_490, running: 10, delayed: 0 });
    assert_eq!(bench.apply(&[whole]).await, [1]);
    assert_eq!(bench.depth().await, Depth { queued: 2_490, running: 10, delayed: 0 });
}

/// Redis refuses the second chunk, for an entry that nobody can read, and the third then comes too early.
async fn break_off_after_one_chunk(bench: &Bench, whole: &Notice) {
    let mut broken = whole.clone();
    lane(&mut broken).jobs[1_500] = Entry::Tried { job: -1, attempts: 1, due_ms: 0 };
    bench.clock().apply(&[broken]).await.unwrap_err();
}

#[tokio::test]
async fn one_notice_that_redis_refuses_does_not_stop_the_others() {
    let bench = Bench::new().await;
    let mut unreadable = opens(&rule(WIDE), 1, 1);
    lane(&mut unreadable).jobs = vec![Entry::Span { first: -5, last: 1 }];
    let fine = opens(&rule(WIDE), 10, 12);
    assert_eq!(bench.apply(&[unreadable, fine]).await, [10]);
    assert_eq!(bench.depth().await, queued(3));
}

#[tokio::test]
async fn a_shard_that_takes_nothing_says_nothing_of_the_others() {
    let place = Place::own();
    let queue = connect(&place, 2).await;
    open_first(&queue, 1).await;
    let notice = |id, shard| {
        let server = (0..1_000).map(|n| format!("wuzapi/gateway-{n}")).find(|server| queue.shard_of(server) == shard);
        Notice { id, channel: ChannelRule { server: server.unwrap(), ..rule(WIDE) }, lane: None }
    };
    let delivery = queue.deliver(&[notice(1, 0), notice(2, 1)]).await;
    assert_eq!((delivery.applied, delivery.shut, delivery.failure.is_some()), (vec![2], [0].into(), false));

    open_first(&queue, 0).await;
    let mut unreadable = opens(&notice(3, 0).channel, 1, 1);
    lane(&mut unreadable).jobs = vec![Entry::Span { first: -5, last: 1 }];
    let delivery = queue.deliver(&[unreadable, notice(4, 0), notice(5, 1)]).await;
    assert_eq!((delivery.applied, delivery.shut, delivery.failure.is_some()), (vec![4, 5], [].into(), true));

    let _: () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).query(&mut place.raw()).unwrap();
    let delivery = queue.deliver(&[notice(6, 0), notice(7, 1)]).await;
    assert_eq!((delivery.applied, delivery.shut, delivery.failure.is_some()), (vec![], [0, 1].into(), true));
}

#[tokio::test]
async fn an_older_rule_does_not_replace_a_newer_one() {
    let bench = Bench::new().await;
    let mut channel = rule(Limit { rate_per_second: 5.0, ..WIDE });
    channel.version = 3;
    let newer = Notice { id: 1, channel: channel.clone(), lane: None };
    channel.version = 2;
    channel.limit.limit.rate_per_second = 1.0;
    channel.paused = Some(Pause::new(PausedBy::Operator, "by hand"));
    let older = Notice { id: 2, channel: channel.clone(), lane: None };
    assert_eq!(bench.apply(&[newer, older]).await, [1, 2]);
    let view = bench.clock().channel_view(&channel.server, channel.id).await.unwrap().unwrap();
    assert_eq!((view.paused, view.channel.configured_rate), (None, Some(5.0)));
}

#[tokio::test]
async fn a_delayed_entry_waits_for_its_time() {
    let mut bench = Bench::new().await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    let due_ms = bench.now / 1_000 + 5_000;
    lane(&mut notice).jobs =
        vec![Entry::Tried { job: 4, attempts: 2, due_ms }, Entry::Tried { job: 5, attempts: 1, due_ms: 1 }];
    bench.apply(&[notice]).await;
    assert_eq!(bench.depth().await, Depth { queued: 1, running: 0, delayed: 1 });
    let batch = bench.ask(10).await;
    assert_eq!((batch.jobs.len(), batch.jobs[0].job, batch.jobs[0].attempt), (1, 5, 2));
    assert_eq!(batch.wait, Some(Duration::from_secs(5)));
    bench.pass(Duration::from_secs(5));
    let late = bench.claim_one().await;
    assert_eq!((late.job, late.attempt), (4, 3));
}

#[tokio::test]
async fn a_paused_lane_holds_its_jobs_and_gives_them_when_it_opens_again() {
    let mut bench = Bench::new().await;
    let first = opens(&rule(WIDE), 1, 5);
    let pause = follows(&first, LaneState::Paused);
    let resume = follows(&pause, LaneState::Open);
    bench.apply(&[first, pause]).await;
    assert!(bench.claim(10).await.is_empty());
    assert_eq!(bench.depth().await, queued(5));
    bench.apply(&[resume]).await;
    assert_eq!(bench.claim(10).await.len(), 5);
}

#[tokio::test]
async fn a_closed_lane_drops_what_waits_and_forgets_what_ran() {
    let mut bench = Bench::new().await;
    let first = opens(&rule(WIDE), 1, 50);
    bench.apply(std::slice::from_ref(&first)).await;
    let jobs = bench.claim(5).await;
    bench.settle(&jobs[..1], &Ruling::Delay { due: bench.due_in(Duration::from_secs(9)) }).await;
    bench.apply(&[follows(&first, LaneState::Closed)]).await;
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 4, delayed: 0 });
    assert!(bench.claim(5).await.is_empty());
    assert!(bench.settle(&jobs[1..3], &Ruling::Back).await.is_empty());
    assert!(bench.settle(&jobs[3..], &Ruling::Done).await.is_empty());
    bench.pass(Duration::from_mins(1));
    assert!(bench.claim(5).await.is_empty());
    assert_eq!(bench.depth().await, Depth::default());
    let mut raw = bench.place.raw();
    let stub = bench.place.key(&format!("sync:{}", sync_of(&first)));
    let ttl: i64 = redis::cmd("TTL").arg(stub).query(&mut raw).unwrap();
    assert!((3_500..=3_600).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_lane_opened_again_starts_anew_and_owes_nothing_to_its_earlier_life() {
    let mut bench = Bench::new().await;
    let first = opens(&rule(WIDE), 1, 3);
    bench.apply(std::slice::from_ref(&first)).await;
    let old = bench.claim(2).await;
    let closed = follows(&first, LaneState::Closed);
    let mut again = follows(&closed, LaneState::Open);
    lane(&mut again).opens = true;
    lane(&mut again).jobs = vec![Entry::Span { first: 1, last: 3 }];
    bench.apply(&[closed, again]).await;
    assert_eq!(bench.depth().await, queued(3));
    assert_eq!(bench.settle(&old, &Ruling::Back).await, [1, 2]);
    assert_eq!(ids(&bench.claim(10).await), [1, 2, 3]);
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 3, delayed: 0 });
}

#[tokio::test]
async fn the_end_of_a_lane_nobody_knows_is_applied() {
    let bench = Bench::new().await;
    let unknown = opens(&rule(WIDE), 1, 3);
    let closed = follows(&follows(&unknown, LaneState::Open), LaneState::Closed);
    assert_eq!(bench.apply(&[closed, unknown]).await.len(), 2);
    assert_eq!(bench.depth().await, Depth::default());
}

#[tokio::test]
async fn the_end_of_a_sync_needs_none_of_the_notices_before_it() {
    let bench = Bench::new().await;
    let first = opens(&rule(WIDE), 1, 3);
    let second = follows(&first, LaneState::Paused);
    let third = follows(&second, LaneState::Closed);
    assert_eq!(
        bench.apply(&[first, third.clone()]).await.len(),
        2,
        "the second one was delivered to a queue that is lost"
    );
    assert_eq!(bench.depth().await, Depth::default());
    let again = follows(&third, LaneState::Closed);
    assert_eq!(bench.apply(&[again.clone(), second]).await.len(), 2);
    let mut opened = follows(&again, LaneState::Open);
    lane(&mut opened).opens = true;
    lane(&mut opened).jobs = vec![Entry::Tried { job: 2, attempts: 1, due_ms: 0 }];
    assert_eq!(bench.apply(&[opened]).await.len(), 1);
    assert_eq!(bench.depth().await, queued(1));
}

#[tokio::test]
async fn a_notice_read_after_the_end_of_its_sync_opens_nothing() {
    let bench = Bench::new().await;
    let mut first = opens(&rule(WIDE), 1, 3);
    lane(&mut first).state = LaneState::Closed;
    let second = follows(&first, LaneState::Closed);
    assert_eq!(bench.apply(&[first, second]).await.len(), 2);
    assert_eq!(bench.depth().await, Depth::default());
}

#[tokio::test]
async fn an_emptied_shard_takes_no_notice_and_says_so() {
    let bench = Bench::emptied(Place::new()).await;
    let emptied = bench.queue.emptied();
    assert!(bench.apply(&[opens(&rule(WIDE), 1, 3)]).await.is_empty());
    assert!(emptied.has_changed().unwrap());
    assert!(emptied.borrow().contains(&0));
    assert!(bench.place.keys().is_empty());
}
