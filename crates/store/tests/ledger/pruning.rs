//! What is over long enough goes, and says that it is gone.

use chrono::TimeDelta;
use sincro_core::{clock, job::JobState, sync::SyncState};
use sincro_store::{Conflict, Error, jobs::JobFilter, prune::Pruned};

use crate::world::{World, by_phone, message};

#[tokio::test]
async fn jobs_of_an_old_sync_go_in_bounded_pieces_and_its_totals_messages_and_contacts_stay() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of((1..=3).map(by_phone).collect()).await;
    world.finish(&jobs[0], vec![message("A")]).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    let before = world.store.receipt(sync, 0, 100).await.unwrap();
    assert_eq!((before.lines.len(), before.pruned_at), (6, None));

    let yesterday = clock::now() - TimeDelta::days(1);
    assert_eq!(world.store.prune(yesterday, 4).await.unwrap(), Pruned::Nothing, "it ended a moment ago");
    let later = clock::now() + TimeDelta::days(1);
    let mut gone = Vec::new();
    while let Pruned::Jobs(jobs) = world.store.prune(later, 4).await.unwrap() {
        gone.push(jobs);
        let receipt = world.store.receipt(sync, 0, 100).await.unwrap();
        assert!(receipt.pruned_at.is_some() && receipt.lines.is_empty(), "half a receipt would not add up");
    }
    assert_eq!(gone, [4, 2]);
    let after = world.store.receipt(sync, 0, 100).await.unwrap();
    assert_eq!((after.contacts, &after.jobs, &after.messages), (3, &before.jobs, &before.messages));
    let status = world.status(sync).await;
    assert_eq!((status.state, status.messages.stored), (SyncState::Cancelled, 1));
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM contacts").await, 3);
}

#[tokio::test]
async fn an_open_sync_keeps_its_jobs_however_old_it_is() {
    let world = World::new().await;
    world.sync_of(vec![by_phone(1)]).await;
    let later = clock::now() + TimeDelta::days(1_000);
    assert_eq!(world.store.prune(later, 100).await.unwrap(), Pruned::Nothing);
}

#[tokio::test]
async fn what_is_pruned_cannot_be_retried() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    world.execute("UPDATE jobs SET step = '{}'").await;
    for job in &jobs {
        let unreadable = world.store.open_jobs(&[job.id]).await.unwrap().remove(0).unwrap_err();
        world.store.settle_unreadable(&unreadable, world.fence(job, 1), None).await.unwrap();
    }
    assert_eq!(world.status(sync).await.jobs.failed, 2);
    world.store.prune(clock::now() + TimeDelta::days(1), 1).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM jobs").await, 1, "one of the failed jobs is gone");
    let refused = world.store.retry_sync(sync, 3).await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::SyncOver))), "{refused:?}");
    let lines = world.store.job_lines(sync, &JobFilter::default(), 10).await.unwrap();
    assert!(lines.iter().all(|line| line.state == JobState::Failed));
}

#[tokio::test]
async fn pieces_of_a_list_go_with_a_sync_that_will_not_plan_them() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let pieces = vec![sincro_core::gateway::ContactsPiece { contacts: vec![by_phone(1)], pairings: Vec::new() }];
    world.list(&plan, pieces, None).await.unwrap();
    assert_eq!(world.store.forget_listings().await.unwrap(), 0, "it is still to be planned");
    world.store.cancel_sync(sync, None).await.unwrap();
    assert_eq!(world.store.forget_listings().await.unwrap(), 1);
}
