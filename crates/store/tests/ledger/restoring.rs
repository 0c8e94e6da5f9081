//! What the queue is given when it has lost something.

use std::time::Duration;

use chrono::TimeDelta;
use sincro_core::{
    clock,
    job::{Ending, Failure, Outcome},
    limit::KeptCalls,
    notice::Entry,
};
use sincro_store::{
    calls::CallCount,
    restore::{LaneCount, LaneOwner, Life, RestoreLock},
    settle::Recorded,
};
use uuid::Uuid;

use crate::world::{World, by_phone, message};

async fn locked(world: &World) -> RestoreLock {
    world.store.lock_restoration("test", 0).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_restored_lane_holds_what_is_open_and_nothing_else() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_phone(2), by_phone(3)]).await;
    world.finish(&jobs[0], Vec::new()).await;
    let due = clock::now() + TimeDelta::hours(1);
    let retry = Outcome::Retry { failure: Failure::new("timeout", "no answer"), due };
    world.settle(&[world.settlement(&jobs[3], retry, Vec::new())]).await;

    let mut restoration = locked(&world).await;
    assert!(world.store.lock_restoration("test", 0).await.unwrap().is_none(), "one at a time");
    let epoch = restoration.begin_epoch(3).await.unwrap();
    assert!(epoch > world.epoch);
    assert_eq!(restoration.life().await.unwrap(), Some(Life { epoch, layout: 3 }));
    let lane = restoration.lanes(&[sync]).await.unwrap().remove(0).lane.unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(
        lane.jobs,
        [
            Entry::Tried { job: ids[3], attempts: 1, due_ms: due.timestamp_millis() },
            Entry::Span { first: ids[1], last: ids[2] },
            Entry::Span { first: ids[4], last: ids[5] },
        ]
    );
    restoration.end().await.unwrap();
    let old = world.settlement(&jobs[1], Outcome::Ended(Ending::Succeeded), vec![message("late")]);
    assert_eq!(world.settle(&[old]).await.recorded, [Recorded::Overtaken], "claimed in the life before");
}

#[tokio::test]
async fn what_the_queue_must_hold_of_a_sync_is_counted_with_what_it_has_not_heard() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_phone(2)]).await;
    let mut restoration = locked(&world).await;
    let unheard = LaneCount { seq: 1, jobs: 4, undelivered: Some(1), unopened: true };
    assert_eq!(restoration.lane_counts(&[sync]).await.unwrap()[&sync], unheard);
    world
        .store
        .forget_notices(&[world.store.undelivered_notices(clock::now(), 0, &[], 1).await.unwrap().notices[0].id])
        .await
        .unwrap();
    world.finish(&jobs[0], Vec::new()).await;
    world.store.pause_sync(sync, None).await.unwrap();
    let half_heard = LaneCount { seq: 2, jobs: 3, undelivered: Some(2), unopened: false };
    assert_eq!(restoration.lane_counts(&[sync]).await.unwrap()[&sync], half_heard);
    restoration.end().await.unwrap();
}

#[tokio::test]
async fn open_syncs_are_gone_through_page_by_page_the_urgent_ones_apart() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let mut restoration = locked(&world).await;
    let page = restoration.open_syncs(false, Uuid::nil(), 10).await.unwrap();
    let expected = LaneOwner { sync, channel: world.channel.id, server: world.channel.server(), jobs: 2 };
    assert_eq!(page, [expected]);
    assert!(restoration.open_syncs(false, sync, 10).await.unwrap().is_empty(), "behind the last");
    assert!(restoration.open_syncs(true, Uuid::nil(), 10).await.unwrap().is_empty(), "it is not urgent");
    for job in &jobs {
        world.finish(job, Vec::new()).await;
    }
    assert!(restoration.open_syncs(false, Uuid::nil(), 10).await.unwrap().is_empty(), "it is over");
    assert!(restoration.lane_counts(&[sync]).await.unwrap().is_empty());
    assert!(restoration.lanes(&[sync]).await.unwrap().is_empty());
    restoration.end().await.unwrap();
}

#[tokio::test]
async fn an_epoch_of_another_namespace_or_shard_is_another_one() {
    let world = World::new().await;
    for (namespace, shard) in [("test", 1), ("other", 0)] {
        let mut restoration = world.store.lock_restoration(namespace, shard).await.unwrap().unwrap();
        assert_eq!(restoration.life().await.unwrap(), None);
        restoration.end().await.unwrap();
    }
    let mut restoration = locked(&world).await;
    assert_eq!(restoration.life().await.unwrap(), Some(Life { epoch: world.epoch, layout: 2 }));
    restoration.end().await.unwrap();
}

fn count(key: &str, minute: i64, calls: i64) -> CallCount {
    CallCount { key: key.to_owned(), minute, calls, rate: 20.0, works: true }
}

#[tokio::test]
async fn calls_are_remembered_by_the_minute_and_never_made_fewer() {
    let world = World::new().await;
    let (server, id) = (world.channel.server(), world.channel.id);
    let note = async |rows: &[CallCount]| world.store.note_calls(rows).await.unwrap();
    note(&[count(&server, 100, 7), count(&id.to_string(), 100, 5), count(&server, 99, 3)]).await;
    note(&[count(&server, 100, 9), count(&id.to_string(), 100, 0)]).await;
    let mut restoration = locked(&world).await;
    let kept = restoration.calls().await.unwrap();
    let rows = |channel| -> &KeptCalls { kept.iter().find(|kept| kept.channel == channel).unwrap() };
    assert_eq!((kept.len(), rows(None).by_minute.as_slice()), (2, [(100, 9), (99, 3)].as_slice()));
    assert_eq!(
        (rows(Some(id)).by_minute.as_slice(), rows(Some(id)).server.as_str()),
        ([(100, 5)].as_slice(), &*server)
    );
    assert!(rows(None).unnoted < Duration::from_mins(1) && rows(None).worked);

    world.execute("UPDATE call_counts SET noted_at = now() - interval '26 hours' WHERE minute = 99").await;
    note(&[count(&server, 101, 1)]).await;
    assert_eq!(world.count("SELECT count(*) FROM call_counts WHERE minute = 99").await, 0, "no cap reaches that far");
    restoration.end().await.unwrap();
}
