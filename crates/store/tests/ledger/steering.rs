//! Pause, resume, cancel, retry, and who may begin what.

use secrecy::ExposeSecret as _;
use sincro_core::{
    job::{Ending, Failure, Outcome},
    notice::{Entry, LaneState},
    sync::{SyncKind, SyncState},
};
use sincro_store::{
    Conflict, Error, Missing,
    access::{Idempotency, Scope},
    settle::Recorded,
    syncs::{NewSync, SyncFilter},
};

use crate::world::{ATTEMPTS, World, by_phone, message};

#[tokio::test]
async fn a_second_channel_sync_is_refused_with_the_name_of_the_first() {
    let world = World::new().await;
    let (first, _) = world.sync_of(vec![by_phone(1)]).await;
    let refused = world.store.create_sync(world.wanted(None)).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict(Conflict::SyncRunning(id)) if id == first), "{refused}");
    let ticket = NewSync { kind: SyncKind::Contact, ..world.wanted(Some(vec![by_phone(1)])) };
    let urgent = world.store.create_sync(ticket).await.unwrap();
    assert!(urgent.notice.unwrap().lane.unwrap().urgent);
}

#[tokio::test]
async fn of_two_requests_at_once_one_begins() {
    let world = World::new().await;
    let (one, other) = tokio::join!(
        world.store.create_sync(world.wanted(None)),
        world.store.create_sync(world.wanted(Some(vec![by_phone(1)])))
    );
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn a_pause_and_what_follows_reach_the_queue_in_order() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let (paused, first) = world.store.pause_sync(sync, Some("lunch")).await.unwrap();
    assert_eq!(paused.state, SyncState::Paused);
    assert_eq!(world.store.pause_sync(sync, None).await.unwrap().1, None, "already so");
    let (resumed, second) = world.store.resume_sync(sync).await.unwrap();
    assert_eq!(resumed.state, SyncState::Running);
    let lanes = [first.unwrap().lane.unwrap(), second.unwrap().lane.unwrap()];
    assert_eq!(lanes.map(|lane| (lane.seq, lane.state)), [(2, LaneState::Paused), (3, LaneState::Open)]);
    assert_eq!(world.finish(&jobs[0], Vec::new()).await, Recorded::Ended);
}

#[tokio::test]
async fn a_result_that_comes_after_the_cancellation_changes_nothing() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_phone(2)]).await;
    world.finish(&jobs[0], vec![message("in time")]).await;
    let (cancelled, notice) = world.store.cancel_sync(sync, Some("mistake")).await.unwrap();
    assert_eq!((cancelled.state, cancelled.jobs.cancelled, cancelled.jobs.succeeded), (SyncState::Cancelled, 3, 1));
    assert_eq!(notice.unwrap().lane.unwrap().state, LaneState::Closed);
    assert_eq!(world.finish(&jobs[1], vec![message("late")]).await, Recorded::Over);
    assert_eq!(world.status(sync).await, cancelled);
    assert!(matches!(world.store.retry_sync(sync, ATTEMPTS).await, Err(Error::Conflict(Conflict::SyncOver))));
}

#[tokio::test]
async fn a_retry_queues_what_failed_with_fresh_attempts_and_opens_the_sync_again() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    world.finish(&jobs[0], Vec::new()).await;
    let failed = Outcome::Ended(Ending::Failed(Failure::new("timeout", "no answer")));
    world.settle(&[world.settlement(&jobs[1], failed, Vec::new())]).await;
    assert_eq!(world.status(sync).await.state, SyncState::CompletedWithFailures);

    let (status, notice) = world.store.retry_sync(sync, ATTEMPTS).await.unwrap();
    assert_eq!((status.state, status.jobs.queued, status.jobs.failed), (SyncState::Running, 1, 0));
    let lane = notice.unwrap().lane.unwrap();
    assert!(lane.opens);
    assert_eq!(lane.jobs, [Entry::Tried { job: jobs[1].id, attempts: 1, due_ms: 0 }]);
    let job = world.jobs(&[jobs[1].id]).await.remove(0);
    assert_eq!((job.attempts, job.attempt_limit), (1, 4));
    world.finish(&job, Vec::new()).await;
    assert_eq!(world.status(sync).await.state, SyncState::Completed);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_first_answer_even_at_the_same_time() {
    let world = World::new().await;
    let key = world.store.create_api_key("test", &[Scope::Enqueue]).await.unwrap();
    let caller = world.store.authenticate(&key).await.unwrap().unwrap();
    let request = |body: &str| NewSync {
        idempotency: Some(Idempotency { key_id: caller.key_id, key: "abc".into(), request: body.into() }),
        ..world.wanted(Some(vec![by_phone(1)]))
    };
    let (one, other) = tokio::join!(world.store.create_sync(request("x")), world.store.create_sync(request("x")));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.id, &one.answer), (other.id, &other.answer));
    assert!(one.notice.is_some() != other.notice.is_some(), "one of them is the repetition");
    let reused = world.store.create_sync(request("y")).await.unwrap_err();
    assert!(matches!(reused, Error::Conflict(Conflict::IdempotencyKeyReused)));
    assert_eq!(world.count("SELECT count(*) FROM syncs").await, 1);
}

