//! Who stops a channel, and who lets it go on.

use sincro_core::channel::{ChannelState, Pause, PausedBy};
use uuid::Uuid;

use crate::world::World;

fn lost() -> Pause {
    Pause::new(PausedBy::Session, "GET /chat/history: no session")
}

#[tokio::test]
async fn a_channel_whose_session_is_lost_goes_on_when_it_is_back() {
    let world = World::new().await;
    let id = world.channel.id;
    let notice = world.store.pause_channel_at(id, world.channel.version, &lost(), None).await.unwrap().unwrap();
    assert_eq!(notice.channel.paused, Some(lost()));
    let paused = world.store.channel(id).await.unwrap();
    assert_eq!((paused.state(), paused.paused), (ChannelState::Paused, Some(lost())));

    let notice = world.store.session_back(id).await.unwrap().unwrap();
    assert_eq!((notice.channel.paused, notice.channel.version), (None, paused.version + 1));
    assert_eq!(world.store.channel(id).await.unwrap().state(), ChannelState::Active);
    assert_eq!(world.store.session_back(id).await.unwrap(), None, "it goes on already");
}

#[tokio::test]
async fn what_waits_for_a_person_does_not_go_on_by_itself() {
    let world = World::new().await;
    let id = world.channel.id;
    world.store.pause_channel(id, "new phone").await.unwrap();
    assert_eq!(world.store.session_back(id).await.unwrap(), None);
    world.store.resume_channel(id).await.unwrap();
    let banned = Pause::new(PausedBy::Gateway, "banned: GET /chat/history: 403");
    let version = world.store.channel(id).await.unwrap().version;
    assert!(world.store.pause_channel_at(id, version, &banned, None).await.unwrap().is_some());
    assert_eq!(world.store.session_back(id).await.unwrap(), None);
    assert_eq!(world.store.channel(id).await.unwrap().paused, Some(banned));
    assert_eq!(world.store.session_back(Uuid::nil()).await.unwrap(), None, "nobody knows that channel");
}

#[tokio::test]
async fn a_weaker_reason_does_not_take_the_place_of_a_stronger() {
    let world = World::new().await;
    let id = world.channel.id;
    let pause_now = async |pause: &Pause| {
        let version = world.store.channel(id).await.unwrap().version;
        world.store.pause_channel_at(id, version, pause, None).await.unwrap().is_some()
    };
    let refused = Pause::new(PausedBy::Gateway, "unauthorized: GET /chat/history: 401");
    assert!(pause_now(&lost()).await);
    assert!(!pause_now(&lost()).await, "already so");
    assert!(pause_now(&refused).await, "a new session will not help");
    assert!(!pause_now(&lost()).await);
    world.store.pause_channel(id, "looking into it").await.unwrap();
    assert!(!pause_now(&refused).await);
    let reason = world.store.channel(id).await.unwrap().paused;
    assert_eq!(reason, Some(Pause::new(PausedBy::Operator, "looking into it")));
}

#[tokio::test]
async fn a_channel_that_was_changed_since_is_not_stopped_for_what_it_was() {
    let world = World::new().await;
    world.store.resume_channel(world.channel.id).await.unwrap();
    let late = world.store.pause_channel_at(world.channel.id, world.channel.version, &lost(), None).await.unwrap();
    assert_eq!(late, None);
    assert_eq!(world.store.channel(world.channel.id).await.unwrap().paused, None);
}

#[tokio::test]
async fn a_job_that_finds_the_session_lost_again_is_told_from_the_others() {
    let world = World::new().await;
    let id = world.channel.id;
    let lost_for = async |job| {
        let version = world.store.channel(id).await.unwrap().version;
        world.store.pause_channel_at(id, version, &lost(), Some(job)).await.unwrap().is_some()
    };
    assert!(!world.store.has_lost_session(id, 7).await.unwrap());
    assert!(lost_for(7).await);
    assert!(!world.store.has_lost_session(id, 7).await.unwrap(), "nobody has found it since");
    world.store.session_back(id).await.unwrap();
    assert!(world.store.has_lost_session(id, 7).await.unwrap());
    assert!(!world.store.has_lost_session(id, 8).await.unwrap());
    assert!(lost_for(8).await);
    world.store.session_back(id).await.unwrap();
    assert!(!world.store.has_lost_session(id, 7).await.unwrap(), "the last one counts");
}
