//! Redis: the API goes on accepting and says how it is, workers wait and go on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sincro_core::sync::SyncId;

use super::{
    LASTING, MORTAL, PROMPT, STEADY, accepted_at_once, another_channel, ends_complete, no_attempt_was_spent, stage,
    until_readyz_says,
};
use crate::support::{Stage, World, private::redis::Redis, proxy::Proxy, within};

#[tokio::test]
async fn a_redis_that_hangs_delays_no_answer_for_long_and_what_was_accepted_is_done_afterwards() {
    let world = World::with(&MORTAL).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let stage = stage(world, &[("REDIS_URL", &url)], 100).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;

    line.hang();
    until_readyz_says(&stage.api, "unavailable").await;
    let accepted = accepted_at_once(&stage, other).await;
    steered_at_once(&stage, accepted).await;
    line.slow(Duration::ZERO);
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    until_readyz_says(&stage.api, "ok").await;
}

#[tokio::test]
async fn a_redis_that_hangs_for_a_whole_minute_ends_nobody_and_is_worked_with_as_soon_as_it_answers() {
    const A_MINUTE: Duration = Duration::from_mins(1);
    /// The longest that anybody leaves Redis alone after a failure, several times over.
    const SOON: Duration = Duration::from_secs(10);
    /// Connections that are given up may stand a little beside those that replace them.
    const PASSING: usize = 8;
    let world = World::waiting(&STEADY).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let stage = stage(world, &[("REDIS_URL", &url)], 100).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    let usual = line.standing();

    line.hang();
    let hung = Instant::now();
    until_readyz_says(&stage.api, "unavailable").await;
    let accepted = accepted_at_once(&stage, other).await;
    // Each answer takes the API as long as it gives Redis, so this asks about once a second.
    let mut standing = Vec::new();
    while hung.elapsed() < A_MINUTE {
        let ready: Value = stage.api.get("/readyz").await.ok();
        assert_eq!((&ready["degraded"], &ready["redis"]), (&json!(true), &json!("unavailable")));
        standing.push(line.standing());
    }
    assert!(standing.iter().all(|now| *now <= usual + PASSING), "connections pile up from {usual}: {standing:?}");
    let calls = stage.gateway.calls().count(|_| true);
    line.slow(Duration::ZERO);
    let mended = Instant::now();
    within("a call", stage.gateway.calls().wait_for(calls + 1, |_| true)).await;
    assert!(mended.elapsed() < SOON, "the next call came after {:?}", mended.elapsed());
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    until_readyz_says(&stage.api, "ok").await;
    assert_eq!(stage.worker.times_said("the worker works"), 1, "the same worker all the time");
    let spent = stage.world.number("SELECT count(*) FROM jobs WHERE attempts > 2").await;
    assert_eq!(spent, 0, "jobs whose leases ran out lost an attempt by it, and no other");
}

#[tokio::test]
async fn a_slow_redis_makes_a_sync_slow_and_nothing_else() {
    const EACH_WAY: Duration = Duration::from_millis(150);
    /// Planning, then the jobs, of which a quarter has room at once: none of these trips can be made before the last.
    const TRIPS: u32 = 5;
    let world = World::with(&MORTAL).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let stage = stage(world, &[("REDIS_URL", &url)], 60).await;
    line.slow(EACH_WAY);
    let begun = Instant::now();
    until_readyz_says(&stage.api, "ok").await;
    assert!(begun.elapsed() >= 2 * EACH_WAY, "whether Redis is well was told after {:?}", begun.elapsed());
    let begun = Instant::now();
    let sync = stage.start().await;
    ends_complete(&stage, stage.channel, sync).await;
    assert!(begun.elapsed() >= TRIPS * 2 * EACH_WAY, "the sync took {:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_to_redis_that_are_cut_again_and_again_lose_and_double_nothing() {
    let world = World::with(&LASTING).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let stage = stage(world, &[("REDIS_URL", &url)], 150).await;
    let sync = stage.start().await;
    let mut events = stage.api.follow(sync).await;
    for settled in (0..280).step_by(20) {
        events.until_settled(settled).await;
        line.cut();
        line.mend().await;
    }
    ends_complete(&stage, stage.channel, sync).await;
    no_attempt_was_spent(&stage).await;
}

#[tokio::test]
async fn a_redis_that_is_out_of_memory_holds_syncs_up_and_loses_nothing() {
    refused_for_a_while("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0").await;
}

#[tokio::test]
async fn a_redis_that_has_become_a_replica_holds_syncs_up_and_loses_nothing() {
    refused_for_a_while("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE").await;
}

/// A Redis that answers, and takes nothing between these two commands.
async fn refused_for_a_while(begin: &str, end: &str) {
    let redis = Redis::alone().await;
    let stage = stage(World::on(Some(redis.url()), None, &LASTING).await, &[], 100).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;

    let _: () = redis.ask(&begin.split(' ').collect::<Vec<_>>()).await.unwrap();
    until_readyz_says(&stage.api, "refusing").await;
    let accepted = accepted_at_once(&stage, other).await;
    stage.worker.said("the queue did not hear; the sweeper will tell it again").await;
    let _: () = redis.ask(&end.split(' ').collect::<Vec<_>>()).await.unwrap();
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    no_attempt_was_spent(&stage).await;
    until_readyz_says(&stage.api, "ok").await;
    assert_eq!(stage.worker.times_said("the worker works"), 1, "the same worker all the time");
}

/// Pauses and resumes a sync, each without delay.
async fn steered_at_once(stage: &Stage, sync: SyncId) {
    for verb in ["pause", "resume"] {
        let asked = Instant::now();
        stage.api.steer(sync, verb).await;
        assert!(asked.elapsed() < PROMPT, "{verb} took {:?}", asked.elapsed());
    }
}
