//! Which job comes next, and when.

use std::{collections::HashMap, time::Duration};

use sincro_core::{
    channel::{ChannelId, Pause, PausedBy},
    job::JobId,
    limit::Limit,
    notice::{Entry, LaneState, Notice},
};
use sincro_queue::{
    Depth, Ruling,
    steps::{self, Ask, Claimed, HeldBack},
};

use crate::{
    bench::{Bench, Held, LEASE, SERVER, WIDE, follows, held, ids, lane, opens, rule, sync_of, urgent},
    server::Place,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_empty_queue_gives_nothing_and_only_news_can_help() {
    let mut bench = Bench::new().await;
    let batch = bench.ask(10).await;
    assert_eq!((batch.jobs.len(), batch.wait, batch.held_back, batch.epoch), (0, None, HeldBack::Idle, 1));
}

#[tokio::test]
async fn an_emptied_queue_says_so_and_gives_nothing() {
    let bench = Bench::emptied(Place::new()).await;
    let ask = Ask { shard: 0, max: 10, max_bulk: 10, lease: LEASE, asker: "test", number: 1, again: false };
    assert_eq!(steps::claim(&bench.queue, &ask).await.unwrap(), Claimed::Emptied);
    assert!(bench.place.keys().is_empty());
}

#[tokio::test]
async fn jobs_come_in_the_order_of_their_lanes_and_each_once() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    let first = opens(&channel, 1, 3);
    bench.apply(std::slice::from_ref(&first)).await;
    bench.pass(SECOND);
    let second = opens(&channel, 10, 12);
    bench.apply(&[second]).await;
    let jobs = bench.claim(4).await;
    assert_eq!(ids(&jobs), [1, 2, 3, 10]);
    assert!(jobs.iter().all(|held| held.attempt == 1 && held.channel == channel.id));
    assert_eq!(jobs[0].sync, sync_of(&first));
    assert_eq!(ids(&bench.claim(10).await), [11, 12]);
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 6, delayed: 0 });
}

#[tokio::test]
async fn urgent_lanes_go_ahead_of_bulk_lanes_however_long_those_have_waited() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 1_000)]).await;
    assert_eq!(bench.claim_one().await.job, 1);
    bench.pass(SECOND);
    bench.apply(&[urgent(opens(&channel, 5_000, 5_001))]).await;
    bench.pass(SECOND);
    bench.apply(&[urgent(opens(&channel, 6_000, 6_000))]).await;
    assert_eq!(ids(&bench.claim(4).await), [5_000, 5_001, 6_000, 2]);
}

#[tokio::test]
async fn channels_take_turns_however_much_each_has_waiting() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> =
        [(1, 5_000), (10_001, 10_050), (20_001, 20_050)].map(|(first, last)| opens(&rule(WIDE), first, last)).into();
    bench.apply(&notices).await;
    let mut starts: HashMap<ChannelId, usize> = HashMap::new();
    for max in [7, 1, 1, 50, 13, 64, 14] {
        bench.pass(Duration::from_micros(100));
        for held in bench.claim(max).await {
            *starts.entry(held.channel).or_default() += 1;
        }
    }
    assert_eq!(starts.values().copied().collect::<Vec<_>>(), [50, 50, 50]);
}

#[tokio::test]
async fn channels_take_turns_when_one_worker_asks_for_one_job_at_a_time() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> = (0..5).map(|i| opens(&rule(WIDE), i * 100 + 1, i * 100 + 100)).collect();
    bench.apply(&notices).await;
    let mut order = Vec::new();
    for _ in 0..20 {
        bench.pass(Duration::from_micros(50));
        let held = bench.claim_one().await;
        bench.settle(std::slice::from_ref(&held), &Ruling::Done).await;
        order.push(held.channel);
    }
    let rounds: Vec<&[ChannelId]> = order.chunks(5).collect();
    assert!(rounds.iter().all(|round| *round == rounds[0]), "{rounds:?}");
}

