//! Two levels at once: a channel's limit and its server's.

use std::{collections::HashMap, time::Duration};

use sincro_core::{
    channel::ChannelId,
    limit::{Level, LevelLimit, Limit},
    notice::{ChannelRule, Notice},
    verdict::Rest,
};
use sincro_queue::{Ruling, steps::HeldBack};
use uuid::Uuid;

use crate::bench::{Bench, Held, SERVER, WIDE, held, opens, rule, ruled, urgent};

const SECOND: Duration = Duration::from_secs(1);

/// A channel without a limit of its own to speak of, behind a server with this one.
fn behind(server: LevelLimit) -> ChannelRule {
    ChannelRule { server_limit: Some(server), server_version: 1, ..rule(WIDE) }
}

fn rate(rate_per_second: f64) -> LevelLimit {
    Limit { rate_per_second, burst: 1, concurrency: 1_000 }.into()
}

/// Claims whenever something can be, for so long; every call is answered at once. The times of the calls, with what was claimed.
async fn work(bench: &mut Bench, time: Duration) -> Vec<(i64, Held)> {
    let end = bench.now + i64::try_from(time.as_micros()).unwrap();
    let mut calls = Vec::new();
    while bench.now < end {
        let batch = bench.ask(64).await;
        let jobs = held(&batch);
        bench.settle(&jobs, &Ruling::Done).await;
        calls.extend(jobs.into_iter().map(|held| (bench.now, held)));
        let wait = if batch.jobs.is_empty() { batch.wait.unwrap_or(SECOND) } else { Duration::ZERO };
        bench.pass(wait.max(Duration::from_micros(1)));
    }
    calls
}

fn most_within(times: &[i64], window_us: i64) -> usize {
    let within = |i: usize| times[i..].iter().take_while(|&&at| at < times[i] + window_us).count();
    (0..times.len()).map(within).max().unwrap_or(0)
}

fn times(calls: &[(i64, Held)]) -> Vec<i64> {
    calls.iter().map(|(at, _)| *at).collect()
}

#[tokio::test]
async fn a_server_limit_holds_for_all_its_channels_together_and_is_used_to_the_last_slot() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> = (0..5).map(|i| opens(&behind(rate(100.0)), i * 1_000 + 1, i * 1_000 + 900)).collect();
    bench.apply(&notices).await;
    let calls = work(&mut bench, 10 * SECOND).await;
    assert!(most_within(&times(&calls), 1_000_000) <= 100);
    assert!((985..=1_000).contains(&calls.len()), "{} of 1000", calls.len());
}

#[tokio::test]
async fn the_tighter_level_binds_and_is_named() {
    let mut bench = Bench::new().await;
    let slow_server = behind(rate(1.0));
    let slow_channel = ChannelRule { server: "wuzapi/other.test".into(), ..ruled(rate(1.0)) };
    let (first, second) = (opens(&slow_server, 1, 10), opens(&slow_channel, 11, 20));
    bench.apply(&[first.clone(), second.clone()]).await;
    assert_eq!(bench.claim(10).await.len(), 2);
    for (notice, expected) in [(&first, "rate: server"), (&second, "rate: channel")] {
        let sync = notice.lane.as_ref().unwrap().sync;
        let live = bench.clock().live(&notice.channel.server, notice.channel.id, sync).await.unwrap();
        assert_eq!(live.waits_for.unwrap().to_string(), expected);
        assert_eq!(live.next_at, Some(bench.due_in(Duration::from_millis(1_010))));
    }
    let batch = bench.ask(10).await;
    assert_eq!(
        (batch.held_back, batch.binds),
        (HeldBack::Rate, Some(Level::Server)),
        "of two that are free at once the first"
    );
}

