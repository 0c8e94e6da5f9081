//! Single keys that get lost, and lanes that are put back while work goes on.

use std::time::Duration;

use sincro_core::{
    limit::{KeptCooldown, Level, Limit},
    notice::{ChannelRule, Entry, LaneState, Notice},
    verdict::Rest,
};
use sincro_queue::{Depth, Heard, HeardPage, Inspection, LaneView, OpenLane, Ruling};

use crate::bench::{Bench, SERVER, WIDE, follows, ids, lane, opens, rule, sync_of};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn open_lane(notice: &Notice) -> OpenLane {
    OpenLane { sync: sync_of(notice), channel: notice.channel.id, server: notice.channel.server.clone() }
}

async fn view(bench: &Bench, notice: &Notice) -> LaneView {
    bench.clock().inspect_lanes(0, &[open_lane(notice)]).await.unwrap().remove(0)
}

pub(crate) async fn loss(bench: &Bench, notice: &Notice) -> String {
    view(bench, notice).await.loss.unwrap_or_default()
}

pub(crate) async fn is_whole(bench: &Bench) -> bool {
    match bench.clock().inspect(0, Duration::ZERO).await.unwrap() {
        Inspection::Open { whole, .. } => whole,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn run<T: redis::FromRedisValue>(bench: &Bench, command: &str, key: &str, arguments: &[&str]) -> T {
    let mut raw = bench.place.raw();
    redis::cmd(command).arg(bench.place.key(key)).arg(arguments).query(&mut raw).unwrap()
}

pub(crate) fn delete(bench: &Bench, key: &str) {
    assert_eq!(run::<i64>(bench, "DEL", key, &[]), 1, "{key} was not there");
}

/// What the ledger would say: these are open.
pub(crate) fn snapshot(notice: &Notice, spans: &[(i64, i64)]) -> Notice {
    let mut notice = notice.clone();
    lane(&mut notice).jobs = spans.iter().map(|&(first, last)| Entry::Span { first, last }).collect();
    notice
}

/// A lane of a hundred jobs, of which three are held (4 to 6) and one is delayed (3); two are done.
pub(crate) async fn busy() -> (Bench, ChannelRule, Notice) {
    let mut bench = Bench::new().await;
    let channel = rule(WIDE);
    let notice = opens(&channel, 1, 100);
    bench.apply(std::slice::from_ref(&notice)).await;
    let jobs = bench.claim(6).await;
    bench.settle(&jobs[..2], &Ruling::Done).await;
    bench.settle(&jobs[2..3], &Ruling::Delay { due: bench.due_in(Duration::from_mins(1)) }).await;
    (bench, channel, notice)
}

#[tokio::test]
async fn a_lane_that_has_all_it_should_is_found_whole() {
    let (bench, _, notice) = busy().await;
    assert_eq!(view(&bench, &notice).await, LaneView { loss: None, seq: Some(1), jobs: 98 });
    assert!(is_whole(&bench).await);
}

#[tokio::test]
async fn whatever_key_of_a_channel_is_deleted_its_lane_is_found_and_put_back_beside_what_is_held() {
    let keys = ["channel:C", "running:C", "lanes:C", "lane:S", "sync:S", "later:S"];
    let words = ["rule", "", "order", "jobs", "unknown", "delayed"];
    for (key, word) in keys.iter().zip(words) {
        let (mut bench, channel, notice) = busy().await;
        let key = key.replace('C', &channel.id.to_string()).replace('S', &sync_of(&notice).to_string());
        delete(&bench, &key);
        assert_eq!(loss(&bench, &notice).await, word, "{key}");
        bench.queue.mend_slots(0).await.unwrap();
        // The ledger knows nothing of who holds what.
        assert!(bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await);
        assert_eq!(view(&bench, &notice).await, LaneView { loss: None, seq: Some(1), jobs: 98 }, "{key}");
        assert_eq!(bench.depth().await, Depth { queued: 95, running: 3, delayed: 0 }, "{key}");
        assert!(is_whole(&bench).await, "{key}");
        bench.pass(2 * SECOND);
        let mut jobs = ids(&bench.claim(1_000).await);
        jobs.sort_unstable();
        assert_eq!(
            jobs,
            std::iter::once(3).chain(7..=100).collect::<Vec<_>>(),
            "{key}: nothing twice, nothing missing"
        );
    }
}

async fn listed(bench: &Bench) -> Vec<Heard> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let HeardPage { lanes, next } = bench.clock().list_lanes(0, after.as_deref()).await.unwrap();
        listed.extend(lanes);
        after = next;
        if after.is_none() {
            listed.sort_unstable_by_key(|lane: &Heard| lane.sync);
            return listed;
        }
    }
}

