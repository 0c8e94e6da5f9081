//! Rests outlive the queue.

use std::time::Duration;

use sincro_core::{clock, limit::KeptCooldown};
use sincro_store::channels::ChannelChange;
use uuid::Uuid;

use crate::world::World;

fn rest(world: &World, channel: bool, seconds: u64, reason: &str) -> KeptCooldown {
    KeptCooldown {
        server: world.channel.server(),
        channel: channel.then_some(world.channel.id),
        left: Duration::from_secs(seconds),
        reason: reason.to_owned(),
    }
}

async fn kept(world: &World) -> Vec<KeptCooldown> {
    let mut restoration = world.store.lock_restoration("test", 1).await.unwrap().unwrap();
    let kept = restoration.cooldowns().await.unwrap();
    restoration.end().await.unwrap();
    kept
}

/// Of the one rest that is kept: its reason, and whether about so many seconds of it are left.
async fn the_one(world: &World, seconds: u64) -> (String, bool) {
    let [kept] = &kept(world).await[..] else { panic!("not one rest") };
    (kept.reason.clone(), (seconds - 30..=seconds).contains(&kept.left.as_secs()))
}

#[tokio::test]
async fn a_rest_is_kept_until_it_is_over_and_never_made_shorter() {
    let world = World::new().await;
    let long = rest(&world, true, 600, "throttled: GET /chat/history: 429");
    world.store.note_cooldown(&long).await.unwrap();
    world.store.note_cooldown(&rest(&world, true, 60, "throttled: sooner")).await.unwrap();
    assert_eq!(the_one(&world, 600).await, (long.reason, true));
    let longer = rest(&world, true, 900, "throttled: later");
    world.store.note_cooldown(&longer).await.unwrap();
    world.store.note_cooldown(&rest(&world, false, 0, "unreachable: it was")).await.unwrap();
    assert_eq!(the_one(&world, 900).await, (longer.reason, true), "and nothing that is over");
}

#[tokio::test]
async fn a_server_and_a_channel_rest_each_for_itself_and_the_view_shows_the_longer() {
    let world = World::new().await;
    let (channel, server) = (60, 600);
    world.store.note_cooldown(&rest(&world, true, channel, "throttled")).await.unwrap();
    world.store.note_cooldown(&rest(&world, false, server, "unreachable")).await.unwrap();
    let kept = kept(&world).await;
    let left = |channel| kept.iter().find(|kept| kept.channel == channel).unwrap().left;
    assert!(left(Some(world.channel.id)) <= Duration::from_secs(channel) && left(None) > Duration::from_secs(channel));
    let shown = "SELECT cooldown_until, cooldown_reason FROM channel_status";
    assert_eq!(world.row(shown).await["cooldown_reason"], "server unreachable");
    world.execute("UPDATE cooldowns SET until = now() WHERE channel_id IS NULL").await;
    assert_eq!(world.row(shown).await["cooldown_reason"], "throttled");
    world.execute("UPDATE cooldowns SET until = now()").await;
    assert!(world.row(shown).await["cooldown_until"].is_null());
}

#[tokio::test]
async fn a_channel_leaves_its_rest_behind_when_it_moves_or_goes() {
    let world = World::new().await;
    let id = world.channel.id;
    world.store.note_cooldown(&rest(&world, true, 600, "throttled")).await.unwrap();
    let renamed = ChannelChange { name: Some("other".into()), ..ChannelChange::default() };
    world.store.change_channel(id, renamed, "test").await.unwrap();
    assert_eq!(kept(&world).await.len(), 1);
    let base_url = Some("http://127.0.0.1:2".parse().unwrap());
    world.store.change_channel(id, ChannelChange { base_url, ..ChannelChange::default() }, "test").await.unwrap();
    assert_eq!(kept(&world).await, []);

    world.store.note_cooldown(&rest(&world, true, 600, "throttled")).await.unwrap();
    world.store.delete_channel(id, "test").await.unwrap();
    assert_eq!(kept(&world).await, []);
    let unknown = KeptCooldown { channel: Some(Uuid::nil()), ..rest(&world, true, 60, "throttled") };
    world.store.note_cooldown(&unknown).await.unwrap();
    assert_eq!(kept(&world).await, []);
}

#[tokio::test]
async fn a_rest_is_as_long_for_a_process_whose_clock_is_wrong() {
    let world = World::new().await;
    for wrong_s in [-3_600, 3_600] {
        clock::set_thread(wrong_s * 1_000_000);
        world.store.note_cooldown(&rest(&world, true, 600, "throttled")).await.unwrap();
        clock::set_thread(-wrong_s * 1_000_000);
        assert_eq!(the_one(&world, 600).await, ("throttled".to_owned(), true));
        clock::set_thread(0);
    }
}
