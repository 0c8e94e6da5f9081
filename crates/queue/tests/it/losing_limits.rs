//! Limits hold whatever single keys get lost.

use std::time::Duration;

use sincro_core::{
    limit::Limit,
    notice::{ChannelRule, Notice},
};
use sincro_queue::{Ruling, steps};

use crate::{
    bench::{Bench, LEASE, SERVER, WIDE, opens, rule, sync_of},
    losing::{busy, delete, is_whole, loss, open_lane, run, snapshot},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn whatever_is_lost_of_a_channel_no_more_calls_than_its_concurrency_are_under_way() {
    let kinds = ["channel:C", "running:C", "lanes:C", "calls:C", "sync:S", "lane:S"];
    // Also while other lanes of the shard are still being put back.
    for (lost, restoring) in (1..1_u32 << kinds.len()).flat_map(|lost| [(lost, false), (lost, true)]) {
        let mut bench = Bench::new().await;
        let notice = opens(&rule(Limit { concurrency: 3, ..WIDE }), 1, 100);
        bench.apply(std::slice::from_ref(&notice)).await;
        let held = bench.claim(3).await;
        let (channel, sync) = (notice.channel.id.to_string(), sync_of(&notice).to_string());
        let lost: Vec<&str> = (0..kinds.len()).filter(|i| lost >> i & 1 == 1).map(|i| kinds[i]).collect();
        for key in &lost {
            delete(&bench, &key.replace('C', &channel).replace('S', &sync));
        }
        if restoring {
            let _: String = run(&bench, "SET", "restoring", &["somebody"]);
        }
        // Somebody tells the queue of another sync of the channel, and nobody compares for a long time.
        let other = opens(&notice.channel, 201, 300);
        bench.apply(std::slice::from_ref(&other)).await;
        for _ in 0..4 {
            assert!(bench.ask(10).await.jobs.is_empty(), "without {lost:?}");
            bench.pass(10 * SECOND);
            let held: Vec<_> = held.iter().map(|held| (held.job, held.ticket)).collect();
            assert!(steps::renew(&bench.clock(), 0, LEASE, &held).await.unwrap().is_empty());
        }
        bench.settle(&held[..1], &Ruling::Done).await;
        bench.pass(SECOND);
        assert_eq!(bench.ask(10).await.jobs.len(), 1, "without {lost:?}");
        bench.clock().inspect_lanes(0, &[open_lane(&notice), open_lane(&other)]).await.unwrap();
        assert!(bench.ask(10).await.jobs.is_empty(), "without {lost:?}");
    }
}

#[tokio::test]
async fn the_rate_holds_when_the_times_of_the_last_calls_alone_are_lost() {
    for of in ["channel", "server"] {
        let mut bench = Bench::new().await;
        let channel = rule(Limit { rate_per_second: 5.0, burst: 5, concurrency: 50 });
        let channel = match of {
            "channel" => channel,
            _ => ChannelRule { server_limit: Some(channel.limit), limit: WIDE.into(), ..channel },
        };
        bench.apply(&[opens(&channel, 1, 100)]).await;
        assert_eq!(bench.claim(5).await.len(), 5);
        delete(&bench, &if of == "channel" { format!("calls:{}", channel.id) } else { format!("calls:{SERVER}") });
        for _ in 0..9 {
            bench.pass(SECOND / 10);
            assert!(bench.ask(1).await.jobs.is_empty(), "{of}");
        }
        bench.pass(SECOND / 5);
        assert!(!bench.ask(1).await.jobs.is_empty(), "{of}");
    }
}

#[tokio::test]
async fn a_permit_that_went_back_unused_is_not_missed() {
    let mut bench = Bench::new().await;
    bench.apply(&[opens(&rule(Limit { rate_per_second: 1.0, burst: 1, concurrency: 5 }), 1, 100)]).await;
    let held = bench.claim(1).await;
    bench.settle_used(&held, &Ruling::Back, None).await;
    assert_eq!(bench.claim_one().await.job, 1);
}

#[tokio::test]
async fn a_server_of_which_everything_was_lost_is_not_called_before_somebody_tells_of_it() {
    let (mut bench, channel, notice) = busy().await;
    delete(&bench, &format!("server:{SERVER}"));
    bench.pass(SECOND);
    assert!(bench.ask(1).await.jobs.is_empty());
    bench.put_back(1, &snapshot(&notice, &[(3, 100)])).await;
    bench.pass(2 * SECOND);
    assert_eq!(bench.claim_one().await.channel, channel.id);
}

#[tokio::test]
async fn jobs_of_a_channel_whose_hash_was_lost_give_their_slots_at_the_server_back() {
    for expires in [false, true] {
        let mut bench = Bench::new().await;
        let notice = opens(&rule(WIDE), 1, 3);
        bench.apply(std::slice::from_ref(&notice)).await;
        let held = bench.claim(3).await;
        delete(&bench, &format!("channel:{}", notice.channel.id));
        if expires {
            bench.pass(LEASE + SECOND);
            assert!(bench.ask(1).await.jobs.is_empty());
        } else {
            bench.settle(&held, &Ruling::Done).await;
        }
        assert!(is_whole(&bench).await, "expires: {expires}");
        assert_eq!(run::<i64>(&bench, "EXISTS", "server:", &[]), 0, "nothing was written in the name of nobody");
        let working: Vec<String> = run(&bench, "ZRANGE", &format!("working:{SERVER}"), &["0", "-1"]);
        assert!(working.is_empty(), "nobody shares the server with it");
        let other = opens(&notice.channel, 10, 12);
        bench.apply(std::slice::from_ref(&other)).await;
        assert!(bench.ask(1).await.jobs.is_empty(), "when it was called lately is not known");
        bench.pass(31 * SECOND);
        assert_eq!(bench.claim_one().await.channel, notice.channel.id);
    }
}

#[tokio::test]
async fn what_is_settled_or_renewed_while_a_shard_is_being_emptied_changes_nothing() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(Limit { concurrency: 3, ..WIDE }), 1, 10);
    bench.apply(std::slice::from_ref(&notice)).await;
    let held = bench.claim(3).await;
    delete(&bench, "epoch2");
    let restoration = bench.queue.begin_restore(0).await.unwrap().unwrap();
    assert_eq!(bench.settle(&held[..1], &Ruling::Done).await, [held[0].job], "it is stale");
    let leases = [(held[1].job, held[1].ticket)];
    assert_eq!(steps::renew(&bench.clock(), 0, LEASE, &leases).await.unwrap(), [held[1].job]);
    restoration.open_epoch(2, false).await.unwrap();
    bench.put_back(2, &snapshot(&notice, &[(1, 10)])).await;
    bench.queue.finish_restore(0, 2).await.unwrap();
    bench.pass(2 * SECOND);
    assert_eq!(bench.ask(10).await.jobs.len(), 3, "all slots are free");
    assert!(is_whole(&bench).await);
}