#[tokio::test]
async fn lanes_are_listed_while_they_are_open_or_paused() {
    let bench = Bench::new().await;
    let channel = rule(WIDE);
    let mut lanes: Vec<Notice> = (1..=700).map(|job| opens(&channel, job, job)).collect();
    lanes.sort_unstable_by_key(sync_of);
    bench.apply(&lanes).await;
    let heard = |seq: i64| move |lane: &Notice| Heard { sync: sync_of(lane), seq };
    assert_eq!(listed(&bench).await, lanes.iter().map(heard(1)).collect::<Vec<_>>());

    let closed: Vec<Notice> = lanes.drain(100..).collect();
    bench.apply(&closed.iter().map(|lane| follows(lane, LaneState::Closed)).collect::<Vec<_>>()).await;
    bench.apply(&lanes.iter().map(|lane| follows(lane, LaneState::Paused)).collect::<Vec<_>>()).await;
    assert_eq!(listed(&bench).await, lanes.iter().map(heard(2)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lane_that_is_not_listed_is_so_again_after_a_look_at_it() {
    let (bench, _, notice) = busy().await;
    delete(&bench, "alive");
    assert_eq!(listed(&bench).await, []);
    assert_eq!(loss(&bench, &notice).await, "");
    assert_eq!(listed(&bench).await, [Heard { sync: sync_of(&notice), seq: 1 }]);
    delete(&bench, &format!("sync:{}", sync_of(&notice)));
    assert_eq!(listed(&bench).await, [], "nothing is known of it any more");
}

#[tokio::test]
async fn a_lane_that_was_opened_after_the_end_of_its_sync_is_closed_and_only_what_is_held_stays() {
    let (mut bench, channel, notice) = busy().await;
    let lanes = listed(&bench).await;
    let closed = bench.clock().close_lanes(0, &lanes).await.unwrap();
    assert_eq!(closed, 1);
    assert_eq!(bench.depth().await, Depth { queued: 0, running: 3, delayed: 0 });
    assert!(bench.ask(100).await.jobs.is_empty());
    assert_eq!(listed(&bench).await, []);
    assert_eq!(bench.clock().close_lanes(0, &lanes).await.unwrap(), 0);
    assert_eq!(bench.apply(std::slice::from_ref(&notice)).await, [notice.id]);
    assert!(bench.ask(100).await.jobs.is_empty(), "the same notice does not open it once more");

    let again = opens(&channel, 200, 201);
    bench.apply(std::slice::from_ref(&again)).await;
    let lanes = listed(&bench).await;
    bench.apply(&[follows(&again, LaneState::Open)]).await;
    assert_eq!(bench.clock().close_lanes(0, &lanes).await.unwrap(), 0, "it has heard something since");
    assert_eq!(bench.claim(2).await.len(), 2);
}

#[tokio::test]
async fn a_lane_is_found_that_is_missing_among_those_with_delayed_jobs() {
    let (bench, _, notice) = busy().await;
    delete(&bench, "delayed");
    assert_eq!(loss(&bench, &notice).await, "delayed");
}

#[tokio::test]
async fn what_is_known_of_a_server_is_missed() {
    for key in [format!("server:{SERVER}"), "servers".to_owned()] {
        let (bench, _, notice) = busy().await;
        delete(&bench, &key);
        assert_eq!(loss(&bench, &notice).await, "rule", "{key}");
        bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await;
        assert_eq!(loss(&bench, &notice).await, "", "{key}");
        assert!(is_whole(&bench).await);
    }
}

#[tokio::test]
async fn lines_that_are_lost_are_drawn_anew_by_a_look() {
    let (mut bench, channel, notice) = busy().await;
    bench.pass(SECOND);
    let lines = ["ready:b", &format!("round:b:{SERVER}"), &format!("working:{SERVER}")];
    for key in lines {
        delete(&bench, key);
    }
    assert!(bench.ask(1).await.jobs.is_empty());
    assert_eq!(loss(&bench, &notice).await, "");
    assert_eq!(bench.claim_one().await.channel, channel.id);
    for key in lines {
        assert_eq!(run::<i64>(&bench, "EXISTS", key, &[]), 1, "{key}");
    }
}

#[tokio::test]
async fn a_shard_whose_claims_leases_and_slots_do_not_agree_is_not_whole() {
    for key in ["held".to_owned(), "leases".to_owned(), format!("running:{SERVER}")] {
        let (bench, ..) = busy().await;
        delete(&bench, &key);
        assert!(!is_whole(&bench).await, "{key}");
    }
}

#[tokio::test]
async fn a_lane_whose_number_is_lost_is_put_back() {
    let (bench, _, notice) = busy().await;
    delete(&bench, "queued");
    assert_eq!(loss(&bench, &notice).await, "jobs");
    bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await;
    assert_eq!(loss(&bench, &notice).await, "");
    assert_eq!(bench.depth().await, Depth { queued: 95, running: 3, delayed: 0 });
}

#[tokio::test]
async fn whatever_was_lost_of_a_lane_nothing_of_it_is_counted_or_left_when_its_sync_is_over() {
    let kinds = ["channel:C", "running:C", "lanes:C", "lane:S", "sync:S", "later:S", "queued", "delayed"];
    for lost in 0..1_u32 << kinds.len() {
        let (bench, channel, notice) = busy().await;
        let (channel, sync) = (channel.id.to_string(), sync_of(&notice).to_string());
        let lost: Vec<&str> = (0..kinds.len()).filter(|i| lost >> i & 1 == 1).map(|i| kinds[i]).collect();
        for key in &lost {
            delete(&bench, &key.replace('C', &channel).replace('S', &sync));
        }
        bench.apply(&[follows(&notice, LaneState::Closed)]).await;
        assert_eq!(bench.depth().await, Depth { queued: 0, running: 3, delayed: 0 }, "without {lost:?}");
        let left = bench.place.keys().into_iter().filter(|key| key.contains(&sync) || key.contains("lanes:"));
        assert_eq!(left.collect::<Vec<_>>(), [bench.place.key(&format!("sync:{sync}"))], "without {lost:?}");
    }
}

/// A channel that rests for twenty seconds, with a lane of a hundred jobs.
async fn resting(level: Level) -> (Bench, Notice) {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 100);
    bench.apply(std::slice::from_ref(&notice)).await;
    let jobs = bench.claim(1).await;
    let (wait, detail) = (20 * SECOND, String::new());
    let rest = Rest::Cooldown { level, wait, grows: false, slower: false, reason: "throttled", detail };
    bench.settle(&jobs, &Ruling::Rest(rest)).await;
    bench.pass(SECOND);
    assert!(bench.ask(1).await.jobs.is_empty());
    (bench, notice)
}

/// What the ledger remembers of it.
fn kept(notice: &Notice, level: Level) -> KeptCooldown {
    let channel = (level == Level::Channel).then_some(notice.channel.id);
    let reason = "throttled: 429".to_owned();
    KeptCooldown { server: SERVER.to_owned(), channel, left: 19 * SECOND, reason }
}

#[tokio::test]
async fn a_level_that_is_told_of_anew_after_its_rest_was_lost_is_not_called_before_the_ledger_was_asked() {
    for level in [Level::Channel, Level::Server] {
        for answered in [true, false] {
            let (mut bench, notice) = resting(level).await;
            delete(
                &bench,
                &match level {
                    Level::Channel => format!("channel:{}", notice.channel.id),
                    Level::Server => format!("server:{SERVER}"),
                },
            );
            bench.apply(&[opens(&notice.channel, 101, 101)]).await;
            assert_eq!(loss(&bench, &notice).await, "rule", "{level:?}");
            assert!(bench.ask(1).await.jobs.is_empty(), "{level:?}");
            let unsure = if answered {
                bench.clock().rest_again(0, &[kept(&notice, level)]).await.unwrap();
                bench.put_back(1, &snapshot(&notice, &[(1, 100)])).await;
                assert_eq!(loss(&bench, &notice).await, "", "{level:?}");
                19 * SECOND
            } else {
                30 * SECOND
            };
            bench.pass(unsure.saturating_sub(Duration::from_micros(1)));
            assert!(bench.ask(1).await.jobs.is_empty(), "{level:?}");
            bench.pass(Duration::from_micros(1));
            assert_eq!(bench.ask(1).await.jobs.len(), 1, "{level:?}: it never waits for ever");
        }
    }
}

#[tokio::test]
async fn a_rest_that_comes_back_before_its_channel_does_says_that_its_calls_are_not_known() {
    let (mut bench, notice) = resting(Level::Channel).await;
    delete(&bench, &format!("channel:{}", notice.channel.id));
    bench.clock().rest_again(0, &[KeptCooldown { left: SECOND, ..kept(&notice, Level::Channel) }]).await.unwrap();
    bench.put_back(1, &snapshot(&notice, &[(1, 100)])).await;
    bench.pass(Duration::from_micros(1_009_999));
    assert!(bench.ask(1).await.jobs.is_empty());
    bench.pass(Duration::from_micros(1));
    assert_eq!(bench.ask(1).await.jobs.len(), 1);
}

#[tokio::test]
async fn a_channel_of_which_all_is_forgotten_waits_as_if_it_had_just_been_called() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(Limit { rate_per_second: 10.0, burst: 5, concurrency: 100 }), 1, 100);
    bench.apply(std::slice::from_ref(&notice)).await;
    assert_eq!(bench.claim(10).await.len(), 5);
    for key in ["channel", "calls", "running", "lanes"] {
        delete(&bench, &format!("{key}:{}", notice.channel.id));
    }
    bench.queue.mend_slots(0).await.unwrap();
    assert!(bench.put_back(1, &snapshot(&notice, &[(1, 100)])).await);
    let batch = bench.ask(10).await;
    assert_eq!((batch.jobs.len(), batch.wait), (0, Some(Duration::from_millis(1_010))));
    bench.pass(Duration::from_millis(1_010));
    assert_eq!(ids(&bench.claim(10).await), [6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_lane_that_was_lost_is_not_opened_once_more_while_somebody_holds_jobs_of_it() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 10);
    bench.apply(std::slice::from_ref(&notice)).await;
    let held = bench.claim(3).await;
    let (channel, sync) = (notice.channel.id, sync_of(&notice));
    for key in [format!("lane:{sync}"), format!("sync:{sync}"), format!("running:{channel}")] {
        delete(&bench, &key);
    }
    assert!(bench.apply(std::slice::from_ref(&notice)).await.is_empty(), "it stays in the outbox");
    assert!(bench.ask(10).await.jobs.is_empty());
    bench.settle(&held, &Ruling::Done).await;
    assert_eq!(bench.apply(std::slice::from_ref(&notice)).await.len(), 1);
    assert_eq!(bench.claim(10).await.len(), 10, "also those that are over, which does no harm");
}

#[tokio::test]
async fn a_lane_that_has_heard_more_than_the_ledgers_snapshot_stays_as_it_is() {
    let (bench, _, notice) = busy().await;
    let mut more = follows(&notice, LaneState::Open);
    lane(&mut more).jobs = vec![Entry::Span { first: 201, last: 210 }];
    bench.apply(&[more]).await;
    assert!(!bench.put_back(1, &snapshot(&notice, &[(1, 100)])).await);
    assert_eq!(view(&bench, &notice).await, LaneView { loss: None, seq: Some(2), jobs: 108 });
}

#[tokio::test]
async fn a_notice_that_an_older_snapshot_does_not_know_follows_it() {
    let (bench, _, notice) = busy().await;
    assert!(bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await);
    assert!(bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await, "twice, to no effect");
    let mut more = follows(&notice, LaneState::Open);
    lane(&mut more).jobs = vec![Entry::Span { first: 201, last: 210 }];
    assert_eq!(bench.apply(&[notice.clone(), more]).await.len(), 2);
    assert_eq!(view(&bench, &notice).await, LaneView { loss: None, seq: Some(2), jobs: 108 });
    assert_eq!(bench.depth().await, Depth { queued: 105, running: 3, delayed: 0 });
}

#[tokio::test]
async fn a_lane_that_nobody_went_on_putting_back_ends_with_its_sync() {
    let bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 3_000);
    bench.apply(std::slice::from_ref(&notice)).await;
    let mut snapshot = notice.clone();
    lane(&mut snapshot).jobs = (1..=3_000).map(|job| Entry::Tried { job, attempts: 0, due_ms: 0 }).collect();
    assert_eq!(bench.clock().put_chunk(0, 1, &snapshot, "token", 0).await.unwrap(), "put");
    assert_eq!(bench.apply(&[follows(&notice, LaneState::Closed)]).await.len(), 1);
    assert_eq!(bench.clock().put_chunk(0, 1, &snapshot, "token", 1).await.unwrap(), "taken");
    assert_eq!(bench.depth().await, Depth::default());
}

