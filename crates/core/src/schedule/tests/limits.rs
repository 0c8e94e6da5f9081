//! How many calls there are, and when.

use super::*;
use crate::limit::Level as At;

/// The most calls in any stretch of so many microseconds.
fn most_in_any(micros: i64, calls: &[(i64, Given)]) -> usize {
    let times: Vec<i64> = calls.iter().map(|call| call.0).collect();
    times.iter().enumerate().map(|(i, from)| times[i..].partition_point(|at| at - from < micros)).max().unwrap_or(0)
}

#[test]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
fn no_second_holds_more_calls_than_the_rate_and_hardly_a_slot_is_lost() {
    for rate in [0.1, 0.3, 1.0, 1.5, 2.5, 3.0, 7.3, 19.99, 20.0, 33.0, 100.0, 250.5] {
        for of_server in [false, true] {
            let (server, channel) =
                if of_server { (Some(limit(rate, 1, 50).into()), WIDE) } else { (None, limit(rate, 1, 50)) };
            let mut bench = Bench::new(server);
            bench.fill(1, channel, 1_000_000);
            let span = (200.0 / rate).max(20.0) as i64 * SECOND;
            let end = bench.now + span;
            let calls = bench.run_until(end, 100);
            // As many calls as fit take a second, or what they are short of it where the rate is no whole number.
            let fit = rate.floor().max(1.0);
            let stretch = (SECOND as f64 * fit / rate) as i64;
            assert!(most_in_any(stretch, &calls) <= fit as usize, "rate {rate}");
            assert!(most_in_any(SECOND, &calls) <= rate.ceil() as usize, "rate {rate}");
            let possible = rate * span as f64 / SECOND as f64;
            assert!(calls.len() as f64 >= 0.98 * possible - 1.0, "rate {rate}: {} of {possible}", calls.len());
        }
    }
}

#[test]
fn a_burst_comes_on_top_once_and_not_twice() {
    let mut bench = Bench::new(None);
    bench.fill(1, limit(10.0, 5, 50), 1_000);
    assert_eq!(bench.claim(100).jobs.len(), 5);
    bench.now += 250_000;
    assert_eq!(bench.claim(100).jobs.len(), 2);
    assert_eq!(bench.claim(100).wait, Some(50_000));
}

#[test]
fn caps_hold_in_any_minute_and_hour() {
    let mut bench = Bench::new(None);
    let capped = LevelLimit { per_minute: Some(30), per_hour: Some(200), ..limit(5.0, 1, 50).into() };
    bench.fill(1, capped, 1_000_000);
    let end = bench.now + 7_200 * SECOND;
    let calls = bench.run_until(end, 100);
    assert_eq!(most_in_any(60 * SECOND, &calls), 30);
    assert_eq!(most_in_any(3_600 * SECOND, &calls), 200);
    assert_eq!(calls.len(), 400);
}

#[test]
fn nobody_has_more_under_way_than_either_level_allows() {
    let mut bench = Bench::new(Some(limit(10_000.0, 1_000, 5).into()));
    bench.fill(1, Limit { concurrency: 3, ..WIDE }, 100);
    bench.fill(2, Limit { concurrency: 4, ..WIDE }, 100);
    let first = bench.claim(100);
    let of = |channel| first.jobs.iter().filter(|given| given.channel == id(channel)).count();
    assert_eq!((of(1), of(2)), (3, 2));
    assert!(bench.claim(100).jobs.is_empty());
    bench.settle(&first, &Ruling::Done, true);
    assert_eq!(bench.claim(100).jobs.len(), 5);
}

