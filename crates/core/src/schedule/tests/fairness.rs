//! Whose turn it is.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn counts(calls: &[(i64, Given)]) -> BTreeMap<ChannelId, i64> {
    let mut counts = BTreeMap::new();
    for (_, given) in calls {
        *counts.entry(given.channel).or_default() += 1;
    }
    counts
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn fifty_channels_of_very_different_size_get_equal_shares() {
    let mut bench = Bench::new(Some(limit(200.0, 1, 100).into()));
    for channel in 0..50 {
        // From 20 to 20,000 jobs, evenly on a scale of orders of magnitude.
        let size = 20.0 * 1_000_f64.powf(f64::from(i32::try_from(channel).unwrap()) / 49.0);
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        bench.fill(channel, limit(50.0, 1, 8), size as i64);
    }
    // While each has work: 20 calls for each of 50 at 200 a second.
    let end = bench.now + 5 * SECOND;
    let calls = bench.run_until(end, 7);
    let shares: Vec<f64> = counts(&calls).values().map(|n| *n as f64).collect();
    let (sum, squares): (f64, f64) = (shares.iter().sum(), shares.iter().map(|share| share * share).sum());
    let jain = sum * sum / (50.0 * squares);
    assert!(jain >= 0.99, "{jain}");
}

#[test]
fn weights_hold_behind_a_server_even_where_a_channel_cannot_take_consecutive_slots() {
    let mut bench = Bench::new(Some(limit(40.0, 1, 100).into()));
    for (channel, weight) in [(1, 1), (2, 3)] {
        // 35 a second: whoever was called has to sit out the server's next slot.
        bench.fill(channel, LevelLimit { weight, ..limit(35.0, 1, 8).into() }, 100_000);
    }
    let end = bench.now + 100 * SECOND;
    let counts = counts(&bench.run_until(end, 1));
    let (light, heavy) = (counts[&id(1)], counts[&id(2)]);
    assert!((light + heavy - 4_000).abs() < 80, "{light} + {heavy}");
    assert!((heavy - 3 * light).abs() < 100, "{light} : {heavy}");
}

#[test]
fn who_was_away_has_no_claim_to_what_it_missed() {
    let mut bench = Bench::new(Some(limit(100.0, 1, 100).into()));
    bench.fill(1, WIDE, 100_000);
    let end = bench.now + 60 * SECOND;
    bench.run_until(end, 1);
    bench.fill(2, WIDE, 100_000);
    let end = bench.now + 10 * SECOND;
    let counts = counts(&bench.run_until(end, 1));
    assert!((counts[&id(1)] - counts[&id(2)]).abs() <= 1);
}

#[test]
fn servers_take_turns_by_weight_when_workers_are_scarce() {
    let mut bench = Bench::new(None);
    for (channel, weight) in [(1, 1), (2, 2)] {
        let mut rule = bench.rule(channel, WIDE);
        rule.server = format!("wuzapi/{channel}");
        rule.server_limit = Some(LevelLimit { weight, ..WIDE.into() });
        bench.open(&rule, 1_000, false);
    }
    let calls: Vec<(i64, Given)> = bench.claim(9).jobs.into_iter().map(|given| (0, given)).collect();
    assert_eq!(counts(&calls).into_values().collect::<Vec<_>>(), [3, 6]);
}

#[test]
fn urgent_work_comes_before_bulk_work_of_any_channel_and_every_tenth_call_is_bulk() {
    let mut bench = Bench::new(Some(WIDE.into()));
    bench.fill(1, WIDE, 1_000);
    let other = bench.rule(2, WIDE);
    bench.open(&other, 1_000, true);
    let urgent: Vec<bool> = bench.claim(40).jobs.iter().map(|given| given.urgent).collect();
    for (i, urgent) in urgent.into_iter().enumerate() {
        assert_eq!(urgent, i % 10 != 9, "call {i}");
    }
}

#[test]
fn within_a_channel_urgent_lanes_come_first_and_bulk_lanes_still_move() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 100);
    let rule = bench.rule(1, WIDE);
    bench.open(&rule, 100, true);
    let urgent: Vec<bool> = bench.claim(20).jobs.iter().map(|given| given.urgent).collect();
    assert_eq!(urgent.iter().filter(|urgent| **urgent).count(), 18);
    assert!(!urgent[9] && !urgent[19]);
}

#[test]
fn without_room_for_bulk_only_urgent_work_is_given() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 100);
    let rule = bench.rule(2, WIDE);
    bench.open(&rule, 20, true);
    let batch = bench.schedule.claim(bench.now, 30, 0, LEASE);
    assert_eq!((batch.jobs.len(), batch.wait), (20, Some(LEASE)), "what waits is not for this worker");
    let batch = bench.schedule.claim(bench.now, 30, 4, LEASE);
    assert_eq!((batch.jobs.len(), batch.jobs.iter().any(|given| given.urgent)), (4, false));
}

#[test]
fn a_job_between_two_calls_goes_on_before_others_start() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 5);
    bench.fill(1, WIDE, 5);
    let first = bench.claim(7);
    assert_eq!(jobs(&first), [1, 2, 3, 4, 5, 6, 7]);
    let later = Batch { jobs: first.jobs[5..].to_vec(), ..first.clone() };
    let early = Batch { jobs: first.jobs[..5].to_vec(), ..first };
    bench.settle(&early, &Ruling::Done, true);
    bench.fill(1, WIDE, 5);
    bench.settle(&later, &Ruling::Next, true);
    assert_eq!(jobs(&bench.claim(3)), [7, 6, 8]);
}

#[test]
fn delayed_jobs_wait_and_expired_leases_come_back_with_their_attempt_counted() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 12);
    let batch = bench.claim(2);
    bench.settle(&batch, &Ruling::Delay(5 * SECOND), true);
    bench.claim(9);
    bench.now += 5 * SECOND;
    let retried = bench.claim(2);
    assert_eq!(retried.jobs.iter().map(|given| (given.job, given.attempt)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    bench.now += LEASE;
    // Those of one claim come back in the order of their texts, each in front of the one before.
    let again = bench.claim(20);
    assert_eq!(jobs(&again), [2, 1, 9, 8, 7, 6, 5, 4, 3, 11, 10, 12]);
    assert_eq!(again.jobs[0].attempt, 3);
    assert!(bench.schedule.settle(bench.now, &[]).is_empty());
}

#[test]
fn a_channel_that_moves_does_not_wait_for_what_it_was_served_elsewhere() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 300);
    let batch = bench.claim(200);
    bench.settle(&batch, &Ruling::Done, true);
    let at_other = |rule: ChannelRule| ChannelRule { server: "wuzapi/other.test".to_owned(), ..rule };
    let there = at_other(bench.rule(2, WIDE));
    bench.open(&there, 100, false);
    let moved = at_other(bench.rule(1, WIDE));
    bench.schedule.apply(bench.now, &moved, None);
    let channels: BTreeSet<ChannelId> = bench.claim(2).jobs.iter().map(|given| given.channel).collect();
    assert_eq!(channels, BTreeSet::from([id(1), id(2)]));
}