#[tokio::test]
async fn a_big_lane_comes_in_chunks_with_claims_in_between_and_notices_behind_it() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 3_000);
    bench.apply(std::slice::from_ref(&notice)).await;
    let early = bench.claim(10).await;
    let mut snapshot = notice.clone();
    // Every job by itself, so that it takes three chunks.
    lane(&mut snapshot).jobs = (1..=3_000).map(|job| Entry::Tried { job, attempts: 0, due_ms: 0 }).collect();
    let next = follows(&notice, LaneState::Open);
    let mut between = Vec::new();
    for chunk in 0..3 {
        let call = bench.clock().put_chunk(0, 1, &snapshot, "token", chunk).await.unwrap();
        assert_eq!(call, "put");
        if chunk == 2 {
            continue;
        }
        assert_eq!(loss(&bench, &notice).await, "filling");
        assert!(bench.apply(std::slice::from_ref(&next)).await.is_empty(), "it waits for the rest of the lane");
        // What was held at the first chunk comes back meanwhile, and is not to come in once more.
        bench.settle(&early[chunk * 5..chunk * 5 + 5], &Ruling::Back).await;
        between.extend(bench.claim(7).await);
    }
    assert_eq!(bench.apply(std::slice::from_ref(&next)).await.len(), 1);
    assert_eq!(loss(&bench, &notice).await, "");
    let mut jobs = ids(&between);
    while let held @ [_, ..] = &bench.claim(500).await[..] {
        jobs.extend(ids(held));
        bench.settle(held, &Ruling::Done).await;
        bench.pass(Duration::from_millis(200));
    }
    jobs.sort_unstable();
    assert_eq!(jobs, (1..=3_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_putting_back_that_broke_off_is_begun_anew_by_another_and_cannot_go_on() {
    let bench = Bench::new().await;
    let mut notice = opens(&rule(WIDE), 1, 1);
    lane(&mut notice).jobs = (1..=2_500).map(|job| Entry::Tried { job, attempts: 1, due_ms: 0 }).collect();
    assert_eq!(bench.clock().put_chunk(0, 1, &notice, "first", 0).await.unwrap(), "put");
    assert_eq!(bench.clock().put_chunk(0, 1, &notice, "second", 0).await.unwrap(), "put");
    assert_eq!(bench.clock().put_chunk(0, 1, &notice, "first", 1).await.unwrap(), "taken");
    for chunk in [1, 2] {
        assert_eq!(bench.clock().put_chunk(0, 1, &notice, "second", chunk).await.unwrap(), "put");
    }
    assert_eq!(view(&bench, &notice).await, LaneView { loss: None, seq: Some(1), jobs: 2_500 });
    assert_eq!(bench.depth().await.queued, 2_500);
    assert_eq!(bench.clock().put_chunk(0, 7, &notice, "third", 0).await.unwrap(), "over");
}

#[tokio::test]
async fn an_entry_that_nobody_can_read_does_not_stop_the_lane_and_is_missed() {
    let mut bench = Bench::new().await;
    let (notice, other) = (opens(&rule(WIDE), 1, 5), opens(&rule(WIDE), 11, 15));
    bench.apply(&[notice.clone(), other]).await;
    let lane_key = format!("lane:{}", sync_of(&notice));
    for entry in ["rubbish", "", "9-7", "1:2:3"] {
        let _: i64 = run(&bench, "LPUSH", &lane_key, &[entry]);
    }
    let later = format!("later:{}", sync_of(&notice));
    let _: i64 = run(&bench, "ZADD", &later, &["1", "rubbish"]);
    let _: i64 = run(&bench, "ZADD", "delayed", &["1", &sync_of(&notice).to_string()]);
    bench.pass(SECOND);
    assert_eq!(loss(&bench, &notice).await, "jobs");
    let mut jobs = ids(&bench.claim(3).await);
    jobs.extend(ids(&bench.claim(100).await));
    jobs.sort_unstable();
    assert_eq!(jobs, [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]);
}

#[tokio::test]
async fn a_claim_that_nobody_can_read_counts_as_lost() {
    let (mut bench, channel, notice) = busy().await;
    let _: i64 = run(&bench, "HSET", "held", &["4", "rubbish"]);
    bench.pass(Duration::from_mins(1));
    assert!(!ids(&bench.claim(10).await).contains(&4), "its lease has run out, and nobody knows whose it was");
    let fields: Option<String> = run(&bench, "HGET", "held", &["4"]);
    assert_eq!(fields, None);
    assert!(!is_whole(&bench).await, "its slots are still taken: the shard starts over");

    let (bench, _, _) = (busy().await.0, channel, notice);
    let _: i64 = run(&bench, "HSET", "held", &["4", "rubbish"]);
    bench.queue.mend_slots(0).await.unwrap();
    assert!(is_whole(&bench).await);
}

#[tokio::test]
async fn a_thousand_lanes_are_looked_at_in_a_moment() {
    let bench = Bench::new().await;
    let notices: Vec<Notice> = (0..1_000).map(|i| opens(&rule(WIDE), i * 10 + 1, i * 10 + 10)).collect();
    bench.apply(&notices).await;
    let lanes: Vec<OpenLane> = notices.iter().map(open_lane).collect();
    let spent = || -> f64 {
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut bench.place.raw()).unwrap();
        let line = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split("usec=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
    };
    bench.clock().inspect_lanes(0, &lanes[..1]).await.unwrap();
    let before = spent();
    let views = bench.clock().inspect_lanes(0, &lanes).await.unwrap();
    println!("1,000 lanes: {:.1} ms of Redis", (spent() - before) / 1_000.0);
    assert!(views.iter().all(|view| view.loss.is_none() && view.jobs == 10));
}
