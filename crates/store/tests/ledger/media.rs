//! Files: written down with their messages, asked for once, and noted under the fence.

use sincro_core::{
    contact::Contact,
    hook::{Batch, Event, Source},
    job::{Ending, Failure, Job, JobState, Outcome, Step},
    media::{Media, MediaPlace, MediaState, SignedLink, StoredMedia},
    message::Message,
    sync::{SyncId, SyncState},
};
use sincro_store::{Conflict, Error, inbox::Arrival, media::FileEnd, media_syncs::NewMediaSync, settle::Recorded};

use crate::world::{ATTEMPTS, World, by_phone, ids_of, message};

const MOST: u64 = 1_000;

fn with_file(id: &str, media: Media) -> Message {
    Message { media: Some(media), ..message(id) }
}

fn known(id: &str) -> Message {
    let place = Some(MediaPlace::Id(format!("file of {id}")));
    with_file(id, Media { place, mime: Some("image/jpeg".into()), ..Media::default() })
}

fn placeholder(id: &str) -> Message {
    with_file(id, Media::default())
}

fn kept() -> FileEnd {
    FileEnd::Stored { location: "file:///media/a".into(), bytes: 7, sha256: "9b".repeat(32) }
}

impl World {
    /// A sync that brings these messages of one person.
    async fn holds(&self, messages: Vec<Message>) {
        let (_, jobs) = self.sync_of(vec![by_phone(1)]).await;
        for (job, messages) in jobs.iter().zip([messages, Vec::new()]) {
            self.finish(job, messages).await;
        }
    }

    async fn comes(&self, source: Source, chat: Contact, messages: Vec<Message>) {
        let arrival = Arrival { channel: self.channel.id, content_type: String::new(), verified: true };
        let inbox = self.store.keep_hook(&arrival, b"{}").await.unwrap();
        let event = Event::Messages(Batch { source, chat, messages, exhausted: false });
        let lease = chrono::TimeDelta::seconds(60);
        self.store.ingest(inbox, self.channel.id, 0, &[event], lease).await.unwrap();
    }

    fn files(&self, limit: u32, by_request: bool) -> NewMediaSync {
        NewMediaSync {
            channel: self.channel.id,
            limit,
            most_bytes: MOST,
            by_request,
            max_attempts: ATTEMPTS,
            idempotency: None,
        }
    }

    /// A media sync and its jobs.
    async fn fetching(&self, limit: u32, by_request: bool) -> (SyncId, Vec<Job>) {
        let created = self.store.create_media_sync(self.files(limit, by_request)).await.unwrap();
        let ids: Vec<_> = created.notices.iter().flat_map(ids_of).collect();
        (created.id, self.jobs(&ids).await)
    }

    async fn ends(&self, job: &Job, end: &FileEnd) -> Recorded {
        self.store.settle_media(job, self.fence(job, job.attempts + 1), end).await.unwrap().0
    }

    async fn file(&self, message: &str) -> Option<StoredMedia> {
        let messages = self.store.messages(self.channel.id, None, None, 100).await.unwrap();
        messages.into_iter().find(|stored| stored.message_id == message).and_then(|stored| stored.media)
    }

    async fn state(&self, message: &str) -> Option<MediaState> {
        self.file(message).await.map(|media| media.state)
    }
}

fn asked(job: &Job) -> &str {
    let Step::Media { message_id, link: None } = &job.step else { panic!("{job:?}") };
    message_id
}

#[tokio::test]
async fn what_is_known_of_a_file_is_written_with_its_message_and_read_with_it() {
    let world = World::new().await;
    world.holds(vec![known("a"), placeholder("b"), message("c"), known("a")]).await;
    let file = world.file("a").await.unwrap();
    assert_eq!((file.state, file.mime.as_deref()), (MediaState::Known, Some("image/jpeg")));
    assert_eq!((file.location, file.stored_at, file.reason), (None, None, None));
    assert_eq!((world.state("b").await, world.state("c").await), (Some(MediaState::Placeholder), None));
}

#[tokio::test]
async fn a_late_asset_says_where_the_file_is_and_a_placeholder_takes_nothing_back() {
    let world = World::new().await;
    world.holds(vec![placeholder("a")]).await;
    world.comes(Source::LateAsset, by_phone(1), vec![known("a"), known("b")]).await;
    assert_eq!((world.state("a").await, world.state("b").await), (Some(MediaState::Known), Some(MediaState::Known)));
    world.comes(Source::History, by_phone(1), vec![placeholder("a")]).await;
    assert_eq!(world.state("a").await, Some(MediaState::Known));
    let wanted = world.store.wanted_media(world.channel.id, "a").await.unwrap().unwrap();
    assert_eq!(wanted.place, Some(MediaPlace::Id("file of a".into())));
}

