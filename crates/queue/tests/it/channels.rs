//! How a channel rests: cooldowns, trials, strikes, pauses.

use std::time::Duration;

use sincro_core::{
    channel::{Pause, PausedBy},
    limit::{Level, Limit},
    notice::Notice,
    verdict::Rest,
};
use sincro_queue::{Depth, Ruling, steps::HeldBack};

use crate::bench::{Bench, Held, WIDE, held, ids, opens, rule};

const SECOND: Duration = Duration::from_secs(1);

fn cooldown(wait: Duration, grows: bool) -> Ruling {
    Ruling::Rest(Rest::Cooldown {
        level: Level::Channel,
        wait,
        grows,
        slower: false,
        reason: "throttled",
        detail: "GET /chat/history: 429".to_owned(),
    })
}

fn refused() -> Pause {
    Pause::new(PausedBy::Gateway, "unauthorized: 401")
}

/// One channel with 1,000 jobs, and eight of them claimed.
async fn eight_out() -> (Bench, Vec<Held>) {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(Limit { concurrency: 8, ..WIDE }), 1, 1_000)]).await;
    let jobs = bench.claim(8).await;
    assert_eq!(jobs.len(), 8);
    (bench, jobs)
}

/// Until the channel can be claimed from, by what a claim says.
async fn rest_left(bench: &mut Bench) -> Duration {
    let batch = bench.ask(1).await;
    assert!(batch.jobs.is_empty());
    batch.wait.unwrap()
}

#[tokio::test]
async fn a_cooldown_holds_the_whole_channel_and_costs_no_attempt() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs[..1], &cooldown(7 * SECOND, false)).await;
    bench.settle(&jobs[1..], &Ruling::Done).await;
    let batch = bench.ask(8).await;
    assert_eq!((batch.jobs.len(), batch.wait, batch.held_back), (0, Some(7 * SECOND), HeldBack::Cooldown));
    bench.pass(Duration::from_micros(6_999_999));
    assert!(bench.claim(8).await.is_empty());
    bench.pass(Duration::from_micros(1));
    let trial = bench.claim(8).await;
    assert_eq!((trial.len(), trial[0].job, trial[0].attempt), (1, 1, 1));
}

#[tokio::test]
async fn a_job_that_is_refused_each_time_does_not_keep_the_others_of_its_channel_waiting() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs[..1], &cooldown(SECOND, true)).await;
    bench.settle(&jobs[1..], &Ruling::Done).await;
    bench.pass(SECOND);
    let trial = bench.claim(8).await;
    assert_eq!(ids(&trial), [1], "it may have been anybody's fault");
    bench.settle(&trial, &cooldown(SECOND, true)).await;
    bench.pass(2 * SECOND);
    let trial = bench.claim(8).await;
    assert_eq!(ids(&trial), [9]);
    bench.settle(&trial, &Ruling::Done).await;
    for first in (10..1_000).step_by(8) {
        let jobs = bench.claim(8).await;
        assert_eq!(jobs[0].job, first);
        bench.settle(&jobs, &Ruling::Done).await;
        bench.pass(Duration::from_millis(50));
    }
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 0, delayed: 0 });
}

#[tokio::test]
async fn a_job_whose_channel_is_paused_for_it_comes_last_when_that_goes_on() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs[..1], &Ruling::Rest(Rest::Pause(Pause::new(PausedBy::Session, "not logged in")))).await;
    bench.settle(&jobs[1..], &Ruling::Back).await;
    bench.pass(2 * SECOND);
    let look = bench.claim(8).await;
    bench.settle(&look, &Ruling::Done).await;
    assert_eq!(ids(&bench.claim(8).await), [8, 7, 6, 5, 4, 3, 2, 9]);
}

#[tokio::test]
async fn a_pause_without_a_reason_is_one() {
    let (mut bench, jobs) = eight_out().await;
    let nameless = Pause { by: PausedBy::Gateway, reason: String::new() };
    assert!(bench.settle(&jobs, &Ruling::Rest(Rest::Pause(nameless))).await.is_empty());
    assert!(bench.claim(8).await.is_empty());
    assert_eq!(bench.depth().await, Depth { queued: 1_000, running: 0, delayed: 0 });
}

#[tokio::test]
async fn after_a_cooldown_one_call_tries_alone_until_a_good_answer() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs, &cooldown(SECOND, true)).await;
    bench.pass(SECOND);
    let trial = bench.claim(8).await;
    assert_eq!(trial.len(), 1);
    assert!(bench.claim(8).await.is_empty());
    bench.settle(&trial, &Ruling::Delay { due: bench.due_in(SECOND) }).await;
    let second_trial = bench.claim(8).await;
    assert_eq!(second_trial.len(), 1);
    bench.settle(&second_trial, &Ruling::Next).await;
    assert_eq!(bench.claim(8).await.len(), 8);
}

