//! A rolling upgrade: this version on a schema that is newer than it.

use sincro_simulator::Settings;

use super::{FAST, ends_complete};
use crate::support::{Stage, World, people};

/// What a later version may have added: columns, tables, and a row that says so.
const LATER: &str = "
    ALTER TABLE channels ADD COLUMN later text;
    ALTER TABLE syncs ADD COLUMN later integer NOT NULL DEFAULT 7;
    ALTER TABLE jobs ADD COLUMN later text NOT NULL DEFAULT 'x';
    ALTER TABLE contacts ADD COLUMN later text;
    ALTER TABLE messages ADD COLUMN later text NOT NULL DEFAULT 'x';
    ALTER TABLE notices ADD COLUMN later text;
    CREATE TABLE laters (id bigint PRIMARY KEY);
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9999, 'later', true, '', 1)";

#[tokio::test]
async fn a_schema_that_is_newer_than_the_binary_does_not_disturb_it() {
    let world = World::new().await;
    world.run(LATER).await;
    let gateway = Settings { population: people(30), ..Settings::default() };
    let stage = Stage::set(world, gateway, FAST).await;
    let sync = stage.start().await;
    ends_complete(&stage, stage.channel, sync).await;
    assert_eq!(stage.api.get("/readyz").await.status, 200);
    let migrated = stage.world.sincro(&["migrate"]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
}
