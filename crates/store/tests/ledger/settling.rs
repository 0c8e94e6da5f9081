//! Results count once, and the sums are right.

use sincro_core::{
    clock,
    job::{Ending, Failure, Outcome},
    sync::{JobCounts, MessageCounts, SyncState},
};
use sincro_store::settle::{Fence, Recorded, Settlement};

use crate::world::{World, by_both, by_phone, message};

fn succeeded() -> Outcome {
    Outcome::Ended(Ending::Succeeded)
}

#[tokio::test]
async fn a_batch_stores_its_messages_counts_them_and_closes_the_sync() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_phone(2)]).await;
    let failure = Failure::new("timeout", "GET /chat/history: no answer within 30 s");
    let settled = world
        .settle(&[
            world.settlement(&jobs[0], succeeded(), vec![message("A"), message("B"), message("A")]),
            world.settlement(&jobs[2], succeeded(), vec![message("B"), message("C")]),
            world.settlement(&jobs[1], Outcome::Ended(Ending::Empty), Vec::new()),
            world.settlement(&jobs[3], Outcome::Ended(Ending::Failed(failure)), Vec::new()),
        ])
        .await;
    assert_eq!(settled.recorded, [Recorded::Ended; 4]);
    let status = world.status(sync).await;
    assert_eq!(status.state, SyncState::CompletedWithFailures);
    assert_eq!(status.messages, MessageCounts { fetched: 5, stored: 3, duplicate: 2, left_out: 0 });
    assert_eq!(status.jobs, JobCounts { total: 4, succeeded: 2, empty: 1, failed: 1, ..JobCounts::default() });
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 3);
    let receipt = world.store.receipt(sync, 0, 100).await.unwrap();
    let sum = |pick: fn(&sincro_core::receipt::ReceiptLine) -> i64| receipt.lines.iter().map(pick).sum::<i64>();
    assert_eq!((sum(|l| l.fetched), sum(|l| l.stored), sum(|l| l.duplicate)), (5, 3, 2));
    let reason: String = sqlx::query_scalar("SELECT reason FROM failure_reasons").fetch_one(&world.sql).await.unwrap();
    assert_eq!(reason, "timeout");
}

#[tokio::test]
async fn an_id_that_two_chats_share_is_one_message_of_whoever_brought_it_first() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1), by_phone(2)]).await;
    world.finish(&jobs[0], vec![message("A")]).await;
    let other = sincro_core::message::Message { from_me: true, text: Some("of somebody else".into()), ..message("A") };
    world.finish(&jobs[2], vec![other]).await;
    let status = world.status(sync).await;
    assert_eq!(status.messages, MessageCounts { fetched: 2, stored: 1, duplicate: 1, left_out: 0 });
    let kept = world.row("SELECT text, from_me, contact_id, job_id FROM messages").await;
    let first = serde_json::json!({
        "text": "text of A", "from_me": false, "contact_id": jobs[0].contact, "job_id": jobs[0].id
    });
    assert_eq!(kept, first);
}

#[tokio::test]
async fn the_same_result_twice_counts_once() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let result = world.settlement(&jobs[0], succeeded(), vec![message("A")]);
    let twice = world.settle(&[result.clone(), result.clone()]).await;
    assert_eq!(twice.recorded, [Recorded::Ended, Recorded::Overtaken]);
    assert_eq!(world.settle(&[result]).await.recorded, [Recorded::Over]);
    assert_eq!(world.status(sync).await.messages, MessageCounts { fetched: 1, stored: 1, duplicate: 0, left_out: 0 });
}

#[tokio::test]
async fn a_result_of_an_earlier_attempt_step_or_epoch_changes_nothing() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let retry = Outcome::Retry { failure: Failure::new("timeout", "late"), due: clock::now() };
    let first = world.settlement(&jobs[0], retry, Vec::new());
    assert!(matches!(world.settle(&[first]).await.recorded[0], Recorded::Delayed { .. }));
    let before = world.status(sync).await;

    let job = world.jobs(&[jobs[0].id]).await.remove(0);
    let valid = world.fence(&job, 2);
    for fence in [
        Fence { attempt: 1, ..valid },
        Fence { steps_done: job.steps_done + 1, ..valid },
        Fence { epoch: world.epoch + 1, ..valid },
    ] {
        let late = Settlement { fence, ..world.settlement(&job, succeeded(), vec![message("late")]) };
        assert_eq!(world.settle(&[late]).await.recorded, [Recorded::Overtaken], "{fence:?}");
    }
    assert_eq!(world.status(sync).await, before);
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 0);

    let in_time = world.settlement(&job, succeeded(), vec![message("in time")]);
    assert_eq!(world.settle(&[in_time]).await.recorded, [Recorded::Ended]);
}

#[tokio::test]
async fn a_failed_attempt_is_delayed_in_the_ledger_with_its_reason_and_its_time() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    let due = clock::now() + chrono::TimeDelta::minutes(5);
    let retry = Outcome::Retry { failure: Failure::new("timeout", "GET /chat/history: no answer"), due };
    let settled = world.settle(&[world.settlement(&jobs[0], retry, Vec::new())]).await;
    assert_eq!(settled.recorded, [Recorded::Delayed { due }]);
    let status = world.status(sync).await;
    assert_eq!((status.jobs.queued, status.jobs.delayed), (1, 1));
    let lines = world.store.job_lines(sync, &sincro_store::jobs::JobFilter::default(), 10).await.unwrap();
    assert_eq!((lines[0].attempts, lines[0].next_at), (1, Some(due)));
    assert_eq!(lines[0].last_error.as_deref(), Some("GET /chat/history: no answer"));
}

#[tokio::test]
async fn settlements_of_one_sync_from_many_sides_at_once_add_up() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of((1..=100).map(by_both).collect()).await;
    let batches = jobs.chunks(10).map(|jobs| {
        let batch: Vec<_> = jobs
            .iter()
            .map(|job| world.settlement(job, succeeded(), vec![message(&format!("{}", job.id)), message("shared")]))
            .collect();
        let store = world.store.clone();
        tokio::spawn(async move { store.settle(&batch).await })
    });
    for batch in batches.collect::<Vec<_>>() {
        batch.await.unwrap().unwrap();
    }
    let status = world.status(sync).await;
    assert_eq!((status.state, status.jobs.succeeded), (SyncState::Completed, 200));
    assert_eq!(status.messages, MessageCounts { fetched: 400, stored: 201, duplicate: 199, left_out: 0 });
}
