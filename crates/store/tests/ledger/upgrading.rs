//! Schema and binaries of different versions beside each other.

use sincro_core::channel::{Pause, PausedBy};
use sqlx::{Connection as _, PgConnection};

use crate::world::{Database, World};

#[tokio::test]
async fn a_channel_that_stood_still_before_pausers_were_known_is_given_one() {
    let database = Database::create().await;
    let mut sql = PgConnection::connect(&database.url).await.unwrap();
    for migration in [
        include_str!("../../../../migrations/0001_ledger.sql"),
        include_str!("../../../../migrations/0002_views.sql"),
        "INSERT INTO channels (id, name, provider, base_url, server, credentials, rate_per_second, burst, concurrency,
                               hook_token, created_at, state, reason)
         SELECT gen_random_uuid(), n::text, 'wuzapi', 'http://a', 'wuzapi/a', '', 1, 1, 1, n::text, now(),
                CASE WHEN reason IS NULL THEN 'active' ELSE 'paused' END, reason
         FROM unnest(ARRAY['lunch', 'unauthorized: 401', NULL]) WITH ORDINALITY AS c (reason, n)",
        include_str!("../../../../migrations/0003_limits.sql"),
    ] {
        sqlx::raw_sql(migration).execute(&mut sql).await.unwrap();
    }
    let paused_by: Vec<Option<String>> =
        sqlx::query_scalar("SELECT paused_by FROM channels ORDER BY name").fetch_all(&mut sql).await.unwrap();
    assert_eq!(paused_by, [Some("operator".into()), Some("gateway".into()), None]);
}

#[tokio::test]
async fn a_binary_that_knows_nothing_of_pausers_can_still_pause_and_resume() {
    let world = World::new().await;
    let paused = async || world.store.channel(world.channel.id).await.unwrap().paused;
    world.execute("UPDATE channels SET state = 'paused', reason = 'lunch', version = version + 1").await;
    assert_eq!(paused().await, Some(Pause::new(PausedBy::Operator, "lunch")));
    world.execute("UPDATE channels SET state = 'active', reason = NULL, version = version + 1").await;
    assert_eq!(paused().await, None);
    world.execute("UPDATE channels SET state = 'paused', reason = 'unauthorized: 401', version = version + 1").await;
    assert_eq!(paused().await, Some(Pause::new(PausedBy::Gateway, "unauthorized: 401")));

    world.store.resume_channel(world.channel.id).await.unwrap();
    let version = world.store.channel(world.channel.id).await.unwrap().version;
    let lost = Pause::new(PausedBy::Session, "no session");
    world.store.pause_channel_at(world.channel.id, version, &lost, None).await.unwrap();
    world.execute("UPDATE channels SET state = 'paused', reason = 'lunch', version = version + 1").await;
    assert_eq!(paused().await, Some(Pause::new(PausedBy::Operator, "lunch")), "a person has said so since");
    assert_eq!(world.store.session_back(world.channel.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_migration_that_a_running_process_crosses_is_tried_again() {
    let world = World::new().await;
    // As it was before it.
    world
        .execute(
            "DELETE FROM _sqlx_migrations WHERE version = 19;
             ALTER TABLE messages ADD CONSTRAINT messages_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels,
                                  ADD CONSTRAINT messages_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contacts;
             ALTER TABLE jobs ADD CONSTRAINT jobs_sync_id_fkey FOREIGN KEY (sync_id) REFERENCES syncs,
                              ADD CONSTRAINT jobs_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contacts",
        )
        .await;
    let mut process = world.sql.begin().await.unwrap();
    sqlx::query("SELECT FROM jobs").execute(&mut *process).await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let crossing = async {
        while world.count(waits).await == 0 {}
        // The migration has messages and waits for jobs. It waited first, and is the one to give way.
        sqlx::query("SELECT FROM messages").execute(&mut *process).await.unwrap();
        process.commit().await.unwrap();
    };
    let (migrated, ()) = tokio::join!(world.store.migrate(), crossing);
    migrated.unwrap();
    let left = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid IN ('messages'::regclass, 'jobs'::regclass)";
    assert_eq!(world.count(left).await, 0);
}
