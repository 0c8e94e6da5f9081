//! A rolling upgrade: two versions on one installation, and this version on a schema that is newer than it.

use std::{path::PathBuf, process::Output};

use sincro_core::sync::SyncState;
use sincro_simulator::Settings;

use super::{FAST, SLOW_ANSWERS, UNHURRIED, ends_complete};
use crate::support::{Gateway, Stage, World, audit, environment, people, process, turn};

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

/// Of each chat. Which of more messages are read may have changed from version to version.
const ALL: u32 = 100;

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

/// What a command has printed at last; it must have ended well.
fn last_line(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().next_back().unwrap_or_default().to_owned()
}

/// `./just upgrade-check` names an older build of the program; without one the older version is this one, and what is shown is
/// that processes can be replaced one by one.
#[tokio::test]
async fn a_newer_version_joins_an_older_one_in_the_middle_of_a_sync_and_takes_over() {
    let older = environment::text("SINCRO_OLDER_PROGRAM").map_or_else(|| process::binary().clone(), PathBuf::from);
    let mut world = World::unmigrated(turn::beside_others().await, &[]).await;
    last_line(&world.run_program(&older, &["migrate"], &[]).await);
    let key = ["key", "create", "--name", "test", "--scope", "admin"];
    world.key = last_line(&world.run_program(&older, &key, &[]).await);
    let gateway = Settings { population: people(400), latency: SLOW_ANSWERS, ..Settings::default() };
    let gateway = Gateway::start(gateway).await;
    let mut older_api = world.when_listening(world.start_program(&older, &["api"], &[])).await;
    let channel = older_api.create_channel(&gateway, UNHURRIED).await;
    let mut older_worker = world.start_program(&older, &["worker"], &[]);
    let sync = older_api.start_sync(channel, ALL).await.id;
    older_api.follow(sync).await.until_settled(100).await;

    last_line(&world.sincro(&["migrate"]).await);
    let stage = Stage { worker: world.worker().await, api: world.api().await, channel, gateway, world };
    let mut events = stage.api.follow(sync).await;
    // Both serve and work beside each other for a while.
    let joined = events.until(|_| true).await.jobs.settled();
    events.until_settled(joined.max(100) + 200).await;
    older_api.status(sync).await;
    older_worker.terminate();
    older_api.process.terminate();
    for process in [&mut older_worker, &mut older_api.process] {
        assert!(process.exit().await.success(), "{}", process.whole_log());
    }
    let end = events.end().await;
    assert_eq!((end.state, end.jobs.total), (SyncState::Completed, 800));
    assert_eq!(end.messages.fetched, end.messages.stored + end.messages.duplicate);
    audit::nothing_is_lost_or_doubled(&stage, &end, usize::try_from(ALL).unwrap()).await;
}