#[tokio::test]
async fn a_server_has_no_more_calls_under_way_than_its_concurrency() {
    let mut bench = Bench::new().await;
    let server: LevelLimit = Limit { concurrency: 5, ..WIDE }.into();
    bench.apply(&[opens(&behind(server), 1, 100), opens(&behind(server), 101, 200)]).await;
    let jobs = bench.claim(50).await;
    assert_eq!(jobs.len(), 5);
    assert!(bench.claim(50).await.is_empty());
    bench.settle(&jobs[..2], &Ruling::Done).await;
    assert_eq!(bench.claim(50).await.len(), 2);
}

#[tokio::test]
async fn a_cap_holds_in_every_stretch_of_its_period_beside_the_rate() {
    let mut bench = Bench::new().await;
    let capped = LevelLimit { per_minute: Some(20), per_hour: Some(100), ..rate(2.0) };
    bench.apply(&[opens(&ruled(capped), 1, 10_000)]).await;
    let calls = times(&work(&mut bench, 7_300 * SECOND).await);
    assert_eq!(most_within(&calls, 60_000_000), 20);
    assert_eq!(most_within(&calls, 3_600_000_000), 100);
    assert!(calls.len() >= 200, "{} in two hours", calls.len());
}

#[tokio::test]
async fn a_new_rule_for_a_server_takes_effect_at_once_and_an_older_one_none() {
    let mut bench = Bench::new().await;
    let mut channel = behind(rate(0.01));
    bench.apply(&[opens(&channel, 1, 1_000)]).await;
    assert_eq!(bench.claim(10).await.len(), 1);
    channel.server_limit = Some(rate(100.0));
    channel.server_version = 2;
    bench.apply(&[Notice { id: 2, channel: channel.clone(), lane: None }]).await;
    assert_eq!(bench.ask(10).await.wait, Some(Duration::from_millis(10)));
    channel.server_limit = None;
    bench.apply(&[Notice { id: 3, channel: channel.clone(), lane: None }]).await;
    assert_eq!(bench.ask(10).await.wait, Some(Duration::from_millis(10)), "the version is the same");
    channel.server_version = 3;
    bench.apply(&[Notice { id: 4, channel, lane: None }]).await;
    assert_eq!(bench.claim(10).await.len(), 10);
}

#[tokio::test]
async fn fifty_channels_of_very_different_size_share_a_server_evenly() {
    let mut bench = Bench::new().await;
    let notices: Vec<Notice> = (0..50_i64)
        .map(|i| opens(&behind(rate(500.0)), i * 100_000 + 1, i * 100_000 + 20 * (i * i / 4).max(1) + 80))
        .collect();
    bench.apply(&notices).await;
    let calls = work(&mut bench, 5 * SECOND).await;
    let mut shares: HashMap<_, f64> = HashMap::new();
    for (_, held) in &calls {
        *shares.entry(held.channel).or_default() += 1.0;
    }
    let (sum, squares) =
        shares.values().fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
    let jain = sum * sum / (50.0 * squares);
    assert!(jain >= 0.99, "{jain}");
}

#[tokio::test]
async fn a_weight_holds_even_for_a_channel_that_cannot_take_two_slots_in_a_row() {
    let mut bench = Bench::new().await;
    let own = |weight| ChannelRule { limit: LevelLimit { weight, ..rate(50.0) }, ..behind(rate(100.0)) };
    let heavy = own(3);
    let mut notices: Vec<Notice> = (1..10).map(|i| opens(&own(1), i * 10_000, i * 10_000 + 9_000)).collect();
    notices.push(opens(&heavy, 1, 9_000));
    bench.apply(&notices).await;
    let calls = work(&mut bench, 10 * SECOND).await;
    let of_heavy = calls.iter().filter(|(_, held)| held.channel == heavy.id).count();
    // Three of twelve shares.
    assert!((240..=255).contains(&of_heavy), "{of_heavy} of {}", calls.len());
}