#[test]
fn a_permit_that_was_not_used_is_given_back_to_the_microsecond() {
    for burst in [1, 3] {
        let mut bench = Bench::new(Some(limit(7.0, burst, 50).into()));
        bench.fill(1, limit(5.0, burst, 50), 100);
        let kept = bench.claim(1);
        bench.now += SECOND;
        let levels = |bench: &Bench| {
            let levels = [bench.schedule.channel_level(id(1)), bench.schedule.server_level(SERVER)];
            levels.map(|level| level.map(|level| (level.tat, level.calls.clone(), level.slot())).unwrap())
        };
        // A slot that counted from long ago is not restored: what was missed before it stays missed.
        let before = levels(&bench);
        let unused = bench.claim(1);
        bench.settle(&unused, &Ruling::Back, false);
        for (before, after) in before.into_iter().zip(levels(&bench)) {
            assert_eq!(before.1, after.1);
            assert!(after.2.is_open(bench.now));
        }
        assert_eq!(jobs(&bench.claim(1)), jobs(&unused));
        bench.settle(&kept, &Ruling::Done, true);
    }
}

#[test]
fn taken_and_given_back_at_once_leaves_no_trace() {
    let mut bench = Bench::new(None);
    bench.fill(1, limit(5.0, 3, 50), 100);
    bench.claim(2);
    let before = bench.schedule.channel_level(id(1)).map(|level| (level.tat, level.calls.clone()));
    let unused = bench.claim(1);
    assert!(bench.claim(1).jobs.is_empty());
    bench.settle(&unused, &Ruling::Back, false);
    assert_eq!(bench.schedule.channel_level(id(1)).map(|level| (level.tat, level.calls.clone())), before);
    assert_eq!(bench.claim(5).jobs.len(), 1);
}

#[test]
fn a_429_halves_the_rate_once_and_good_answers_win_it_back() {
    let mut bench = Bench::new(None);
    bench.fill(1, limit(10.0, 10, 50), 1_000_000);
    let batch = bench.claim(4);
    bench.settle(&batch, &cooldown(At::Channel, 2, false), true);
    let pace = |bench: &Bench| bench.schedule.channel_level(id(1)).map(|level| level.pace).unwrap();
    assert_eq!(pace(&bench), 500_000, "four refusals of one moment are one");
    assert!(bench.claim(1).jobs.is_empty());
    let (rests_until, end) = (bench.now + 2 * SECOND, bench.now + 12 * SECOND);
    let calls = bench.run_until(end, 10);
    assert!(calls.iter().all(|call| call.0 >= rests_until));
    assert!((690_000..=700_000).contains(&pace(&bench)), "2 % a second: {}", pace(&bench));
    let end = bench.now + 20 * SECOND;
    bench.run_until(end, 10);
    assert_eq!(pace(&bench), 1_000_000, "never above the configured one");
}

#[test]
fn after_a_cooldown_one_call_tries_it_and_a_refusal_doubles_the_rest() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 1_000);
    let mut batch = bench.claim(3);
    for seconds in [1, 2, 4, 8] {
        bench.settle(&batch, &cooldown(At::Channel, 1, true), true);
        assert_eq!(bench.claim(9).wait, Some(seconds * SECOND));
        bench.now += seconds * SECOND;
        batch = bench.claim(9);
        assert_eq!(batch.jobs.len(), 1, "a trial");
    }
    bench.settle(&batch, &Ruling::Done, true);
    bench.now += SECOND;
    assert_eq!(bench.claim(9).jobs.len(), 9);
}

#[test]
fn a_resting_server_rests_for_all_its_channels() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 10);
    bench.fill(2, WIDE, 10);
    let batch = bench.claim(1);
    bench.settle(&batch, &cooldown(At::Server, 7, false), true);
    let nothing = bench.claim(9);
    assert_eq!((nothing.jobs.len(), nothing.wait), (0, Some(7 * SECOND)));
}

#[test]
fn a_new_limit_holds_at_once() {
    let mut bench = Bench::new(None);
    bench.fill(1, limit(0.1, 1, 50), 100);
    bench.claim(1);
    let faster = bench.rule(1, limit(10.0, 1, 50));
    bench.schedule.apply(bench.now, &faster, None);
    assert_eq!(bench.claim(1).wait, Some(100_000));
}