#[tokio::test]
async fn notices_stay_until_they_are_forgotten() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    world.store.pause_sync(sync, None).await.unwrap();
    let left = world.store.undelivered_notices(sincro_core::clock::now(), 0, &[], 10).await.unwrap().notices;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|notice| notice.lane.as_ref().unwrap().state == LaneState::Paused), "the newest state");
    world.store.forget_notices(&[left[0].id, left[1].id]).await.unwrap();
    assert!(world.store.undelivered_notices(sincro_core::clock::now(), 0, &[], 10).await.unwrap().notices.is_empty());
}

#[tokio::test]
async fn a_channel_with_an_open_sync_cannot_be_deleted_and_one_without_leaves_nothing_behind() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let refused = world.store.delete_channel(world.channel.id, "test").await.unwrap_err();
    assert!(matches!(refused, Error::Conflict(Conflict::SyncOpen(id)) if id == sync));
    world.finish(&jobs[0], vec![message("A")]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    world.store.delete_channel(world.channel.id, "test").await.unwrap();
    for table in ["SELECT count(*) FROM messages", "SELECT count(*) FROM jobs", "SELECT count(*) FROM contacts"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_or_never_made_opens_nothing() {
    let world = World::new().await;
    let key = world.store.create_api_key("test", &[Scope::Read, Scope::Admin]).await.unwrap();
    assert_eq!(world.store.authenticate(&key).await.unwrap().unwrap().scope, Scope::Admin);
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM api_keys").fetch_all(&world.sql).await.unwrap();
    assert!(hashes.iter().all(|hash| hash != key.expose_secret().as_bytes()));
    sqlx::query("UPDATE api_keys SET revoked_at = now()").execute(&world.sql).await.unwrap();
    assert!(world.store.authenticate(&key).await.unwrap().is_none());
    assert!(world.store.authenticate(&"sincro_guess".to_owned().into()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_of_syncs_goes_on_behind_the_one_named_and_not_behind_one_nobody_knows() {
    let world = World::new().await;
    let ticket = || NewSync { kind: SyncKind::Contact, ..world.wanted(Some(vec![by_phone(1)])) };
    let first = world.store.create_sync(ticket()).await.unwrap().id;
    let second = world.store.create_sync(ticket()).await.unwrap().id;
    let behind = async |before| {
        let filter = SyncFilter { before: Some(before), ..SyncFilter::default() };
        world.store.syncs(&filter, 10).await.map(|syncs| syncs.iter().map(|sync| sync.id).collect::<Vec<_>>())
    };
    assert_eq!(behind(second).await.unwrap(), [first]);
    assert!(matches!(behind(world.channel.id).await, Err(Error::NotFound(Missing::Sync))));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_takes_no_other_with_it() {
    let world = World::new().await;
    let (_, jobs) = world.sync_of(vec![by_phone(1)]).await;
    world.execute(r#"UPDATE jobs SET step = '{"dance": 1}' WHERE id = (SELECT min(id) FROM jobs)"#).await;
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let found = world.store.open_jobs(&ids).await.unwrap();
    let mut readable: Vec<_> = found.iter().filter_map(|job| Some(job.as_ref().ok()?.id)).collect();
    readable.sort_unstable();
    assert_eq!(readable, ids[1..]);
    let named: Vec<_> = found.iter().filter_map(|job| Some(job.as_ref().err()?.id)).collect();
    assert_eq!(named, ids[..1]);
    world.store.pause_channel(world.channel.id, "lunch").await.unwrap();
    world.execute(r#"UPDATE notices SET jobs = '[{"dance": 1}]' WHERE sync_id IS NOT NULL"#).await;
    let left = world.store.undelivered_notices(sincro_core::clock::now(), 0, &[], 10).await.unwrap().notices;
    assert_eq!(left.iter().map(|notice| notice.lane.is_some()).collect::<Vec<_>>(), [false]);
}