#[tokio::test]
async fn urgent_work_takes_the_very_next_slot_of_its_server_and_bulk_still_moves() {
    let mut bench = Bench::new().await;
    let (bulk, ticket) = (behind(rate(10.0)), behind(rate(10.0)));
    bench.apply(&[opens(&bulk, 1, 1_000)]).await;
    assert_eq!(bench.claim(5).await.len(), 1);
    bench.apply(&[urgent(opens(&ticket, 5_001, 5_100))]).await;
    let calls = work(&mut bench, 5 * SECOND).await;
    let urgent: Vec<bool> = calls.iter().map(|(_, held)| held.job > 5_000).collect();
    assert!(urgent[..9].iter().all(|urgent| *urgent), "{urgent:?}");
    assert_eq!(urgent[9..20], [&[false][..], &[true; 9], &[false]].concat());
}

#[tokio::test]
async fn bulk_work_of_an_urgent_channel_moves_too() {
    let mut bench = Bench::new().await;
    let channel = ruled(rate(10.0));
    bench.apply(&[opens(&channel, 1, 1_000), urgent(opens(&channel, 5_001, 5_100))]).await;
    let calls = work(&mut bench, 3 * SECOND).await;
    let bulk = calls.iter().filter(|(_, held)| held.job < 5_000).count();
    assert_eq!((bulk, calls.len()), (3, 30));
}

#[tokio::test]
async fn without_room_for_bulk_only_urgent_work_is_given() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(WIDE), 1, 100), urgent(opens(&rule(WIDE), 501, 503))]).await;
    let batch = bench.ask_for(10, 4).await;
    assert_eq!(batch.jobs.iter().filter(|job| job.job > 500).count(), 3);
    assert_eq!(batch.jobs.len(), 7);
    let batch = bench.ask_for(10, 0).await;
    assert_eq!((batch.jobs.len(), batch.held_back), (0, HeldBack::No));
    assert!(batch.wait.unwrap() > 20 * SECOND, "nothing but a lease that may run out");
}

#[tokio::test]
async fn a_permit_without_a_call_is_given_back_to_both_levels() {
    let mut bench = Bench::new().await;
    let channel = ChannelRule { limit: rate(0.1), ..behind(rate(0.2)) };
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let first = bench.claim(1).await;
    bench.settle_used(&first, &Ruling::Back, None).await;
    bench.pass(Duration::from_millis(1));
    let again = bench.claim(1).await;
    assert_eq!(again.len(), 1);
    bench.settle(&again, &Ruling::Back).await;
    assert_eq!(bench.ask(1).await.wait, Some(Duration::from_millis(10_010)));
}

fn cooldown(level: Level) -> Ruling {
    Ruling::Rest(Rest::Cooldown {
        level,
        wait: 10 * SECOND,
        grows: false,
        slower: true,
        reason: "throttled",
        detail: "429".into(),
    })
}

#[tokio::test]
async fn a_server_that_rests_rests_for_all_its_channels_and_for_no_other_server() {
    let mut bench = Bench::new().await;
    let (one, other) = (behind(rate(100.0)), behind(rate(100.0)));
    let elsewhere = ChannelRule { server: "wuzapi/other.test".into(), ..rule(WIDE) };
    bench.apply(&[opens(&one, 1, 100), opens(&other, 101, 200), opens(&elsewhere, 201, 300)]).await;
    let jobs = bench.claim(1).await;
    bench.settle(&jobs, &cooldown(Level::Server)).await;
    let calls = work(&mut bench, 9 * SECOND).await;
    assert!(calls.iter().all(|(_, held)| held.channel == elsewhere.id));
    assert_eq!(calls.len(), 100);
    bench.pass(SECOND);
    assert_eq!(bench.claim(64).await.len(), 1, "one call tries alone");
}