#[tokio::test]
async fn a_channel_that_waits_keeps_its_place_whatever_comes_in_behind() {
    let mut bench = Bench::new().await;
    let (first, second) = (rule(WIDE), rule(WIDE));
    bench.apply(&[opens(&first, 1, 5)]).await;
    bench.pass(SECOND);
    bench.apply(&[opens(&second, 11, 15)]).await;
    bench.pass(SECOND);
    bench.apply(&[opens(&first, 6, 9)]).await;
    assert_eq!(bench.claim_one().await.channel, first.id);
    bench.pass(SECOND);
    assert_eq!(bench.claim_one().await.channel, second.id);
}

#[tokio::test]
async fn one_channel_has_one_job_per_slot_of_its_rate() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 20.0, burst: 1, concurrency: 1_000 });
    bench.apply(&[opens(&channel, 1, 1_000)]).await;
    let mut starts = Vec::new();
    let end = bench.now + 10_000_000;
    while bench.now < end {
        let batch = bench.ask(100).await;
        starts.extend(batch.jobs.iter().map(|_| bench.now));
        assert_eq!((batch.held_back, batch.binds), (HeldBack::Rate, Some(sincro_core::limit::Level::Channel)));
        bench.pass(batch.wait.unwrap());
    }
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 50_000), "closer than a slot");
    assert_eq!(most_in_a_second(&starts), 20);
    assert!((196..=200).contains(&starts.len()), "{} of 200", starts.len());
}

#[tokio::test]
async fn claims_that_come_late_neither_lose_slots_nor_exceed_the_rate() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 50.0, burst: 1, concurrency: 1_000 });
    bench.apply(&[opens(&channel, 1, 2_000)]).await;
    let (mut starts, mut round) = (Vec::new(), 0);
    let end = bench.now + 10_000_000;
    while bench.now < end {
        let batch = bench.ask(10).await;
        starts.extend(batch.jobs.iter().map(|_| bench.now));
        round += 1;
        bench.pass(batch.wait.unwrap() + Duration::from_micros((round * 977) % 5_000));
    }
    assert!(most_in_a_second(&starts) <= 50);
    assert!(starts.len() >= 490, "{} of 500", starts.len());
}

#[tokio::test]
async fn a_burst_comes_after_a_quiet_time_and_on_top_of_the_rate() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 10.0, burst: 5, concurrency: 1_000 });
    bench.apply(&[opens(&channel, 1, 5)]).await;
    assert_eq!(bench.claim(100).await.len(), 5);
    bench.pass(SECOND);
    bench.apply(&[opens(&channel, 11, 1_000)]).await;
    assert_eq!(bench.claim(100).await.len(), 5);
    assert_eq!(bench.claim(100).await.len(), 0);
    bench.pass(Duration::from_millis(300));
    assert_eq!(bench.claim(100).await.len(), 3);
}

#[tokio::test]
async fn a_slow_channel_does_not_hold_up_a_fast_one() {
    let mut bench = Bench::new().await;
    let slow = rule(Limit { rate_per_second: 0.5, burst: 1, concurrency: 8 });
    let fast = rule(WIDE);
    bench.apply(&[opens(&slow, 1, 100), opens(&fast, 1_001, 1_100)]).await;
    let jobs = bench.claim(50).await;
    assert_eq!(jobs.iter().filter(|held| held.channel == slow.id).count(), 1);
    assert_eq!(jobs.len(), 50);
}

#[tokio::test]
async fn a_channel_never_has_more_out_than_its_concurrency() {
    let mut bench = Bench::new().await;
    let channel = rule(Limit { concurrency: 3, ..WIDE });
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let batch = bench.ask(50).await;
    assert_eq!((batch.jobs.len(), batch.held_back), (3, HeldBack::Channel));
    assert!(bench.claim(50).await.is_empty());
    bench.settle(&held(&batch)[..2], &Ruling::Done).await;
    assert_eq!(bench.claim(50).await.len(), 2);
}