#[tokio::test]
async fn messages_from_before_files_were_known_have_theirs_when_they_are_read_again() {
    let world = World::new().await;
    world.holds(vec![message("a")]).await;
    world.holds(vec![known("a")]).await;
    assert_eq!(world.state("a").await, Some(MediaState::Known));
}

#[tokio::test]
async fn a_file_is_stored_once_and_its_receipt_adds_up() {
    let world = World::new().await;
    world.holds(vec![known("a"), known("b"), placeholder("c")]).await;
    let (sync, jobs) = world.fetching(10, true).await;
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.contact.is_some()));
    assert_eq!(world.ends(&jobs[0], &kept()).await, Recorded::Ended);
    assert_eq!(world.ends(&jobs[0], &FileEnd::Gone("no".into())).await, Recorded::Over, "too late");
    assert_eq!(world.ends(&jobs[1], &FileEnd::Already).await, Recorded::Ended);
    let file = world.file(asked(&jobs[0])).await.unwrap();
    assert_eq!(
        (file.state, file.bytes, file.location.as_deref()),
        (MediaState::Stored, Some(7), Some("file:///media/a"))
    );
    let status = world.status(sync).await;
    let counts = (status.messages.fetched, status.messages.stored, status.messages.duplicate);
    assert_eq!((status.state, status.jobs.succeeded, counts), (SyncState::Completed, 2, (2, 1, 1)));
    let receipt = world.store.receipt(sync, 0, 10).await.unwrap();
    assert_eq!((receipt.contacts, receipt.lines.len()), (1, 2));
    assert!(receipt.lines.iter().all(|line| line.expected == 1 && line.fetched == 1));
    world
        .comes(Source::LateAsset, by_phone(1), vec![with_file(asked(&jobs[0]), known("elsewhere").media.unwrap())])
        .await;
    assert_eq!(world.state(asked(&jobs[0])).await, Some(MediaState::Stored), "what is stored stays so");
}

#[tokio::test]
async fn a_result_whose_fence_fails_changes_nothing() {
    let world = World::new().await;
    world.holds(vec![known("a")]).await;
    let (_, jobs) = world.fetching(10, true).await;
    let stale = sincro_store::settle::Fence { epoch: world.epoch + 7, ..world.fence(&jobs[0], 1) };
    let (recorded, notices) = world.store.settle_media(&jobs[0], stale, &kept()).await.unwrap();
    assert_eq!((recorded, notices.len()), (Recorded::Overtaken, 0));
    assert_eq!(world.state("a").await, Some(MediaState::Known));
}

#[tokio::test]
async fn the_newest_are_fetched_first_and_one_sync_is_open_for_a_channel() {
    let world = World::new().await;
    let aged =
        |id: &str, days| Message { sent_at: sincro_core::clock::now() - chrono::TimeDelta::days(days), ..known(id) };
    world.holds(vec![aged("old", 9), aged("new", 1), aged("middle", 5)]).await;
    let (sync, jobs) = world.fetching(2, true).await;
    assert_eq!(jobs.iter().map(asked).collect::<Vec<_>>(), ["new", "middle"]);
    let second = world.store.create_media_sync(world.files(2, true)).await.unwrap_err();
    assert!(matches!(second, Error::Conflict(Conflict::SyncRunning(open)) if open == sync));
}

#[tokio::test]
async fn a_sync_without_files_is_over_at_once() {
    let world = World::new().await;
    let (sync, jobs) = world.fetching(10, true).await;
    assert!(jobs.is_empty());
    assert_eq!(world.status(sync).await.state, SyncState::Completed);
    world.fetching(10, true).await;
}

