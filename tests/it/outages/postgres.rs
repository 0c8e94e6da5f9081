//! Postgres: nothing is acknowledged that is not committed, and nobody has to help.

use serde_json::{Value, json};
use sincro_core::sync::SyncId;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{MORTAL, another_channel, ends_complete, stage};
use crate::support::{Client, Stage, World, private::postgres::Postgres, within};

/// Asks for a sync of a channel once, under a key that makes asking again safe; none when it was refused for now.
async fn ask(api: &Client, channel: Uuid) -> Option<SyncId> {
    let path = format!("/v1/channels/{channel}/syncs");
    let request = api.request(reqwest::Method::POST, &path).header("Idempotency-Key", channel.to_string());
    let reply = api.send(request.json(&json!({"messages_per_contact": 25}))).await;
    if reply.status == 202 {
        let status: Value = reply.ok();
        return Some(status["id"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(reply.refused(503), "ledger_unavailable");
    let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    None
}

/// Asks until it is accepted, as a client does that reads Retry-After.
async fn ask_until_accepted(api: &Client, channel: Uuid) -> SyncId {
    let asking = async {
        loop {
            if let Some(sync) = ask(api, channel).await {
                return sync;
            }
        }
    };
    within("the API to accept a sync again", asking).await
}

async fn until_database_is(api: &Client, state: &str) {
    let said = async { while api.get("/readyz").await.json::<Value>()["database"] != state {} };
    within(&format!("/readyz to say that the database is {state}"), said).await;
}

#[tokio::test]
async fn a_postgres_that_crashes_and_stays_away_for_a_while_loses_nothing_that_was_accepted() {
    let mut postgres = Postgres::start(60).await;
    let stage = stage(World::on(None, Some(postgres.url()), &MORTAL).await, &[], 150).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    postgres.crash();
    until_database_is(&stage.api, "unavailable").await;
    assert_eq!(ask(&stage.api, other).await, None, "nothing can be accepted now");
    postgres.recover().await;
    until_database_is(&stage.api, "ok").await;

    let accepted = ask_until_accepted(&stage.api, other).await;
    stage.api.follow(sync).await.until_settled(200).await;
    postgres.crash();
    postgres.recover().await;
    until_database_is(&stage.api, "ok").await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    assert_eq!(stage.worker.times_said("the worker works"), 1, "the same worker all the time");
}

#[tokio::test]
async fn a_postgres_without_free_connections_refuses_for_a_while_and_nothing_is_lost() {
    let postgres = Postgres::start(30).await;
    let stage = stage(World::on(None, Some(postgres.url()), &MORTAL).await, &[], 150).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    let hog = within("every connection of the server", all_connections(&postgres.url())).await;
    assert_eq!(ask(&stage.api, other).await, None, "nothing can be accepted now");
    drop(hog);

    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
}

/// Takes every connection that there is, those of others as well.
async fn all_connections(url: &str) -> Vec<PgConnection> {
    let mut held: Vec<PgConnection> = Vec::new();
    let mut own: Vec<i32> = Vec::new();
    loop {
        if let Ok(mut connection) = PgConnection::connect(url).await {
            own.push(sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap());
            held.push(connection);
            continue;
        }
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE backend_type = 'client backend' AND pid <> ALL($1)";
        let Some(connection) = held.last_mut() else { continue };
        if sqlx::query(others).bind(&own).execute(connection).await.unwrap().rows_affected() == 0 {
            return held;
        }
    }
}

#[tokio::test]
async fn deadlocks_and_serialization_failures_are_nobodys_concern() {
    let stage = stage(World::with(&MORTAL).await, &[], 150).await;
    let other = another_channel(&stage).await;
    // Of the next 150 statements every third fails, in turn with one of the two codes.
    stage
        .world
        .run(
            "CREATE SEQUENCE troubles;
         CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE n bigint := nextval('troubles');
         BEGIN
             IF n <= 150 AND n % 3 = 0 THEN
                 RAISE EXCEPTION 'trouble' USING ERRCODE = CASE n % 2 WHEN 0 THEN '40001' ELSE '40P01' END;
             END IF;
             RETURN NULL;
         END $$;",
        )
        .await;
    troubled(&stage, &["syncs", "jobs", "messages", "notices"]).await;
    let sync = ask_until_accepted(&stage.api, stage.channel).await;
    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    assert!(stage.world.number("SELECT last_value FROM troubles").await > 150, "all of it was met");
}

#[tokio::test]
async fn a_postgres_whose_disk_is_full_refuses_for_a_while_and_nothing_is_lost() {
    let stage = stage(World::with(&MORTAL).await, &[], 150).await;
    let other = another_channel(&stage).await;
    stage
        .world
        .run(
            "CREATE TABLE disk AS SELECT false AS is_full;
             CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF (SELECT is_full FROM disk) THEN
                     RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
                 END IF;
                 RETURN NULL;
             END $$;",
        )
        .await;
    troubled(&stage, &["syncs", "jobs", "messages", "notices"]).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    stage.world.run("UPDATE disk SET is_full = true").await;
    assert_eq!(ask(&stage.api, other).await, None, "nothing can be accepted now");
    stage.worker.said("the ledger does not take this job now; it goes back unharmed").await;
    stage.world.run("UPDATE disk SET is_full = false").await;

    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    assert!(stage.api.jobs(sync).await.iter().all(|job| job.attempts <= 2), "what went back lost no attempt");
}

/// Puts the function `trouble` before every change of these tables.
async fn troubled(stage: &Stage, tables: &[&str]) {
    for table in tables {
        let trigger = format!(
            "CREATE TRIGGER trouble BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION trouble()"
        );
        stage.world.run(&trigger).await;
    }
}
