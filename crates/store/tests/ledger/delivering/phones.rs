//! Requests to phones: one at a time for each account, however many channels lead to it, and not too many.

use secrecy::SecretString;
use sincro_core::{
    channel::{Channel, ChannelId},
    job::JobId,
};
use sincro_store::{
    channels::{ChannelChange, NewCredentials},
    requests::RequestEnd,
};

use super::*;

const SERVER: &str = "http://127.0.0.1:2";

/// Whoever says so leads to this account.
fn account(name: &str) -> NewCredentials {
    NewCredentials { text: SecretString::from(name), account: Some(SecretString::from(name)) }
}

impl World {
    /// A channel at a server that leads to an account there.
    async fn channel_to(&self, name: &str, server: &str) -> Channel {
        let channel = self.channel_at(Provider::Wsapi, server).await;
        let change = ChannelChange { credentials: Some(account(name)), ..ChannelChange::default() };
        self.store.change_channel(channel.id, change, "test").await.unwrap().0
    }

    /// The job of a ticket sync of a channel, about to ask a phone.
    async fn about_to_ask_phone(&self, channel: ChannelId, n: u32) -> Job {
        let wanted = NewSync { channel, capabilities: WSAPI, ..self.wanted(Some(vec![by_phone(n)])) };
        let created = self.store.create_sync(wanted).await.unwrap();
        self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0)
    }

    async fn leave(&self, job: &Job, pace: &Pace) -> Leave {
        let request = Request { awaits: Awaits::Delivery, rule: Completion::Reply, once: None, token: Uuid::now_v7() };
        self.store.begin_request(job, self.fence(job, job.attempts + 1), request, pace).await.unwrap().unwrap()
    }

    /// The jobs that are let go on at some time.
    async fn given(&self, pace: &Pace, at: DateTime<Utc>) -> Vec<JobId> {
        self.store.give_turns(pace, at).await.unwrap().iter().flat_map(ids_of).collect()
    }

    async fn over(&self, job: &Job) {
        let end = Outcome::Ended(Ending::Succeeded);
        assert_eq!(self.settle(&[self.settlement(job, end, Vec::new())]).await.recorded[0], Recorded::Ended);
    }
}

#[tokio::test]
async fn channels_that_lead_to_one_account_have_its_phone_asked_one_request_at_a_time() {
    let world = World::new().await;
    let first = world.channel_to("ana's number", SERVER).await;
    let twin = world.channel_to("ana's number", SERVER).await;
    let job = world.about_to_ask_phone(first.id, 1).await;
    let of_twin = world.about_to_ask_phone(twin.id, 1).await;
    assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go);
    assert_eq!(world.armed(&of_twin, Completion::Reply).await, Leave::NotYet);
    world.awaits(&of_twin, Awaits::Turn, Completion::Reply).await;
    assert!(world.given(&AT_ONCE, clock::now()).await.is_empty());

    for (name, server) in [("ben's number", SERVER), ("ana's number", "http://127.0.0.1:3")] {
        let other = world.channel_to(name, server).await;
        let job = world.about_to_ask_phone(other.id, 1).await;
        assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go, "{name} at {server} is somebody else's");
    }
    let bare = world.channel_at(Provider::Wsapi, SERVER).await;
    let job_of_bare = world.about_to_ask_phone(bare.id, 1).await;
    assert_eq!(world.armed(&job_of_bare, Completion::Reply).await, Leave::Go, "nobody knows whose that is");

    world.over(&job).await;
    assert_eq!(world.given(&AT_ONCE, clock::now()).await, [of_twin.id]);
}

#[tokio::test]
async fn a_phone_that_was_asked_as_often_as_it_may_be_is_asked_later() {
    let world = World::new().await;
    let channel = world.channel_to("ana's number", SERVER).await;
    let hourly = Pace { per_hour: 1, ..AT_ONCE };
    let daily = Pace { per_day: 2, ..AT_ONCE };
    let asked = world.about_to_ask_phone(channel.id, 1).await;
    assert_eq!(world.leave(&asked, &hourly).await, Leave::Go);
    world.over(&asked).await;

    let next = world.about_to_ask_phone(channel.id, 2).await;
    assert_eq!(world.leave(&next, &hourly).await, Leave::NotYet);
    world.awaits(&next, Awaits::Turn, Completion::Reply).await;
    assert!(world.given(&hourly, clock::now() + TimeDelta::minutes(59)).await.is_empty());
    assert_eq!(world.given(&hourly, clock::now() + TimeDelta::minutes(61)).await, [next.id]);
    let next = world.jobs(&[next.id]).await.remove(0);
    assert_eq!(world.leave(&next, &hourly).await, Leave::Go, "who has the turn may ask");
    world.over(&next).await;

    let third = world.about_to_ask_phone(channel.id, 3).await;
    assert_eq!(world.leave(&third, &daily).await, Leave::NotYet);
    world.awaits(&third, Awaits::Turn, Completion::Reply).await;
    assert!(world.given(&daily, clock::now() + TimeDelta::hours(23)).await.is_empty());
    assert_eq!(world.given(&daily, clock::now() + TimeDelta::hours(25)).await, [third.id]);
}

