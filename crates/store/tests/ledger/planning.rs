//! Contacts become jobs, once.

use sincro_core::{
    job::{Ending, Failure, Outcome},
    notice::LaneState,
    sync::{JobCounts, SyncState},
};
use sincro_store::settle::Recorded;

use crate::world::{World, by_both, by_lid, by_phone};

#[tokio::test]
async fn a_list_in_the_request_is_planned_at_once_two_jobs_per_contact() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_lid(2), by_both(3)]).await;
    let status = world.status(sync).await;
    assert_eq!(status.state, SyncState::Running);
    // The phone job of the contact known by LID alone has nothing to ask.
    assert_eq!(status.jobs, JobCounts { total: 6, queued: 5, skipped: 1, ..JobCounts::default() });
    assert_eq!(jobs.len(), 5);
}

#[tokio::test]
async fn planning_the_same_page_twice_adds_nothing() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let contacts = || (1..=50).map(by_phone).collect::<Vec<_>>();
    let (recorded, first) = world.plan(&plan, contacts(), Some("page 2")).await;
    assert_eq!((recorded, first.len()), (Recorded::Next, 100));
    // The acknowledgement was lost; the page is read once more under the next attempt.
    let again = world.jobs(&[plan.id]).await.remove(0);
    let (recorded, second) = world.plan(&again, contacts(), None).await;
    assert_eq!((recorded, second.len()), (Recorded::Ended, 0));
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.total), (SyncState::Running, 100));
    assert_eq!(world.count("SELECT count(*) FROM contacts").await, 50);
}

#[tokio::test]
async fn a_plan_that_was_overtaken_writes_nothing() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    world.plan(&plan, vec![by_phone(1)], Some("page 2")).await;
    // Somebody who was asleep comes with the first page and another idea of what is in it.
    let (recorded, jobs) = world.plan(&plan, vec![by_phone(7)], None).await;
    assert_eq!((recorded, jobs.len()), (Recorded::Overtaken, 0));
    assert_eq!(world.status(sync).await.jobs.total, 2);
}

#[tokio::test]
async fn a_channel_without_contacts_is_completed_at_once() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    world.plan(&plan, Vec::new(), None).await;
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.total), (SyncState::Completed, 0));
    assert!((status.progress - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_sync_whose_planning_failed_says_why_and_a_retry_plans_again() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let failure = Failure::new("gateway_error", "GET /user/contacts: 500");
    let failed = world.settlement(&plan, Outcome::Ended(Ending::Failed(failure)), Vec::new());
    let settled = world.settle(&[failed]).await;
    assert_eq!(settled.notices[0].lane.as_ref().unwrap().state, LaneState::Closed);
    let status = world.status(sync).await;
    assert_eq!((status.state, status.error.as_deref()), (SyncState::Failed, Some("GET /user/contacts: 500")));

    let (status, notice) = world.store.retry_sync(sync, 3).await.unwrap();
    assert_eq!((status.state, status.error), (SyncState::Planning, None));
    assert!(notice.unwrap().lane.unwrap().opens);
    let plan = world.jobs(&[plan.id]).await.remove(0);
    world.plan(&plan, vec![by_phone(1)], None).await;
    assert_eq!(world.status(sync).await.state, SyncState::Running);
}