#[tokio::test]
async fn a_cooldown_doubles_while_it_keeps_happening_and_stops_growing_at_five_minutes() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs, &cooldown(5 * SECOND, true)).await;
    for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(rest_left(&mut bench).await, seconds * SECOND);
        bench.pass(seconds * SECOND);
        let trial = bench.claim(8).await;
        assert_eq!(trial.len(), 1);
        bench.settle(&trial, &cooldown(5 * SECOND, true)).await;
    }
}

#[tokio::test]
async fn a_good_answer_ends_the_doubling() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs, &cooldown(SECOND, true)).await;
    bench.pass(SECOND);
    let trial = bench.claim(1).await;
    bench.settle(&trial, &Ruling::Done).await;
    let next = bench.claim(1).await;
    bench.settle(&next, &cooldown(SECOND, true)).await;
    assert_eq!(rest_left(&mut bench).await, SECOND);
}

#[tokio::test]
async fn many_refusals_at_once_are_one_strike() {
    let (mut bench, jobs) = eight_out().await;
    for job in jobs {
        bench.settle(&[job], &cooldown(SECOND, true)).await;
    }
    assert_eq!(rest_left(&mut bench).await, SECOND);
}

#[tokio::test]
async fn a_call_from_before_the_cooldown_is_neither_a_strike_nor_a_good_answer() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs[..1], &cooldown(SECOND, true)).await;
    bench.pass(3 * SECOND);
    bench.settle(&jobs[1..2], &cooldown(SECOND, true)).await;
    bench.settle(&jobs[2..], &Ruling::Done).await;
    assert_eq!(rest_left(&mut bench).await, SECOND);
    bench.pass(SECOND);
    assert_eq!(bench.claim(8).await.len(), 1, "the trial goes on");
}

#[tokio::test]
async fn a_longer_cooldown_is_not_cut_short_by_a_shorter_one() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs[..1], &cooldown(60 * SECOND, false)).await;
    bench.settle(&jobs[1..], &cooldown(SECOND, false)).await;
    assert_eq!(rest_left(&mut bench).await, 60 * SECOND);
}

#[tokio::test]
async fn a_gateway_that_asks_for_an_hour_gets_an_hour() {
    let (mut bench, jobs) = eight_out().await;
    bench.settle(&jobs, &cooldown(3_600 * SECOND, false)).await;
    assert_eq!(rest_left(&mut bench).await, 3_600 * SECOND);
}

#[tokio::test]
async fn a_refusal_pauses_the_channel_at_once_and_a_newer_rule_lifts_it() {
    let mut bench = Bench::new().await;
    let mut channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let jobs = bench.claim(3).await;
    bench.settle(&jobs, &Ruling::Rest(Rest::Pause(refused()))).await;
    assert!(bench.claim(3).await.is_empty());
    assert_eq!(bench.depth().await, Depth { queued: 100, running: 0, delayed: 0 });
    let view = bench.clock().channel_view(&channel.server, channel.id).await.unwrap().unwrap();
    assert_eq!(view.paused, Some(refused()));
    bench.apply(&[Notice { id: 2, channel: channel.clone(), lane: None }]).await;
    assert!(bench.claim(3).await.is_empty(), "the same version lifted the pause");
    channel.version = 2;
    bench.apply(&[Notice { id: 3, channel, lane: None }]).await;
    let again = bench.claim(3).await;
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|held| held.attempt == 1));
}

#[tokio::test]
async fn a_refusal_from_before_the_newest_rule_leaves_the_pausing_to_the_ledger() {
    let mut bench = Bench::new().await;
    let mut channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let jobs = bench.claim(1).await;
    bench.pass(SECOND);
    channel.version = 2;
    bench.apply(&[Notice { id: 2, channel, lane: None }]).await;
    bench.settle(&jobs, &Ruling::Rest(Rest::Pause(refused()))).await;
    assert_eq!(bench.claim(3).await.len(), 3);
}

#[tokio::test]
async fn a_resting_channel_does_not_slow_the_others() {
    let mut bench = Bench::new().await;
    let (resting, working) = (rule(WIDE), rule(WIDE));
    bench.apply(&[opens(&resting, 1, 100), opens(&working, 1_001, 1_100)]).await;
    let batch = bench.ask(2).await;
    let of_resting: Vec<Held> = held(&batch).into_iter().filter(|held| held.channel == resting.id).collect();
    bench.settle(&of_resting, &cooldown(60 * SECOND, false)).await;
    let more = bench.claim(50).await;
    assert_eq!(more.len(), 50);
    assert!(more.iter().all(|held| held.channel == working.id));
}