#[tokio::test]
async fn a_wider_concurrency_is_used_at_once_and_a_narrower_one_lets_running_jobs_finish() {
    let mut bench = Bench::new().await;
    let mut channel = rule(Limit { concurrency: 2, ..WIDE });
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let mut out = bench.claim(50).await;
    for (version, concurrency, more) in [(2, 5, 3), (3, 1, 0)] {
        channel.version = version;
        channel.limit.limit.concurrency = concurrency;
        bench.apply(&[Notice { id: version, channel: channel.clone(), lane: None }]).await;
        let claimed = bench.claim(50).await;
        assert_eq!(claimed.len(), more);
        out.extend(claimed);
    }
    bench.settle(&out[..4], &Ruling::Done).await;
    assert!(bench.claim(50).await.is_empty());
    bench.settle(&out[4..], &Ruling::Done).await;
    assert_eq!(bench.claim(50).await.len(), 1);
}

#[tokio::test]
async fn a_faster_rule_takes_effect_at_once() {
    let mut bench = Bench::new().await;
    let mut channel = rule(Limit { rate_per_second: 0.01, burst: 1, concurrency: 100 });
    bench.apply(&[opens(&channel, 1, 100)]).await;
    assert_eq!(bench.claim(9).await.len(), 1);
    channel.version = 2;
    channel.limit.limit.rate_per_second = 100.0;
    bench.apply(&[Notice { id: 2, channel, lane: None }]).await;
    let batch = bench.ask(9).await;
    assert_eq!((batch.jobs.len(), batch.wait), (0, Some(Duration::from_millis(10))));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_with_its_attempt_counted() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(Limit { concurrency: 1, ..WIDE }), 1, 100)]).await;
    let dead = bench.claim_one().await;
    assert!(bench.claim(1).await.is_empty());
    bench.pass(LEASE);
    let taken_over = bench.claim_one().await;
    assert_eq!((taken_over.job, taken_over.attempt), (dead.job, 2));
    assert_ne!(taken_over.ticket, dead.ticket);
    assert_eq!(bench.settle(&[dead], &Ruling::Done).await, [1]);
    assert_eq!(bench.depth().await, Depth { queued: 99, running: 1, delayed: 0 });
}

#[tokio::test]
async fn a_renewed_lease_is_kept_and_a_lost_one_reported() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 2)]).await;
    let jobs = bench.claim(2).await;
    bench.pass(Duration::from_secs(20));
    let renewed: Vec<(JobId, i64)> = vec![(1, jobs[0].ticket), (2, jobs[1].ticket + 1), (99, 5)];
    assert_eq!(steps::renew(&bench.clock(), 0, LEASE, &renewed).await.unwrap(), [2, 99]);
    bench.pass(Duration::from_secs(20));
    let taken_over = bench.claim(5).await;
    assert_eq!(ids(&taken_over), [2]);
    assert!(steps::renew(&bench.clock(), 0, LEASE, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn ten_thousand_leases_are_renewed_in_chunks() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> = (0..10).map(|i| opens(&rule(WIDE), i * 1_000 + 1, i * 1_000 + 1_000)).collect();
    bench.apply(&notices).await;
    let mut leases = Vec::new();
    for _ in 0..10 {
        leases.extend(bench.claim(1_000).await.iter().map(|held| (held.job, held.ticket)));
        bench.pass(Duration::from_millis(500));
    }
    for _ in 0..2 {
        bench.pass(20 * SECOND);
        assert!(steps::renew(&bench.clock(), 0, LEASE, &leases).await.unwrap().is_empty());
    }
    assert_eq!(bench.claim(10).await.len(), 0);
    assert_eq!(bench.depth().await.running, 10_000);
}

#[tokio::test]
async fn ten_thousand_expired_leases_come_back_in_bounded_steps() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> = (0..10).map(|i| opens(&rule(WIDE), i * 1_000 + 1, i * 1_000 + 1_000)).collect();
    bench.apply(&notices).await;
    for _ in 0..10 {
        assert_eq!(bench.claim(1_000).await.len(), 1_000);
        bench.pass(Duration::from_millis(500));
    }
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 10_000, delayed: 0 });
    bench.pass(LEASE);
    let batch = bench.ask(10).await;
    assert_eq!((batch.jobs.len(), batch.wait), (10, Some(Duration::ZERO)));
    assert_eq!(bench.depth().await, Depth { queued: 246, running: 9_754, delayed: 0 });
    let mut seen = batch.jobs.len();
    while seen < 10_000 {
        seen += bench.claim(1_000).await.len();
    }
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 10_000, delayed: 0 });
}