#[tokio::test]
async fn what_failed_or_was_too_large_is_fetched_again_by_request_alone() {
    let world = World::new().await;
    world.holds(vec![known("failed"), known("large"), known("gone")]).await;
    let (_, jobs) = world.fetching(10, false).await;
    for job in &jobs {
        match asked(job) {
            "failed" => {
                let failure = Failure::new("timeout", "GET /media: no answer");
                let failed = Outcome::Ended(Ending::Failed(failure));
                world.settle(&[world.settlement(job, failed, Vec::new())]).await;
            }
            "large" => drop(world.ends(job, &FileEnd::TooLarge { limit: MOST - 1 }).await),
            _ => drop(world.ends(job, &FileEnd::Gone("404".into())).await),
        }
    }
    let failed = world.file("failed").await.unwrap();
    assert_eq!((failed.state, failed.reason.as_deref()), (MediaState::Failed, Some("timeout: GET /media: no answer")));
    assert!(world.fetching(10, false).await.1.is_empty());
    let (sync, jobs) = world.fetching(10, true).await;
    let mut again: Vec<_> = jobs.iter().map(asked).collect();
    again.sort_unstable();
    assert_eq!(again, ["failed", "large"], "the limit has been raised, and what is gone is gone");
    world.store.cancel_sync(sync, None).await.unwrap();
    world.comes(Source::LateAsset, by_phone(1), vec![with_file("gone", known("another").media.unwrap())]).await;
    let (_, jobs) = world.fetching(10, false).await;
    assert_eq!(jobs.iter().map(asked).collect::<Vec<_>>(), ["gone"], "unless it turns up somewhere else");
}

#[tokio::test]
async fn channels_are_looked_for_that_have_the_feature_and_something_nobody_asked_for() {
    let world = World::new().await;
    world.holds(vec![known("a")]).await;
    let found = async || world.store.channels_to_fetch_for(10).await.unwrap();
    assert!(found().await.is_empty(), "without the feature");
    world.execute("UPDATE channels SET features = '{import_messages,fetch_media}'").await;
    assert_eq!(found().await, [world.channel.id]);
    let (busy, _) = world.unplanned_sync().await;
    assert!(found().await.is_empty(), "while a channel sync is open");
    world.store.cancel_sync(busy, None).await.unwrap();
    let (sync, _) = world.fetching(10, false).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    assert!(found().await.is_empty(), "what was cancelled is left to people");
    world.holds(vec![known("b")]).await;
    assert_eq!(found().await, [world.channel.id]);
    world.execute("UPDATE channels SET state = 'paused', reason = 'test', paused_by = 'operator'").await;
    assert!(found().await.is_empty(), "while it stands still");
}

#[tokio::test]
async fn a_channel_that_goes_takes_what_is_known_of_its_files_along() {
    let world = World::new().await;
    world.holds(vec![known("a")]).await;
    world.store.delete_channel(world.channel.id, "test").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM media").await, 0);
}

#[tokio::test]
async fn a_job_that_was_retried_by_hand_fetches_what_failed() {
    let world = World::new().await;
    world.holds(vec![known("a")]).await;
    let (sync, jobs) = world.fetching(10, true).await;
    let failed = Outcome::Ended(Ending::Failed(Failure::new("timeout", "no answer")));
    world.settle(&[world.settlement(&jobs[0], failed, Vec::new())]).await;
    assert_eq!(world.status(sync).await.state, SyncState::CompletedWithFailures);
    let (_, notice) = world.store.retry_sync(sync, ATTEMPTS).await.unwrap();
    let job = world.jobs(&ids_of(&notice.unwrap())).await.remove(0);
    assert_eq!(world.ends(&job, &kept()).await, Recorded::Ended);
    assert_eq!(world.state("a").await, Some(MediaState::Stored));
    let line = world.store.receipt(sync, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!((line.outcome, line.stored), (JobState::Succeeded, 1));
}

#[tokio::test]
async fn a_link_to_a_file_does_not_outlive_the_attempt_that_tried_it() {
    let world = World::new().await;
    world.holds(vec![known("a")]).await;
    let (_, jobs) = world.fetching(10, true).await;
    let step = |link| Step::Media { message_id: "a".into(), link };
    let linked = step(Some(SignedLink("https://files.test/a?signature=1".into())));
    world.settle(&[world.settlement(&jobs[0], Outcome::Next(linked.clone()), Vec::new())]).await;
    let job = world.jobs(&[jobs[0].id]).await.remove(0);
    assert_eq!(job.step, linked);

    let due = sincro_core::clock::now();
    let gone = Outcome::Retry { failure: Failure::new("link_gone", "status 404"), due };
    let again = Job { step: step(None), ..job };
    world.settle(&[world.settlement(&again, gone, Vec::new())]).await;
    assert_eq!(world.jobs(&[again.id]).await[0].step, step(None), "the next attempt asks the gateway again");
}
