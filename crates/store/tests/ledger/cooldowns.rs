//! Rests outlive the queue.

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    clock,
    limit::{Cooldown, KeptCooldown},
};
use sincro_store::channels::ChannelChange;
use uuid::Uuid;

use crate::world::World;

/// Postgres keeps microseconds.
fn in_seconds(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(clock::now().timestamp_micros()).unwrap() + TimeDelta::seconds(seconds)
}

fn rest(world: &World, channel: bool, until: DateTime<Utc>, reason: &str) -> KeptCooldown {
    KeptCooldown {
        server: world.channel.server(),
        channel: channel.then_some(world.channel.id),
        cooldown: Cooldown { until, reason: reason.to_owned() },
    }
}

async fn kept(world: &World) -> Vec<KeptCooldown> {
    let mut restoration = world.store.lock_restoration("test", 1).await.unwrap().unwrap();
    let kept = restoration.cooldowns().await.unwrap();
    restoration.end().await.unwrap();
    kept
}

#[tokio::test]
async fn a_rest_is_kept_until_it_is_over_and_never_made_shorter() {
    let world = World::new().await;
    let long = rest(&world, true, in_seconds(600), "throttled: GET /chat/history: 429");
    world.store.note_cooldown(&long).await.unwrap();
    world.store.note_cooldown(&rest(&world, true, in_seconds(60), "throttled: sooner")).await.unwrap();
    assert_eq!(kept(&world).await, std::slice::from_ref(&long));
    let longer = rest(&world, true, in_seconds(900), "throttled: later");
    world.store.note_cooldown(&longer).await.unwrap();
    world.store.note_cooldown(&rest(&world, false, in_seconds(-1), "unreachable: it was")).await.unwrap();
    assert_eq!(kept(&world).await, std::slice::from_ref(&longer), "and nothing that is over");
}

#[tokio::test]
async fn a_server_and_a_channel_rest_each_for_itself_and_the_view_shows_the_longer() {
    let world = World::new().await;
    let (channel, server) = (in_seconds(60), in_seconds(600));
    world.store.note_cooldown(&rest(&world, true, channel, "throttled")).await.unwrap();
    world.store.note_cooldown(&rest(&world, false, server, "unreachable")).await.unwrap();
    let ends: Vec<_> = kept(&world).await.iter().map(|kept| (kept.channel, kept.cooldown.until)).collect();
    assert!(ends.contains(&(Some(world.channel.id), channel)) && ends.contains(&(None, server)));
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
    world.store.note_cooldown(&rest(&world, true, in_seconds(600), "throttled")).await.unwrap();
    let renamed = ChannelChange { name: Some("other".into()), ..ChannelChange::default() };
    world.store.change_channel(id, renamed, "test").await.unwrap();
    assert_eq!(kept(&world).await.len(), 1);
    let base_url = Some("http://127.0.0.1:2".parse().unwrap());
    world.store.change_channel(id, ChannelChange { base_url, ..ChannelChange::default() }, "test").await.unwrap();
    assert_eq!(kept(&world).await, []);

    world.store.note_cooldown(&rest(&world, true, in_seconds(600), "throttled")).await.unwrap();
    world.store.delete_channel(id, "test").await.unwrap();
    assert_eq!(kept(&world).await, []);
    let unknown = KeptCooldown { channel: Some(Uuid::nil()), ..rest(&world, true, in_seconds(60), "throttled") };
    world.store.note_cooldown(&unknown).await.unwrap();
    assert_eq!(kept(&world).await, []);
}