#[tokio::test]
async fn a_slot_that_nobody_holds_comes_free() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(Limit { concurrency: 1, ..WIDE }), 1, 5);
    bench.apply(std::slice::from_ref(&notice)).await;
    let _: i64 = run(&bench, "SADD", &format!("running:{}", notice.channel.id), &["77"]);
    bench.pass(SECOND);
    assert!(bench.ask(1).await.jobs.is_empty());
    assert_eq!(loss(&bench, &notice).await, "");
    assert_eq!(bench.claim_one().await.job, 1);
}

#[tokio::test]
async fn a_channel_that_is_put_back_to_a_server_of_which_nothing_is_known_waits_as_if_that_had_just_been_called() {
    let mut bench = Bench::new().await;
    let notice = opens(&rule(WIDE), 1, 100);
    bench.apply(std::slice::from_ref(&notice)).await;
    let limit = Some(Limit { rate_per_second: 1.0, burst: 1, concurrency: 10 }.into());
    let server = "wuzapi/another".to_owned();
    let moved = ChannelRule { version: 2, server, server_limit: limit, server_version: 1, ..notice.channel.clone() };
    bench.put_back(1, &snapshot(&Notice { channel: moved, ..notice }, &[(1, 100)])).await;
    assert_eq!(bench.ask(1).await.wait, Some(Duration::from_millis(1_010)));
    bench.pass(Duration::from_millis(1_010));
    assert_eq!(bench.ask(10).await.jobs.len(), 1);
}