#[tokio::test]
async fn a_rate_that_was_too_fast_halves_and_climbs_back_with_good_answers_but_never_above_what_was_set() {
    let mut bench = Bench::new().await;
    let channel = ruled(rate(100.0));
    bench.apply(&[opens(&channel, 1, 100_000)]).await;
    let jobs = bench.claim(1).await;
    bench.settle(&jobs, &cooldown(Level::Channel)).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!((view.channel.configured_rate, view.channel.effective_rate), (Some(100.0), Some(50.0)));
    bench.pass(10 * SECOND);
    let first = work(&mut bench, SECOND).await;
    assert!((45..=53).contains(&first.len()), "{}", first.len());
    work(&mut bench, 9 * SECOND).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert!((68.0..=71.0).contains(&view.channel.effective_rate.unwrap()), "{view:?}");
    work(&mut bench, 30 * SECOND).await;
    let view = bench.clock().channel_view(SERVER, channel.id).await.unwrap().unwrap();
    assert_eq!(view.channel.effective_rate, Some(100.0));
    assert!((95.0..=100.0).contains(&view.channel.observed_rate), "{view:?}");
}

#[tokio::test]
async fn a_permit_that_is_moved_keeps_what_follows_at_its_distance() {
    let mut bench = Bench::new().await;
    let channel = ruled(rate(1.0));
    bench.apply(&[opens(&channel, 1, 100)]).await;
    let late = bench.ask(1).await;
    bench.pass(Duration::from_millis(300));
    assert!(bench.move_permit(&held(&late)[0], false).await);
    assert_eq!(bench.ask(1).await.wait, Some(Duration::from_millis(1_005)), "5 ms ago, as if it had been on time");
    bench.settle_used(&held(&late), &Ruling::Back, None).await;
    assert_eq!(bench.claim(1).await.len(), 1, "the moved permit is the one that goes back");
    assert!(!bench.move_permit(&held(&late)[0], false).await, "the job is another claim's now");
}

#[tokio::test]
async fn a_call_that_is_not_made_yet_is_made_late_only_where_there_is_room_for_it() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&ruled(rate(0.2)), 1, 100)]).await;
    let late = bench.claim(1).await;
    bench.pass(SECOND);
    assert!(bench.move_permit(&late[0], true).await, "nobody has called meanwhile, and its own place is its own");
    bench.pass(6 * SECOND);
    assert_eq!(bench.claim(1).await.len(), 1);
    assert!(!bench.move_permit(&late[0], true).await, "somebody else has called");
    assert!(bench.move_permit(&late[0], false).await, "a call that is being made counts all the same");
    bench.pass(5 * SECOND);
    assert_eq!(bench.ask(1).await.wait, Some(Duration::from_millis(10)), "from the one that was made last");
}

#[tokio::test]
async fn a_call_that_may_have_been_seen_late_counts_from_then_on_for_its_channel_and_its_server() {
    for limited in [ruled(rate(1.0)), behind(rate(1.0))] {
        let mut bench = Bench::new().await;
        bench.apply(&[opens(&limited, 1, 100)]).await;
        let seen_late = bench.claim(1).await;
        bench.settle_used(&seen_late, &Ruling::Done, Some(Duration::from_millis(20))).await;
        assert_eq!(bench.ask(1).await.wait, Some(Duration::from_millis(1_030)), "the window begins 20 ms later");
        bench.pass(Duration::from_millis(1_030));
        assert_eq!(bench.claim(1).await.len(), 1);
    }
}

#[tokio::test]
async fn every_channel_gets_its_turn_however_many_there_are() {
    let mut bench = Bench::new().await;
    let server = behind(WIDE.into());
    let channels: Vec<_> = (0..400).map(|n| ChannelRule { id: Uuid::from_u128(n), ..server.clone() }).collect();
    for (n, channel) in (0..).zip(&channels) {
        bench.apply(&[opens(channel, n * 10 + 1, n * 10 + 10)]).await;
    }
    let mut calls: HashMap<ChannelId, usize> = HashMap::new();
    for _ in 0..10 {
        for held in bench.claim(1_000).await {
            *calls.entry(held.channel).or_default() += 1;
        }
        let (least, most) = (calls.values().min().unwrap(), calls.values().max().unwrap());
        assert!(calls.len() == 400 && most - least <= 1, "{} channels, {least} to {most} calls", calls.len());
    }
}
