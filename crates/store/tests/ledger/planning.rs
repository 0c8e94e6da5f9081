//! Contacts become jobs, once.

use sincro_core::{
    contact::Contact,
    gateway::ContactsPiece,
    job::{Ending, Failure, Outcome},
    message::Pairing,
    notice::LaneState,
    sync::{JobCounts, SyncState},
};
use sincro_store::settle::{Fence, Recorded};

use crate::world::{ATTEMPTS, WUZAPI, World, by_both, by_lid, by_phone, lid, phone};

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

/// How many jobs and how many persons there are.
async fn jobs_and_persons(world: &World) -> (i64, i64) {
    let jobs = world.count("SELECT count(*) FROM jobs WHERE kind = 'history'").await;
    (jobs, world.count("SELECT count(*) FROM contacts WHERE merged_into IS NULL").await)
}

fn piece(contacts: Vec<Contact>) -> ContactsPiece {
    ContactsPiece { contacts, pairings: Vec::new() }
}

#[tokio::test]
async fn records_of_one_person_in_different_pieces_are_one_person_in_whatever_order_they_come() {
    let records = [by_phone(1), by_lid(1), by_both(1)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let world = World::new().await;
        let (sync, plan) = world.unplanned_sync().await;
        let pieces = order.map(|record: usize| piece(vec![records[record].clone()]));
        let listed = world.list(&plan, pieces.to_vec(), None).await.unwrap();
        let (recorded, open) = world.plan_listed(&listed).await;
        assert_eq!((recorded, open.len()), (Recorded::Ended, 2), "{order:?}: both addresses are known");
        assert_eq!(jobs_and_persons(&world).await, (2, 1), "{order:?}");
        assert_eq!(world.status(sync).await.jobs.total, 2);
    }
}

#[tokio::test]
async fn a_lid_that_two_phone_numbers_claim_in_different_pieces_stays_with_the_first_and_nobody_is_lost() {
    let world = World::new().await;
    let (_, plan) = world.unplanned_sync().await;
    let contested = Contact::new(Some(phone(2)), Some(lid(1)), None).unwrap();
    let listed = world.list(&plan, vec![piece(vec![by_both(1)]), piece(vec![contested])], None).await.unwrap();
    world.plan_listed(&listed).await;
    assert_eq!(jobs_and_persons(&world).await, (4, 2));
    assert_eq!(
        world.count("SELECT count(*) FROM contacts WHERE lid IS NOT NULL AND phone_jid LIKE '%000001@%'").await,
        1
    );
}

#[tokio::test]
async fn a_pairing_joins_persons_of_other_pieces_and_brings_in_nobody() {
    for place in 0..3 {
        let world = World::new().await;
        let (_, plan) = world.unplanned_sync().await;
        let pairing = |n| Pairing { phone: phone(n), lid: lid(n) };
        let mut pieces = vec![piece(vec![by_phone(1)]), piece(vec![by_lid(1)])];
        pieces.insert(place, ContactsPiece { contacts: Vec::new(), pairings: vec![pairing(1), pairing(9)] });
        let listed = world.list(&plan, pieces, None).await.unwrap();
        let (recorded, open) = world.plan_listed(&listed).await;
        assert_eq!((recorded, open.len()), (Recorded::Ended, 2));
        assert_eq!(jobs_and_persons(&world).await, (2, 1), "the pairings came as piece {place}");
    }
}

#[tokio::test]
async fn planning_goes_on_where_it_was_and_nobody_is_listed_twice() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let pieces = [1..=10, 8..=20, 21..=30].map(|numbers| piece(numbers.map(by_phone).collect()));
    let listed = world.list(&plan, pieces.to_vec(), None).await.unwrap();
    let fence = world.fence(&listed, 1);
    world.store.plan_piece(&listed, fence, WUZAPI, ATTEMPTS).await.unwrap();
    // The worker dies; the next one loads the job.
    let job = world.jobs(&[plan.id]).await.remove(0);
    assert!(job.step.is_listed(), "the gateway is not asked again: {:?}", job.step);
    assert_eq!(job.steps_done, 2);
    // Somebody who slept has the piece before in mind, and changes nothing.
    let late = world.store.plan_piece(&listed, fence, WUZAPI, ATTEMPTS).await.unwrap();
    assert_eq!(late.recorded, Recorded::Overtaken);
    let (recorded, _) = world.plan_listed(&job).await;
    assert_eq!(recorded, Recorded::Ended);
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.total), (SyncState::Running, 60));
    assert_eq!(world.count("SELECT count(*) FROM listed_pages").await, 0);
}

