//! What becomes of a job after its attempt.

use std::time::Duration;

use sincro_core::{limit::Limit, notice::LaneState};
use sincro_queue::{Depth, Ruling, steps};

use crate::bench::{Bench, WIDE, follows, ids, opens, rule, urgent};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn settling_nothing_settles_nothing() {
    let bench = Bench::new().await;
    assert!(bench.settle(&[], &Ruling::Done).await.is_empty());
}

#[tokio::test]
async fn a_job_that_is_done_leaves_nothing_behind() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 3);
    bench.apply(std::slice::from_ref(&notice)).await;
    let jobs = bench.claim(10).await;
    assert!(bench.settle(&jobs, &Ruling::Done).await.is_empty());
    assert_eq!(bench.depth().await, Depth::default());
    bench.apply(&[follows(&notice, LaneState::Closed)]).await;
    let left: Vec<String> = bench.place.keys().iter().map(|key| rest_of(key)).collect();
    assert_eq!(left, ["answer", "calls", "channel", "epoch2", "home", "server", "servers", "sync", "ticket"]);
}

/// A key's name without what is particular to the test.
fn rest_of(key: &str) -> String {
    let rest = key.split("}:").nth(1).unwrap();
    rest.split(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_settlement_sent_twice_counts_once_and_the_second_is_stale() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 3)]).await;
    let jobs = bench.claim(2).await;
    for ruling in [Ruling::Back, Ruling::Done, Ruling::Next] {
        let stale = bench.settle(&jobs, &ruling).await;
        assert_eq!(stale.len(), if ruling == Ruling::Back { 0 } else { 2 });
        assert_eq!(bench.depth().await, Depth { queued: 3, running: 0, delayed: 0 });
    }
}

#[tokio::test]
async fn the_next_call_of_a_job_keeps_its_attempt_and_its_place() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 100)]).await;
    let first = bench.claim(2).await;
    bench.settle(&first[1..], &Ruling::Next).await;
    let again = bench.claim_one().await;
    assert_eq!((again.job, again.attempt), (2, 1));
    bench.settle(std::slice::from_ref(&again), &Ruling::Next).await;
    assert_eq!(bench.settle(&[again], &Ruling::Next).await, [2]);
    let batch = bench.claim(3).await;
    assert_eq!(ids(&batch), [2, 3, 4]);
    assert!(batch.iter().all(|held| held.attempt == 1));
}

#[tokio::test]
async fn a_late_repetition_does_not_pass_for_the_next_call_of_the_same_attempt() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 1)]).await;
    let first_call = bench.claim_one().await;
    bench.settle(std::slice::from_ref(&first_call), &Ruling::Next).await;
    let second_call = bench.claim_one().await;
    assert_eq!(first_call.attempt, second_call.attempt);
    assert_eq!(bench.settle(&[first_call], &Ruling::Next).await, [1]);
    assert!(bench.claim(5).await.is_empty());
    assert!(bench.settle(&[second_call], &Ruling::Done).await.is_empty());
    assert_eq!(bench.depth().await, Depth::default());
}

#[tokio::test]
async fn a_job_between_two_calls_goes_before_an_older_lane_but_its_lane_does_not() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    let older = opens(&channel, 1, 5);
    bench.apply(std::slice::from_ref(&older)).await;
    bench.pass(SECOND);
    bench.apply(&[opens(&channel, 10, 15)]).await;
    let pause = follows(&older, LaneState::Paused);
    bench.apply(std::slice::from_ref(&pause)).await;
    let going_on = bench.claim_one().await;
    assert_eq!(going_on.job, 10);
    bench.settle(&[going_on], &Ruling::Next).await;
    bench.apply(&[follows(&pause, LaneState::Open)]).await;
    assert_eq!(ids(&bench.claim(3).await), [10, 1, 2]);
}

#[tokio::test]
async fn an_urgent_lane_goes_before_a_bulk_job_between_two_calls() {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    bench.apply(&[opens(&channel, 1, 5)]).await;
    let bulk = bench.claim_one().await;
    bench.settle(&[bulk], &Ruling::Next).await;
    bench.apply(&[urgent(opens(&channel, 10, 10))]).await;
    assert_eq!(ids(&bench.claim(3).await), [10, 1, 2]);
}

#[tokio::test]
async fn a_failed_attempt_counts_and_waits_for_its_time() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 1)]).await;
    for attempt in 1..=3 {
        let held = bench.claim_one().await;
        assert_eq!(held.attempt, attempt);
        bench.settle(&[held], &Ruling::Delay { due: bench.due_in(2 * SECOND) }).await;
        assert_eq!(bench.depth().await, Depth { queued: 0, running: 0, delayed: 1 });
        let batch = bench.ask(1).await;
        assert_eq!((batch.jobs.len(), batch.wait), (0, Some(2 * SECOND)));
        bench.pass(2 * SECOND);
    }
}

#[tokio::test]
async fn a_snooze_and_a_return_cost_no_attempt() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 9)]).await;
    for ruling in [Ruling::Back, Ruling::Snooze { due: bench.due_in(Duration::ZERO) }, Ruling::Back] {
        let held = bench.claim_one().await;
        assert_eq!((held.job, held.attempt), (1, 1));
        bench.settle(&[held], &ruling).await;
    }
}

#[tokio::test]
async fn a_retry_of_a_paused_lane_waits_with_its_lane() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 1);
    bench.apply(std::slice::from_ref(&notice)).await;
    let held = bench.claim_one().await;
    bench.settle(&[held], &Ruling::Delay { due: bench.due_in(SECOND) }).await;
    let pause = follows(&notice, LaneState::Paused);
    bench.apply(std::slice::from_ref(&pause)).await;
    bench.pass(SECOND);
    assert!(bench.claim(1).await.is_empty());
    assert_eq!(bench.depth().await, Depth { queued: 1, running: 0, delayed: 0 });
    bench.apply(&[follows(&pause, LaneState::Open)]).await;
    assert_eq!(bench.claim_one().await.attempt, 2);
}

#[tokio::test]
async fn ten_thousand_settlements_go_through_in_chunks() {
    let mut bench = Bench::new().await;
    let notices: Vec<_> = (0..10).map(|i| opens(&rule(WIDE), i * 1_000 + 1, i * 1_000 + 1_000)).collect();
    bench.apply(&notices).await;
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.extend(bench.claim(1_000).await);
        bench.pass(Duration::from_millis(200));
    }
    assert_eq!(jobs.len(), 10_000);
    assert!(bench.settle(&jobs[..5_000], &Ruling::Done).await.is_empty());
    assert!(bench.settle(&jobs[5_000..], &Ruling::Delay { due: bench.due_in(SECOND) }).await.is_empty());
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 0, delayed: 5_000 });
    assert_eq!(bench.settle(&jobs, &Ruling::Done).await.len(), 10_000);
}

#[tokio::test]
async fn under_a_wrong_ticket_nothing_is_settled() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(Limit { concurrency: 1, ..WIDE }), 1, 2)]).await;
    let held = bench.claim_one().await;
    let wrong =
        steps::Settlement { job: held.job, ticket: held.ticket + 1, ruling: Ruling::Done, used: Some(Duration::ZERO) };
    assert_eq!(steps::settle(&bench.clock(), 0, &[wrong]).await.unwrap(), [1]);
    assert_eq!(bench.depth().await, Depth { queued: 1, running: 1, delayed: 0 });
}
