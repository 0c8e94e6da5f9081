//! What stands still, and how it goes on.

use std::time::Instant;

use super::*;

#[test]
fn a_paused_channel_gives_nothing_until_it_is_resumed() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 10);
    let mut rule = bench.rule(1, WIDE);
    rule.paused = Some(crate::channel::Pause::new(PausedBy::Operator, "new phone"));
    bench.schedule.apply(bench.now, &rule, None);
    let nothing = bench.claim(5);
    assert_eq!((nothing.jobs.len(), nothing.wait), (0, None));
    let rule = bench.rule(1, WIDE);
    bench.schedule.apply(bench.now, &rule, None);
    assert_eq!(bench.claim(5).jobs.len(), 5);
}

#[test]
fn a_lost_session_is_looked_at_ever_more_rarely_and_goes_on_when_it_is_back() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 10);
    let batch = bench.claim(3);
    bench.settle(&batch, &pause(PausedBy::Session), true);
    assert_eq!(bench.schedule.paused(id(1)), Some(PausedBy::Session));
    let mut waits = Vec::new();
    for _ in 0..10 {
        let wait = bench.claim(5).wait.unwrap();
        waits.push(wait / SECOND);
        bench.now += wait;
        let look = bench.claim(5);
        assert_eq!(look.jobs.iter().map(|given| (given.job < 0, given.sync)).collect::<Vec<_>>(), [(true, None)]);
        bench.settle(&look, &Ruling::StillLost, true);
    }
    assert!(waits.is_sorted() && waits[0] == 2 && waits[9] == 300, "{waits:?}");
    bench.now += 300 * SECOND;
    let look = bench.claim(5);
    bench.settle(&look, &Ruling::Done, true);
    let attempts: Vec<i32> = bench.claim(10).jobs.iter().map(|given| given.attempt).collect();
    assert_eq!(attempts, [1; 10], "nobody lost an attempt");
}

#[test]
fn somebodys_pause_outlasts_a_look_at_the_session_that_was_under_way() {
    let mut bench = Bench::new(None);
    bench.fill(1, WIDE, 10);
    let batch = bench.claim(1);
    bench.settle(&batch, &pause(PausedBy::Session), true);
    bench.now += 2 * SECOND;
    let look = bench.claim(1);
    let mut rule = bench.rule(1, WIDE);
    rule.paused = Some(crate::channel::Pause::new(PausedBy::Operator, "new phone"));
    bench.schedule.apply(bench.now, &rule, None);
    bench.settle(&look, &Ruling::Done, true);
    assert!(bench.claim(5).jobs.is_empty());
}

#[test]
fn ten_thousand_channels_that_stand_still_are_not_looked_at() {
    let claims = |resting: u128| {
        let mut bench = Bench::new(Some(limit(1_000.0, 1, 100).into()));
        for channel in 0..resting {
            let mut rule = bench.rule(10 + channel, WIDE);
            rule.paused = (channel % 2 == 0).then(|| crate::channel::Pause::new(PausedBy::Gateway, "banned"));
            bench.open(&rule, 10, false);
            if rule.paused.is_none() {
                let until = bench.now + 3_600 * SECOND;
                bench.schedule.rest(bench.now, SERVER, Some(rule.id), until);
            }
        }
        bench.fill(1, WIDE, 1_000_000);
        let begun = Instant::now();
        let end = bench.now + 2 * SECOND;
        let calls = bench.run_until(end, 10);
        assert!(calls.len() >= 1_960 && calls.iter().all(|(_, given)| given.channel == id(1)), "{}", calls.len());
        begun.elapsed()
    };
    let (alone, among) = (claims(0), claims(10_000));
    // A walk along the others would take thousands of times as long.
    assert!(among < alone * 20 + Duration::from_millis(100), "{alone:?} alone, {among:?} among 10,000");
}
