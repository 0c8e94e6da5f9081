//! Media that come on their own, whenever they like; and where a request for what is older begins.

use sincro_core::message::MessageKind;

use super::*;

/// A picture with its words, so many minutes old.
fn asset(chat: Contact, id: &str, minutes: i64) -> Event {
    let mut event = batch(Source::LateAsset, chat, &[id]);
    let Event::Messages(Batch { messages, .. }) = &mut event else { unreachable!() };
    messages[0].kind = MessageKind::Image;
    messages[0].text = Some("caption".to_owned());
    messages[0].sent_at -= TimeDelta::minutes(minutes);
    event
}

/// One message so many minutes old.
fn said(id: &str, from_me: bool, minutes: i64) -> Message {
    let message = message(id);
    Message { from_me, sent_at: message.sent_at - TimeDelta::minutes(minutes), ..message }
}

fn thread(chat: Contact, messages: Vec<Message>) -> Event {
    Event::Messages(Batch { source: Source::History, chat, messages, exhausted: false })
}

#[tokio::test]
async fn a_late_asset_neither_delays_nor_credits_a_job_that_waits() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![history(by_phone(1), &["a", "b"]), percent(100)]).await;
    let waiting = "SELECT heard_at, look_at, delivered, told FROM awaiting_jobs";
    let (before, status) = (world.row(waiting).await, world.status(sync).await);

    // One completes what came, one is of somebody else, one is of a person nobody knows yet.
    world.tell(vec![asset(by_phone(1), "a", 0), asset(by_phone(2), "c", 0), asset(by_lid(3), "d", 0)]).await;
    assert_eq!(world.row(waiting).await, before);
    assert_eq!(world.status(sync).await, status);
    assert_eq!(world.count("SELECT count(*) FROM messages WHERE kind = 'image' AND text = 'caption'").await, 3);
    assert_eq!(world.count("SELECT count(*) FROM messages WHERE job_id IS NULL").await, 2);

    let heard: DateTime<Utc> = serde_json::from_value(before["heard_at"].clone()).unwrap();
    let quiet = TimeDelta::from_std(waits().quiet).unwrap();
    assert_eq!(world.look(&job, POSITUS, heard + quiet - TimeDelta::seconds(1)).await.ended, None);
    assert_eq!(world.look(&job, POSITUS, heard + quiet).await.ended, Some(JobState::Succeeded));
    let receipt = world.store.receipt(sync, 0, 100).await.unwrap();
    let fetched: Vec<_> = receipt.lines.iter().filter(|line| line.fetched > 0).map(|line| line.fetched).collect();
    assert_eq!((fetched, receipt.messages.fetched, receipt.messages.stored), (vec![2], 2, 2));
}

#[tokio::test]
async fn late_assets_alone_are_not_what_a_request_waits_for() {
    let world = World::new().await;
    let (sync, job) = world.account_sync(POSITUS, None).await;
    world.armed(&job, Completion::Progress).await;
    world.awaits(&job, Awaits::Delivery, Completion::Progress).await;
    world.tell(vec![asset(by_phone(1), "a", 0)]).await;
    assert_eq!(world.look(&job, POSITUS, in_an_hour()).await.ended, None);
    let ended = world.look(&job, POSITUS, clock::now() + TimeDelta::hours(2)).await.ended;
    assert_eq!(ended, Some(JobState::Empty));
    assert_eq!(world.row("SELECT reason FROM jobs").await["reason"], NothingReason::NothingReceived.as_str());
    assert_eq!(world.status(sync).await.messages.fetched, 0);
    assert_eq!(world.count("SELECT count(*) FROM messages").await, 1, "kept all the same");
}

#[tokio::test]
async fn an_anchor_that_must_be_incoming_passes_over_own_messages() {
    let world = World::new().await;
    world
        .tell(vec![
            thread(
                by_phone(1),
                vec![said("own, oldest", true, 9), said("came", false, 5), said("came later", false, 1)],
            ),
            thread(by_phone(2), vec![said("own alone", true, 9)]),
            thread(by_phone(3), vec![said("somebody else\'s", false, 60)]),
        ])
        .await;
    let wanted = NewSync { capabilities: WSAPI, ..world.wanted(Some(vec![by_phone(1), by_phone(2), by_phone(4)])) };
    let created = world.store.create_sync(wanted).await.unwrap();
    let jobs = world.jobs(&ids_of(&created.notice.unwrap())).await;
    let anchor = async |job: &Job, incoming: bool| -> Option<(String, bool)> {
        let anchor = world.store.anchor(job, incoming).await.unwrap();
        anchor.map(|anchor| (anchor.message_id, anchor.from_me))
    };
    assert_eq!(anchor(&jobs[0], true).await, Some(("came".to_owned(), false)));
    assert_eq!(anchor(&jobs[0], false).await, Some(("own, oldest".to_owned(), true)));
    assert_eq!(anchor(&jobs[1], true).await, None, "there is nothing that came");
    assert_eq!(anchor(&jobs[1], false).await, Some(("own alone".to_owned(), true)));
    assert_eq!(anchor(&jobs[2], true).await, None, "there is nothing at all");

    // An older one that came makes the next anchor, under whatever identity of the person.
    world.tell(vec![thread(by_both(1), vec![said("own, older", true, 20), said("came first", false, 15)])]).await;
    assert_eq!(anchor(&jobs[0], true).await, Some(("came first".to_owned(), false)));
    assert_eq!(anchor(&jobs[0], false).await, Some(("own, older".to_owned(), true)));
}