#[tokio::test]
async fn two_answers_that_are_read_at_once_do_not_mix() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let (slow, fast) = (world.fence(&plan, 1), world.fence(&plan, 2));
    world.store.begin_listing(&plan, slow).await.unwrap().unwrap();
    world.store.keep_piece(&plan, slow, 0, &piece(vec![by_phone(1)])).await.unwrap().unwrap();
    world.store.begin_listing(&plan, fast).await.unwrap().unwrap();
    world.store.keep_piece(&plan, fast, 0, &piece(vec![by_phone(2)])).await.unwrap().unwrap();
    world.store.keep_piece(&plan, slow, 1, &piece(vec![by_phone(3)])).await.unwrap().unwrap();
    world.store.end_listing(&plan, fast, None).await.unwrap().unwrap();
    let late = world.store.keep_piece(&plan, slow, 2, &piece(vec![by_phone(4)])).await.unwrap();
    assert_eq!(late, Err(Recorded::Overtaken));
    assert_eq!(world.store.end_listing(&plan, slow, None).await.unwrap(), Err(Recorded::Overtaken));
    let job = world.jobs(&[plan.id]).await.remove(0);
    world.plan_listed(&job).await;
    assert_eq!(world.status(sync).await.jobs.total, 2, "the answer that was whole first counts, and no other");
}

#[tokio::test]
async fn a_list_that_broke_off_leaves_nothing_to_the_next_try() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let fence = world.fence(&plan, 1);
    world.store.begin_listing(&plan, fence).await.unwrap().unwrap();
    world.store.keep_piece(&plan, fence, 0, &piece(vec![by_phone(1)])).await.unwrap().unwrap();
    // Handed back unharmed: the attempt is the same.
    let listed = world.list(&plan, Vec::new(), None).await.unwrap();
    world.plan_listed(&listed).await;
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.total), (SyncState::Completed, 0));
}

#[tokio::test]
async fn a_contact_that_somebody_garbled_fails_alone() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    let listed = world.list(&plan, vec![piece(vec![by_phone(1), by_phone(2)])], None).await.unwrap();
    world.execute("UPDATE contacts SET lid = 'garbled' WHERE phone_jid LIKE '%000001@%'").await;
    let (recorded, open) = world.plan_listed(&listed).await;
    assert_eq!((recorded, open.len()), (Recorded::Ended, 4));
    let found = world.store.open_jobs(&open).await.unwrap();
    let unreadable: Vec<_> = found.into_iter().filter_map(Result::err).collect();
    assert_eq!(unreadable.len(), 2, "the lines of that contact");
    for job in &unreadable {
        let fence = Fence { job: job.id, attempt: 1, steps_done: job.steps_done, epoch: world.epoch };
        assert_eq!(world.store.settle_unreadable(job, fence, None).await.unwrap().0, Recorded::Ended);
    }
    assert_eq!(world.status(sync).await.jobs.failed, 2);
}

#[tokio::test]
async fn an_unreadable_job_fails_after_its_attempts_and_its_sync_ends_and_a_retry_finds_it_mended() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    world.finish(&jobs[0], Vec::new()).await;
    world.execute("UPDATE jobs SET step = '{\"x\":1}' WHERE address_kind = 'lid'").await;
    let unreadable = world.store.open_jobs(&[jobs[1].id]).await.unwrap().remove(0).unwrap_err();
    assert!(unreadable.cause.contains("the ledger's step of job"), "{}", unreadable.cause);
    let due = sincro_core::clock::now();
    let delayed = world.store.settle_unreadable(&unreadable, world.fence(&jobs[1], 1), Some(due)).await.unwrap().0;
    assert_eq!(delayed, Recorded::Delayed { due });
    assert_eq!(world.status(sync).await.jobs, JobCounts { total: 2, succeeded: 1, delayed: 1, ..JobCounts::default() });
    let unreadable = world.store.open_jobs(&[jobs[1].id]).await.unwrap().remove(0).unwrap_err();
    let fence = world.fence(&jobs[1], 2);
    let (recorded, notices) = world.store.settle_unreadable(&unreadable, fence, None).await.unwrap();
    assert_eq!((recorded, notices.len()), (Recorded::Ended, 1));
    assert_eq!(world.store.settle_unreadable(&unreadable, fence, None).await.unwrap().0, Recorded::Over);
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.failed), (SyncState::CompletedWithFailures, 1));
    let failed = world.row("SELECT reason, last_error FROM job_status WHERE state = 'failed'").await;
    assert_eq!(failed["reason"], "unreadable");

    world.store.retry_sync(sync, 3).await.unwrap();
    world.execute("UPDATE jobs SET step = '{\"do\":\"look_up_lid\",\"phone\":\"5511900000001@s.whatsapp.net\"}' WHERE state = 'queued'").await;
    assert_eq!(world.jobs(&[jobs[1].id]).await.len(), 1);
}

#[tokio::test]
async fn an_unreadable_plan_fails_its_sync() {
    let world = World::new().await;
    let (sync, plan) = world.unplanned_sync().await;
    world.execute("UPDATE jobs SET step = '{\"do\":\"something new\"}'").await;
    let unreadable = world.store.open_jobs(&[plan.id]).await.unwrap().remove(0).unwrap_err();
    world.store.settle_unreadable(&unreadable, world.fence(&plan, 1), None).await.unwrap();
    let status = world.status(sync).await;
    assert_eq!(status.state, SyncState::Failed);
    assert!(status.error.unwrap().contains("cannot be read"));
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
