//! Looks at a channel's set-up: one at a time, each settled once, and nothing secret lies about.

use secrecy::ExposeSecret as _;
use sincro_core::{
    check::{Aspect, Finding, Health, Stage},
    gateway::Kept,
    job::{Job, Registering, Step},
    sync::{SyncId, SyncKind, SyncState},
};
use sincro_store::{Conflict, Error, checks::Look, settle::Recorded, syncs::NewSync};

use crate::world::{World, ids_of};

const CONNECT: Option<Registering> = Some(Registering { replace: false, seen: None, again: false, lost: false });

fn step(at: Stage) -> Step {
    Step::Look { at, connect: CONNECT }
}

fn look(findings: Vec<Finding>, next: Option<Step>) -> Look {
    Look { findings, next, kept: None, secret: None }
}

impl World {
    fn wanted_check(&self) -> NewSync {
        NewSync { kind: SyncKind::Check, only: Some(step(Stage::Session)), ..self.wanted(None) }
    }

    async fn check(&self) -> (SyncId, Job) {
        let created = self.store.create_sync(self.wanted_check()).await.unwrap();
        let job = self.jobs(&ids_of(&created.notice.unwrap())).await.remove(0);
        (created.id, job)
    }

    async fn refused_check(&self) -> Conflict {
        let refused = self.store.create_sync(self.wanted_check()).await.unwrap_err();
        let Error::Conflict(conflict) = refused else { panic!("{refused}") };
        conflict
    }
}

#[tokio::test]
async fn later_findings_take_the_place_of_earlier_ones_and_the_last_look_ends_the_sync() {
    let world = World::new().await;
    let (sync, job) = world.check().await;
    let bad = |says: &str| Finding::of(Aspect::Webhooks, Health::Bad, says, "mend it");
    let first = look(vec![Finding::good(Aspect::Session, "there"), bad("none")], Some(step(Stage::Webhooks)));
    let (recorded, _) = world.store.settle_look(&job, world.fence(&job, 1), &first).await.unwrap();
    assert_eq!(recorded, Recorded::Next);
    let job = world.jobs(&[job.id]).await.remove(0);
    assert_eq!(job.step, step(Stage::Webhooks));

    let last = look(vec![Finding::good(Aspect::Webhooks, "ours")], None);
    let (recorded, _) = world.store.settle_look(&job, world.fence(&job, 1), &last).await.unwrap();
    assert_eq!(recorded, Recorded::Ended);
    let check = world.store.last_check(world.channel.id).await.unwrap().unwrap();
    assert_eq!((check.sync.id, check.sync.state), (sync, SyncState::Completed));
    let healths: Vec<_> = check.findings.iter().map(|finding| (finding.about, finding.health)).collect();
    assert_eq!(healths, [(Aspect::Session, Health::Good), (Aspect::Webhooks, Health::Good)]);
    let line = world.store.receipt(sync, 0, 10).await.unwrap().lines.remove(0);
    assert_eq!((line.expected, line.fetched), (0, 0), "a look asks for no messages");
}

#[tokio::test]
async fn a_look_whose_fence_fails_writes_nothing() {
    let world = World::new().await;
    let (_, job) = world.check().await;
    let seen = look(vec![Finding::good(Aspect::Session, "there")], Some(step(Stage::Webhooks)));
    world.store.settle_look(&job, world.fence(&job, 2), &seen).await.unwrap();
    let late = look(vec![Finding::of(Aspect::Session, Health::Bad, "gone", "mend it")], None);
    let (recorded, notices) = world.store.settle_look(&job, world.fence(&job, 1), &late).await.unwrap();
    assert_eq!((recorded, notices.len()), (Recorded::Overtaken, 0));
    let check = world.store.last_check(world.channel.id).await.unwrap().unwrap();
    assert_eq!(check.findings, seen.findings);
}

#[tokio::test]
async fn one_look_at_a_channel_is_open_at_a_time_and_none_while_it_stands_still() {
    let world = World::new().await;
    let (sync, job) = world.check().await;
    assert_eq!(world.refused_check().await, Conflict::SyncRunning(sync));
    world.store.settle_look(&job, world.fence(&job, 1), &look(Vec::new(), None)).await.unwrap();
    world.check().await;
    world
        .store
        .cancel_sync(world.store.last_check(world.channel.id).await.unwrap().unwrap().sync.id, None)
        .await
        .unwrap();
    world.store.pause_channel(world.channel.id, "for a while").await.unwrap();
    assert_eq!(world.refused_check().await, Conflict::ChannelPaused);
}

#[tokio::test]
async fn other_receivers_are_sealed_while_they_are_needed_and_forgotten_afterwards() {
    let world = World::new().await;
    let (_, job) = world.check().await;
    let receivers = r#"[{"url":"https://theirs","headers":{"X-Key":"hush"}}]"#;
    let seen = Look { kept: Some(Kept(receivers.to_owned())), ..look(Vec::new(), Some(step(Stage::Registration))) };
    world.store.settle_look(&job, world.fence(&job, 1), &seen).await.unwrap();
    let job = world.jobs(&[job.id]).await.remove(0);
    assert_eq!(world.store.kept_receivers(&job).await.unwrap().unwrap().0, receivers);
    let readable = "SELECT count(*) FROM channel_checks WHERE position('hush'::bytea IN receivers) > 0";
    assert_eq!(world.count(readable).await, 0);
    world.store.settle_look(&job, world.fence(&job, 1), &look(Vec::new(), None)).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM channel_checks WHERE receivers IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_secret_that_the_gateway_made_goes_into_the_credentials_with_the_look() {
    let world = World::new().await;
    let (_, job) = world.check().await;
    let seen = Look { secret: Some(("webhook_secret", "00ff".into())), ..look(Vec::new(), None) };
    let (_, notices) = world.store.settle_look(&job, world.fence(&job, 1), &seen).await.unwrap();
    let connection = world.store.connection(world.channel.id).await.unwrap();
    assert_eq!(connection.credentials.expose_secret(), r#"{"token":"t","webhook_secret":"00ff"}"#);
    assert!(connection.channel.version > world.channel.version, "whoever knew the channel before has to ask anew");
    assert!(!notices.is_empty(), "and the queue hears of it");
}
