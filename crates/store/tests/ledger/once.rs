//! Requests that are made once: in the ledger before they are made, and never made again by themselves.

use chrono::TimeDelta;
use sincro_core::{
    awaiting::{Awaits, Completion, Waits},
    clock,
    hook::Event,
    job::{Job, Outcome, Step},
    once::Hindrance,
    provider::{Capabilities, OneShot, Provider},
};
use sincro_store::{
    inbox::Arrival,
    requests::{Leave, Request, RequestEnd, made_once},
    syncs::{NewSync, SyncFilter},
};
use uuid::Uuid;

use crate::world::{AT_ONCE, World, ids_of};

const POSITUS: Capabilities =
    Capabilities { contact_list: false, ..Capabilities::per_account(Provider::Positus, Completion::Progress) };

fn request(job: &Job, token: Uuid) -> Request {
    Request { awaits: Awaits::Delivery, rule: Completion::Progress, once: made_once(&job.step), token }
}

impl World {
    /// The job of a new channel sync, about to ask for history; earlier syncs are cancelled.
    async fn about_to_ask(&self) -> Job {
        for open in self.store.syncs(&SyncFilter::default(), 10).await.unwrap() {
            if !open.state.is_terminal() {
                self.store.cancel_sync(open.id, None).await.unwrap();
            }
        }
        self.store.free_turns(&Waits::default(), clock::now()).await.unwrap();
        let wanted = NewSync { capabilities: POSITUS, ..self.wanted(None) };
        let created = self.store.create_sync(wanted).await.unwrap();
        let job = self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
        self.settle(&[self.settlement(&job, Outcome::Next(Step::RequestHistory), Vec::new())]).await;
        self.jobs(&[job.id]).await.remove(0)
    }

    async fn ask(&self, job: &Job) -> Leave {
        let fence = self.fence(job, job.attempts + 1);
        let request = request(job, Uuid::now_v7());
        self.store.begin_request(job, fence, request, &AT_ONCE).await.unwrap().unwrap()
    }

    /// The last request that was begun has ended.
    async fn ended(&self, job: &Job, end: RequestEnd) {
        let token = sqlx::query_scalar("SELECT token FROM account_requests ORDER BY id DESC LIMIT 1");
        let token: Uuid = token.fetch_one(&self.sql).await.unwrap();
        self.store.end_request(job, token, end, "so it was").await.unwrap();
    }
}

#[tokio::test]
async fn whoever_gets_the_job_after_a_crash_finds_the_attempt_and_makes_no_second_one() {
    let world = World::new().await;
    let job = world.about_to_ask().await;
    assert_eq!(world.ask(&job).await, Leave::Go);
    assert_eq!(world.ask(&job).await, Leave::Made { surely: false });
    world.ended(&job, RequestEnd::Accepted).await;
    assert_eq!(world.ask(&job).await, Leave::Made { surely: true });
}

#[tokio::test]
async fn another_sync_does_not_ask_again_until_somebody_allows_it() {
    let world = World::new().await;
    let first = world.about_to_ask().await;
    world.ask(&first).await;
    world.ended(&first, RequestEnd::Unknown).await;
    let second = world.about_to_ask().await;
    assert!(matches!(world.ask(&second).await, Leave::Spent { accepted: false, state, .. } if state == "unknown"));
    assert_eq!(world.store.allow_requests(world.channel.id).await.unwrap(), 1);
    assert_eq!(world.ask(&second).await, Leave::Go);
    assert_eq!(world.count("SELECT count(*) FROM account_requests").await, 2, "what was is kept");
}

#[tokio::test]
async fn a_request_that_was_surely_not_taken_can_be_made_again() {
    let world = World::new().await;
    let job = world.about_to_ask().await;
    world.ask(&job).await;
    world.ended(&job, RequestEnd::Refused).await;
    assert_eq!(world.count("SELECT count(*) FROM awaiting_jobs").await, 0, "nothing is waited for");
    assert_eq!(world.ask(&job).await, Leave::Go);
}

#[tokio::test]
async fn a_new_pairing_is_a_new_chance() {
    let world = World::new().await;
    let first = world.about_to_ask().await;
    world.ask(&first).await;
    world.ended(&first, RequestEnd::Accepted).await;
    let channel = world.channel.id;
    let arrival = Arrival { channel, content_type: String::new(), verified: true };
    let inbox = world.store.keep_hook(&arrival, b"{}").await.unwrap();
    world.store.ingest(inbox, channel, 0, &[Event::Paired(None)], TimeDelta::seconds(60)).await.unwrap();
    let second = world.about_to_ask().await;
    assert_eq!(world.ask(&second).await, Leave::Go);
}

#[tokio::test]
async fn a_number_that_was_onboarded_too_long_ago_is_not_asked_unless_somebody_allows_it() {
    let world = World::new().await;
    let one_shot = OneShot {
        within: Some(std::time::Duration::from_hours(24)),
        keeps_for: None,
        after_initial_sync: false,
        risk: "everything",
    };
    let hindrance = async || world.store.facts(world.channel.id).await.unwrap().hindrance(one_shot, clock::now());
    assert_eq!(hindrance().await, None);
    world.execute("UPDATE channels SET created_at = now() - interval '25 hours'").await;
    assert!(matches!(hindrance().await, Some(Hindrance::TooLate(why)) if why.detail.contains("25 hours")));
    world.store.allow_requests(world.channel.id).await.unwrap();
    assert_eq!(hindrance().await, None);
}

#[tokio::test]
async fn an_offer_that_is_repeated_because_its_answer_was_lost_is_still_leave_to_go() {
    let world = World::new().await;
    let job = world.about_to_ask().await;
    let fence = world.fence(&job, 1);
    let request = request(&job, Uuid::now_v7());
    for _ in 0..2 {
        let leave = world.store.begin_request(&job, fence, request, &AT_ONCE).await.unwrap().unwrap();
        assert_eq!(leave, Leave::Go);
    }
    world.store.end_request(&job, Uuid::now_v7(), RequestEnd::Refused, "somebody else's").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM account_requests WHERE state = 'attempting'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM awaiting_jobs").await, 1);
}
