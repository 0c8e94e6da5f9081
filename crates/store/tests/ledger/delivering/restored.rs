//! One message that is brought back: by the reading, by a webhook that is faster, or by one that comes too late.

use super::*;

impl World {
    /// A sync for one message, looked for so often already.
    async fn wants_back(&self, id: &str, reads: u8) -> (SyncId, Job) {
        let wanted = NewSync {
            kind: SyncKind::Message,
            only: Some(Step::Restore { message_id: id.to_owned(), reads }),
            capabilities: Capabilities { restore: true, ..Capabilities::per_address(Provider::Whapi) },
            ..self.wanted(None)
        };
        let created = self.store.create_sync(wanted).await.unwrap();
        (created.id, self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0))
    }
}

#[tokio::test]
async fn a_message_that_comes_back_is_marked_and_a_webhook_can_be_faster_than_the_reading() {
    let world = World::new().await;
    let (sync, job) = world.wants_back("gone", 0).await;
    world.awaits(&job, Awaits::Reread, Completion::Answer).await;
    world.tell(vec![batch(Source::Live, by_phone(1), &["other", "gone"])]).await;
    let looked = world.look(&job, POSITUS, clock::now()).await;
    assert_eq!(looked.ended, Some(JobState::Succeeded));
    let origins = "SELECT string_agg(origin, ' ' ORDER BY message_id) AS all FROM messages";
    assert_eq!(world.row(origins).await["all"], "restored live");
    assert_eq!(world.status(sync).await.messages.stored, 1);

    let (sync, job) = world.wants_back("other", 0).await;
    let found = sincro_core::gateway::Restored { address: phone(1), message: message("other") };
    let (recorded, _) = world.store.settle_restored(&job, world.fence(&job, 1), &found).await.unwrap();
    assert_eq!(recorded, Recorded::Ended);
    assert_eq!(world.row(origins).await["all"], "restored live", "what came before anybody asked was new");
    let line = world.store.receipt(sync, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!((line.expected, line.fetched, line.duplicate, line.contact_id.is_some()), (1, 1, 1, true));
}

#[tokio::test]
async fn an_unrecovered_message_is_an_end_with_a_name() {
    let world = World::new().await;
    let (sync, job) = world.wants_back("gone", 0).await;
    let end = Outcome::Ended(Ending::Nothing(NothingReason::Unrecovered, None));
    world.settle(&[world.settlement(&job, end, Vec::new())]).await;
    assert_eq!(world.status(sync).await.state, SyncState::Completed);
    let line = world.store.receipt(sync, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!((line.outcome, line.reason.as_deref()), (JobState::Empty, Some("unrecovered")));
}

#[tokio::test]
async fn a_message_that_comes_back_after_it_was_given_up_is_restored_all_the_same() {
    let world = World::new().await;
    let (sync, job) = world.wants_back("gone", 3).await;
    let end = Outcome::Ended(Ending::Nothing(NothingReason::Unrecovered, None));
    world.settle(&[world.settlement(&job, end, Vec::new())]).await;
    world.tell(vec![batch(Source::Live, by_phone(1), &["gone", "new"])]).await;
    let origins = "SELECT string_agg(origin, ' ' ORDER BY message_id) AS all FROM messages";
    assert_eq!(world.row(origins).await["all"], "restored live");
    assert_eq!(world.status(sync).await.messages.stored, 0, "what is over is counted no more");
}

#[tokio::test]
async fn messages_are_asked_back_one_after_the_other() {
    let world = World::new().await;
    let spaced = Pace { gap: Duration::from_hours(1), ..AT_ONCE };
    let (_, first) = world.wants_back("gone", 0).await;
    let (_, second) = world.wants_back("lost", 0).await;
    let begun = async |job: &Job, pace| {
        let token = Uuid::now_v7();
        let request = Request { awaits: Awaits::Reread, rule: Completion::Answer, once: None, token };
        world.store.begin_request(job, world.fence(job, 1), request, pace).await.unwrap().unwrap()
    };
    assert_eq!(begun(&first, &spaced).await, Leave::Go);
    assert_eq!(begun(&second, &AT_ONCE).await, Leave::NotYet, "the phone is being asked");
    world.awaits(&second, Awaits::Turn, Completion::Answer).await;
    world.awaits(&first, Awaits::Reread, Completion::Answer).await;
    let given =
        async |at| world.store.give_turns(&spaced, at).await.unwrap().iter().flat_map(ids_of).collect::<Vec<_>>();
    assert!(given(clock::now() + TimeDelta::minutes(59)).await.is_empty(), "it rests");
    assert_eq!(given(clock::now() + TimeDelta::minutes(121)).await, [second.id]);

    // Looking again asks nobody's phone.
    world
        .store
        .look_at(
            Due { job: first.id, channel: world.channel.id, provider: Provider::Whapi },
            &waits(),
            POSITUS,
            ATTEMPTS,
            clock::now() + TimeDelta::hours(2),
        )
        .await
        .unwrap();
    let mut reread = world.jobs(&[first.id]).await.remove(0);
    reread.step = Step::Restore { message_id: "gone".to_owned(), reads: 1 };
    assert_eq!(begun(&reread, &spaced).await, Leave::Go);

    let second = world.jobs(&[second.id]).await.remove(0);
    assert_eq!(begun(&second, &spaced).await, Leave::Go);
}

#[tokio::test]
async fn a_message_that_comes_while_its_job_waits_for_a_turn_ends_the_job_and_counts_once() {
    let world = World::new().await;
    let (sync, job) = world.wants_back("gone", 0).await;
    world.awaits(&job, Awaits::Turn, Completion::Answer).await;
    world.tell(vec![batch(Source::Live, by_phone(1), &["gone"])]).await;
    world.tell(vec![batch(Source::Live, by_phone(1), &["gone"])]).await;
    let looked = world.look(&job, POSITUS, clock::now()).await;
    assert_eq!(looked.ended, Some(JobState::Succeeded));
    assert_eq!(world.row("SELECT origin FROM messages").await["origin"], "restored");
    let line = world.store.receipt(sync, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!((line.expected, line.fetched, line.stored), (1, 1, 1));
}