#[tokio::test]
async fn what_stands_still_keeps_no_turn_from_a_channel_that_leads_to_the_same_account() {
    let world = World::new().await;
    let first = world.channel_to("ana's number", SERVER).await;
    let twin = world.channel_to("ana's number", SERVER).await;
    let job = world.about_to_ask_phone(first.id, 1).await;
    let of_twin = world.about_to_ask_phone(twin.id, 1).await;
    world.awaits(&job, Awaits::Turn, Completion::Reply).await;
    world.awaits(&of_twin, Awaits::Turn, Completion::Reply).await;
    assert_eq!(world.given(&AT_ONCE, clock::now()).await, [job.id], "the oldest");
    world.store.pause_channel(first.id, "for a while").await.unwrap();
    assert_eq!(world.store.free_turns(&waits(), clock::now()).await.unwrap(), 1, "it had asked for nothing");
    assert_eq!(world.given(&AT_ONCE, clock::now()).await, [of_twin.id], "what is paused is passed over");

    // What may have been asked is waited for.
    let of_twin = world.jobs(&[of_twin.id]).await.remove(0);
    assert_eq!(world.armed(&of_twin, Completion::Reply).await, Leave::Go);
    world.store.pause_channel(twin.id, "for a while").await.unwrap();
    assert_eq!(world.store.free_turns(&waits(), clock::now()).await.unwrap(), 0);
    assert_eq!(world.store.free_turns(&waits(), clock::now() + TimeDelta::minutes(3)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_turn_outlives_the_oldest_channel_of_its_account() {
    let world = World::new().await;
    let oldest = world.channel_to("ana's number", SERVER).await;
    let second = world.channel_to("ana's number", SERVER).await;
    let third = world.channel_to("ana's number", SERVER).await;
    let job = world.about_to_ask_phone(second.id, 1).await;
    assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go);
    world.store.delete_channel(oldest.id, "test").await.unwrap();
    let next = world.about_to_ask_phone(third.id, 1).await;
    assert_eq!(world.armed(&next, Completion::Reply).await, Leave::NotYet);
}

#[tokio::test]
async fn a_request_that_was_not_made_costs_the_phone_nothing() {
    let world = World::new().await;
    let channel = world.channel_to("ana's number", SERVER).await;
    let hourly = Pace { per_hour: 1, ..AT_ONCE };
    let job = world.about_to_ask_phone(channel.id, 1).await;
    let request = Request { awaits: Awaits::Delivery, rule: Completion::Reply, once: None, token: Uuid::now_v7() };
    for _ in 0..2 {
        let leave = world.store.begin_request(&job, world.fence(&job, 1), request, &hourly).await.unwrap().unwrap();
        assert_eq!(leave, Leave::Go, "offered again, it counts once");
    }
    assert_eq!(world.count("SELECT count(*) FROM phone_requests").await, 1);
    world.store.end_request(&job, request.token, RequestEnd::Refused, "too late").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM phone_requests").await, 0);
    world.over(&job).await;
    let next = world.about_to_ask_phone(channel.id, 2).await;
    assert_eq!(world.leave(&next, &hourly).await, Leave::Go);
}

#[tokio::test]
async fn a_phone_that_has_sent_some_is_asked_for_more_when_it_is_the_jobs_turn_again() {
    let world = World::new().await;
    let channel = world.channel.id;
    let job = world.about_to_ask_phone(channel, 1).await;
    assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go);
    world.awaits(&job, Awaits::Delivery, Completion::Reply).await;
    // Thirteen times the same webhook: 2 messages and not 26.
    for _ in 0..13 {
        world.tell(vec![batch(Source::OnDemand, by_phone(1), &["a", "b"])]).await;
    }
    let looked = world.look(&job, WSAPI, clock::now() + TimeDelta::seconds(10)).await;
    assert!(looked.ended.is_none() && looked.notices.is_empty(), "{looked:?}");
    assert_eq!(world.row("SELECT awaits FROM awaiting_jobs").await["awaits"], "turn");
    let spaced = Pace { gap: Duration::from_hours(1), ..AT_ONCE };
    assert!(world.given(&spaced, clock::now()).await.is_empty(), "the phone rests first");
    assert_eq!(world.given(&AT_ONCE, clock::now()).await, [job.id]);
}

#[tokio::test]
async fn a_turn_rests_for_once_to_twice_the_usual_time() {
    let world = World::new().await;
    let channel = world.channel_to("ana's number", SERVER).await;
    let unhurried = Pace { gap: Duration::from_hours(1), ..AT_ONCE };
    let mut jitters = Vec::new();
    for n in 0..4 {
        let job = world.about_to_ask_phone(channel.id, n).await;
        assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go);
        world.over(&job).await;
        jitters.push(world.row("SELECT jitter FROM account_turns").await["jitter"].as_f64().unwrap());
    }
    assert!(jitters.iter().all(|jitter| (0.0..1.0).contains(jitter)), "{jitters:?}");
    jitters.dedup();
    assert_eq!(jitters.len(), 4, "drawn anew each time");

    let waits = world.about_to_ask_phone(channel.id, 9).await;
    assert_eq!(world.leave(&waits, &unhurried).await, Leave::NotYet);
    world.awaits(&waits, Awaits::Turn, Completion::Reply).await;
    assert!(world.given(&unhurried, clock::now() + TimeDelta::minutes(59)).await.is_empty());
    assert_eq!(world.given(&unhurried, clock::now() + TimeDelta::minutes(121)).await, [waits.id]);
}
