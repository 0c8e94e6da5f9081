//! Channels and what their gateways ask for.

use crate::world::World;

#[tokio::test]
async fn whoever_opens_a_channels_credentials_waits_for_nobody_who_is_changing_it() {
    let world = World::new().await;
    let mut change = world.sql.begin().await.unwrap();
    sqlx::query("UPDATE channels SET name = 'another', version = version + 1 WHERE id = $1")
        .bind(world.channel.id)
        .execute(&mut *change)
        .await
        .unwrap();
    let before = world.store.connection(world.channel.id).await.unwrap();
    assert_eq!(before.channel, world.channel);
    change.commit().await.unwrap();
    let after = world.store.connection(world.channel.id).await.unwrap();
    assert_eq!((after.channel.name.as_str(), after.channel.version), ("another", world.channel.version + 1));
}