#[tokio::test]
async fn ten_thousand_due_retries_come_back_in_bounded_steps_and_in_order() {
    let mut bench = Bench::new().await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    let due_ms = bench.now / 1_000 + 1_000;
    lane(&mut notice).jobs =
        (1..=10_000).map(|job| Entry::Tried { job, attempts: 1, due_ms: due_ms + job / 100 }).collect();
    bench.apply(&[notice]).await;
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 0, delayed: 10_000 });
    bench.pass(Duration::from_mins(1));
    let first = bench.ask(10).await;
    assert_eq!((first.jobs.len(), first.wait), (10, Some(Duration::ZERO)));
    assert!(first.jobs.iter().all(|job| job.job < 100), "{:?}", first.jobs);
    assert_eq!(bench.depth().await, Depth { queued: 246, running: 10, delayed: 9_744 });
    let mut seen = first.jobs.len();
    for _ in 0..60 {
        let jobs = bench.claim(1_000).await;
        seen += jobs.len();
        bench.settle(&jobs, &Ruling::Done).await;
        bench.pass(Duration::from_millis(100));
    }
    assert_eq!(seen, 10_000);
}

#[tokio::test]
async fn the_answer_to_a_claim_can_be_asked_for_again() {
    let bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 100)]).await;
    let ask = Ask { shard: 0, max: 3, max_bulk: 3, lease: LEASE, asker: "w", number: 5, again: false };
    let Claimed::Batch(first) = steps::claim(&bench.clock(), &ask).await.unwrap() else { panic!() };
    let again = Ask { again: true, ..ask.clone() };
    let Claimed::Batch(second) = steps::claim(&bench.clock(), &again).await.unwrap() else { panic!() };
    assert_eq!((&first.jobs, first.ticket), (&second.jobs, second.ticket));
    assert_eq!(bench.depth().await.running, 3);
    bench.settle(&held(&first)[..1], &Ruling::Done).await;
    let Claimed::Batch(third) = steps::claim(&bench.clock(), &again).await.unwrap() else { panic!() };
    assert_eq!(third.jobs, first.jobs[1..]);
    let nothing_more = Ask { max: 0, ..again.clone() };
    let Claimed::Batch(fourth) = steps::claim(&bench.clock(), &nothing_more).await.unwrap() else { panic!() };
    assert_eq!(fourth.jobs, third.jobs);
    let unheard = Ask { max: 0, number: 6, ..again.clone() };
    let Claimed::Batch(nothing) = steps::claim(&bench.clock(), &unheard).await.unwrap() else { panic!() };
    assert!(nothing.jobs.is_empty());
    let unheard = Ask { number: 6, ..again };
    let Claimed::Batch(fresh) = steps::claim(&bench.clock(), &unheard).await.unwrap() else { panic!() };
    assert_eq!(fresh.jobs.iter().map(|job| job.job).collect::<Vec<_>>(), [4, 5, 6]);
}

#[tokio::test]
async fn a_claim_for_everything_is_answered_in_full() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 10_000)]).await;
    assert_eq!(bench.claim(5_000).await.len(), 1_000);
}

#[tokio::test]
async fn ten_thousand_paused_channels_cost_a_claim_nothing() {
    let mut bench = Bench::new().await;
    let mut notices = Vec::new();
    for i in 0..10_000 {
        let mut channel = rule(WIDE);
        channel.paused = Some(Pause::new(PausedBy::Operator, "by hand"));
        notices.push(opens(&channel, i * 10 + 1, i * 10 + 10));
    }
    bench.apply(&notices).await;
    bench.apply(&[opens(&rule(WIDE), 1_000_001, 1_000_010)]).await;
    assert_eq!(bench.depth().await.queued, 100_010);
    let mut raw = bench.place.raw();
    let ready: i64 = redis::cmd("ZCARD").arg(bench.place.key(&format!("round:b:{SERVER}"))).query(&mut raw).unwrap();
    assert_eq!(ready, 1);
    let batch = bench.ask(20).await;
    assert_eq!((batch.jobs.len(), batch.held_back), (10, HeldBack::Channel));
}

