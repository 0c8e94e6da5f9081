//! Requests to phones: one at a time for each account, however many channels lead to it, and not too many.

use secrecy::SecretString;
use sincro_core::{
    channel::{Channel, ChannelId},
    job::JobId,
};
use sincro_store::channels::{ChannelChange, NewCredentials};

use super::*;

const SERVER: &str = "http://127.0.0.1:2";

/// Whoever says so leads to this account.
fn account(name: &str) -> Option<NewCredentials> {
    Some(NewCredentials { text: SecretString::from(name), account: Some(SecretString::from(name)) })
}

impl World {
    /// A channel at a server that leads to an account there.
    async fn channel_to(&self, name: &str, server: &str) -> Channel {
        let channel = self.channel_at(Provider::Wsapi, server).await;
        let change = ChannelChange { credentials: account(name), ..ChannelChange::default() };
        self.store.change_channel(channel.id, change, "test").await.unwrap().0
    }

    /// The job of a ticket sync of a channel, about to ask a phone.
    async fn about_to_ask_phone(&self, channel: ChannelId, n: u32) -> Job {
        let wanted = NewSync { channel, capabilities: WSAPI, ..self.wanted(Some(vec![by_phone(n)])) };
        let created = self.store.create_sync(wanted).await.unwrap();
        self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0)
    }

    async fn leave(&self, job: &Job, pace: &Pace) -> Leave {
        let request = Request { rule: Completion::Reply, once: None, token: Uuid::now_v7() };
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
async fn a_turn_rests_for_once_to_twice_the_usual_time() {
    let world = World::new().await;
    let channel = world.channel_to("ana's number", SERVER).await;
    let unhurried = Pace { gap: Duration::from_hours(1), ..AT_ONCE };
    let mut jitters = Vec::new();
    for n in 0..4 {
        let job = world.about_to_ask_phone(channel.id, n).await;
        assert_eq!(world.armed(&job, Completion::Reply).await, Leave::Go);
        world.over(&job).await;
        jitters.push(world.row("SELECT jitter FROM turns").await["jitter"].as_f64().unwrap());
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
