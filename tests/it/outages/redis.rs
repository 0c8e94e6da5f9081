//! Redis: the API goes on accepting and says how it is, workers wait and go on.

use std::time::{Duration, Instant};

use sincro_core::sync::SyncId;

use super::{MORTAL, PROMPT, accepted_at_once, another_channel, ends_complete, stage, until_readyz_says};
use crate::support::{Stage, World, private::redis::Redis, proxy::Proxy};

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
async fn a_slow_redis_makes_a_sync_slow_and_nothing_else() {
    let world = World::with(&MORTAL).await;
    let line = Proxy::to_redis(&world.queue.url).await;
    let url = line.url(&world.queue.url);
    let stage = stage(world, &[("REDIS_URL", &url)], 60).await;
    line.slow(Duration::from_millis(150));
    let sync = stage.start().await;
    ends_complete(&stage, stage.channel, sync).await;
}

#[tokio::test]
async fn connections_to_redis_that_are_cut_again_and_again_lose_and_double_nothing() {
    let world = World::with(&MORTAL).await;
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
    let stage = stage(World::on(Some(redis.url()), None, &MORTAL).await, &[], 100).await;
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