#[tokio::test]
async fn a_paused_channel_gives_nothing_until_it_is_resumed() {
    let mut bench = Bench::new().await;
    let mut channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 10)]).await;
    channel.version = 2;
    channel.paused = Some(Pause::new(PausedBy::Operator, "by hand"));
    bench.apply(&[Notice { id: 2, channel: channel.clone(), lane: None }]).await;
    assert_eq!(bench.ask(5).await.held_back, HeldBack::Channel);
    channel.version = 3;
    channel.paused = None;
    bench.apply(&[Notice { id: 3, channel, lane: None }]).await;
    assert_eq!(bench.claim(5).await.len(), 5);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_taught_again() {
    let mut bench = Bench::at(Place::own()).await;
    bench.apply(&[opens(&rule(WIDE), 1, 10)]).await;
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut bench.place.raw()).unwrap();
    assert_eq!(bench.claim(5).await.len(), 5);
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut bench.place.raw()).unwrap();
    let more: Vec<Notice> = (0..40).map(|i| opens(&rule(WIDE), 100 + i, 100 + i)).collect();
    assert_eq!(bench.apply(&more).await.len(), 40);
}

#[tokio::test]
async fn lanes_that_were_paused_take_up_their_old_place() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    let first = opens(&channel, 1, 5);
    bench.apply(std::slice::from_ref(&first)).await;
    bench.pass(SECOND);
    bench.apply(&[opens(&channel, 10, 15)]).await;
    let pause = follows(&first, LaneState::Paused);
    bench.apply(std::slice::from_ref(&pause)).await;
    assert_eq!(bench.claim_one().await.job, 10);
    bench.apply(&[follows(&pause, LaneState::Open)]).await;
    assert_eq!(ids(&bench.claim(6).await), [1, 2, 3, 4, 5, 11]);
}

#[test]
fn most_in_a_second_counts_windows_and_not_clock_seconds() {
    assert_eq!(most_in_a_second(&[0, 900_000, 1_000_000, 1_899_999]), 3);
}

/// The most starts in any window of one second.
fn most_in_a_second(starts: &[i64]) -> usize {
    let within = |i: usize| starts[i..].iter().take_while(|&&at| at < starts[i] + 1_000_000).count();
    (0..starts.len()).map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn two_workers_never_get_the_same_job() {
    let bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 500)]).await;
    let mut all: Vec<Held> = Vec::new();
    for number in 0..10 {
        for asker in ["a", "b"] {
            let ask = Ask { shard: 0, max: 25, max_bulk: 25, lease: LEASE, asker, number, again: false };
            let Claimed::Batch(batch) = steps::claim(&bench.clock(), &ask).await.unwrap() else { panic!() };
            all.extend(held(&batch));
        }
    }
    let mut jobs = ids(&all);
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!(jobs.len(), 500);
}

#[tokio::test]
async fn one_worker_comes_for_the_next_slot_and_the_others_stand_in_a_little_later() {
    let bench = Bench::new().await;
    let channel = rule(Limit { rate_per_second: 10.0, burst: 1, concurrency: 1_000 });
    bench.apply(&[opens(&channel, 1, 500)]).await;
    let mut waits = Vec::new();
    for (number, asker) in ["a", "b", "c", "a", "b"].into_iter().enumerate() {
        let number = u64::try_from(number).unwrap();
        let ask = Ask { shard: 0, max: 25, max_bulk: 25, lease: LEASE, asker, number, again: false };
        let Claimed::Batch(batch) = steps::claim(&bench.clock(), &ask).await.unwrap() else { panic!() };
        waits.push(batch.wait.unwrap().as_millis());
    }
    assert_eq!(waits, [100, 150, 150, 100, 150]);
}
