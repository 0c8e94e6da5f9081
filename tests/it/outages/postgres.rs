//! Postgres: nothing is acknowledged that is not committed, and nobody has to help.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sincro_core::sync::SyncId;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{STEADY, another_channel, ends_complete, no_attempt_was_spent, stage, until_readyz_says};
use crate::support::{Client, Stage, World, private::postgres::Postgres, proxy::Proxy, within};

/// A request is given up after ten seconds without a connection, and after thirty for good; a busy machine takes its time.
const REFUSED_AFTER: Duration = Duration::from_secs(35);

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

/// Whatever is asked while the ledger is away is refused for now, with the time to come back, and nobody waits for ever.
async fn everything_is_refused_for_now(stage: &Stage, sync: SyncId) {
    let channel = stage.channel;
    let phone = stage.gateway.truth().persons()[0].phone_jid.clone().unwrap();
    let (at_channel, at_sync) = (format!("/v1/channels/{channel}"), format!("/v1/syncs/{sync}"));
    let own = json!({
        "name": "never", "provider": "wuzapi", "base_url": stage.gateway.base_url(),
        "credentials": {"token": stage.gateway.token()},
    });
    let reads = [
        "/v1/channels".to_owned(),
        at_channel.clone(),
        format!("{at_channel}/messages"),
        "/v1/limits".to_owned(),
        "/v1/limits/changes".to_owned(),
        "/v1/syncs".to_owned(),
        at_sync.clone(),
        format!("{at_sync}/jobs"),
        format!("{at_sync}/receipt"),
        format!("{at_sync}/events"),
    ];
    let steers = ["pause", "resume", "cancel", "retry"].map(|verb| format!("{at_sync}/{verb}"));
    let rests = ["pause", "resume"].map(|verb| format!("{at_channel}/{verb}"));
    let asks = [
        (Method::POST, "/v1/channels".to_owned(), own),
        (Method::PATCH, at_channel.clone(), json!({"name": "never"})),
        (Method::PUT, "/v1/limits".to_owned(), json!({"rules": []})),
        (Method::POST, format!("{at_channel}/syncs"), json!({})),
        (Method::POST, format!("{at_channel}/syncs/plan"), json!({})),
        (Method::POST, format!("{at_channel}/contacts/{phone}/syncs"), json!({"messages": 25})),
    ];
    let mut requests: Vec<_> = reads.iter().map(|path| stage.api.request(Method::GET, path)).collect();
    requests.extend(steers.iter().chain(&rests).map(|path| stage.api.request(Method::POST, path)));
    requests.push(stage.api.request(Method::DELETE, &at_channel));
    requests.extend(asks.into_iter().map(|(method, path, body)| stage.api.request(method, &path).json(&body)));
    let mut asked = JoinSet::new();
    for request in requests {
        let api = stage.api.client.clone();
        asked.spawn(async move {
            let begun = Instant::now();
            let reply = api.send(request).await;
            assert!(matches!(reply.refused(503).as_str(), "ledger_unavailable" | "timed_out"), "{reply:?}");
            let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(seconds >= 1 && begun.elapsed() < REFUSED_AFTER, "after {:?}: {reply:?}", begun.elapsed());
        });
    }
    within("the API to refuse everything", asked.join_all()).await;
}

async fn until_database_is(api: &Client, state: &str) {
    let said = async { while api.get("/readyz").await.json::<Value>()["database"] != state {} };
    within(&format!("/readyz to say that the database is {state}"), said).await;
}

#[tokio::test]
async fn a_postgres_that_crashes_and_stays_away_for_a_while_loses_nothing_that_was_accepted() {
    let mut postgres = Postgres::start(60).await;
    let stage = stage(World::on(None, Some(postgres.url()), &STEADY).await, &[], 150).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    postgres.crash();
    tokio::join!(until_database_is(&stage.api, "unavailable"), everything_is_refused_for_now(&stage, sync));
    postgres.recover().await;
    until_database_is(&stage.api, "ok").await;

    let accepted = ask_until_accepted(&stage.api, other).await;
    stage.api.follow(sync).await.until_settled(200).await;
    postgres.crash();
    postgres.recover().await;
    until_database_is(&stage.api, "ok").await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    no_attempt_was_spent(&stage).await;
    assert_eq!(stage.worker.times_said("the worker works"), 1, "the same worker all the time");
}

#[tokio::test]
async fn a_postgres_that_hangs_is_waited_for_by_workers_and_by_no_client() {
    let world = World::with(&STEADY).await;
    let line = Proxy::to_postgres(&world.database.url).await;
    let url = line.url(&world.database.url);
    let stage = stage(world, &[("DATABASE_URL", &url)], 150).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;

    // Longer than the leases, which are renewed meanwhile: what a worker has begun stays its own.
    line.hang();
    let hung = Instant::now();
    tokio::join!(until_database_is(&stage.api, "unavailable"), everything_is_refused_for_now(&stage, sync));
    assert!(hung.elapsed() > Duration::from_secs(5), "the leases would not have run out");
    line.slow(Duration::ZERO);
    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    no_attempt_was_spent(&stage).await;
    until_readyz_says(&stage.api, "ok").await;
    assert_eq!(stage.worker.times_said("the worker works"), 1, "the same worker all the time");
}

#[tokio::test]
async fn a_postgres_without_free_connections_refuses_for_a_while_and_nothing_is_lost() {
    let postgres = Postgres::start(30).await;
    let stage = stage(World::on(None, Some(postgres.url()), &STEADY).await, &[], 150).await;
    let other = another_channel(&stage).await;
    let sync = stage.start().await;
    stage.api.follow(sync).await.until_settled(50).await;
    let hog = within("every connection of the server", all_connections(&postgres.url())).await;
    assert_eq!(ask(&stage.api, other).await, None, "nothing can be accepted now");
    drop(hog);

    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    no_attempt_was_spent(&stage).await;
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
    let stage = stage(World::with(&STEADY).await, &[], 150).await;
    let other = another_channel(&stage).await;
    // Of the next 60 statements every seventh fails, in turn with one of the two codes: often enough for everybody, and
    // seldom enough that the API has not met them all before there is work.
    stage
        .world
        .run(
            "CREATE SEQUENCE troubles;
         CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE n bigint := nextval('troubles');
         BEGIN
             IF n <= 60 AND n % 7 = 0 THEN
                 RAISE EXCEPTION 'trouble' USING ERRCODE = CASE n % 2 WHEN 0 THEN '40001' ELSE '40P01' END;
             END IF;
             RETURN NULL;
         END $$;",
        )
        .await;
    troubled(&stage, &["syncs", "jobs", "messages", "notices"]).await;
    // And of what gets so far, some fail at the very end, with the commit.
    stage
        .world
        .run(
            "CREATE SEQUENCE late_troubles;
         CREATE FUNCTION late_trouble() RETURNS trigger LANGUAGE plpgsql AS $$
         DECLARE n bigint := nextval('late_troubles');
         BEGIN
             IF n <= 20 AND n % 3 = 0 THEN
                 RAISE EXCEPTION 'trouble at the commit' USING ERRCODE = '40001';
             END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER late_trouble AFTER INSERT OR UPDATE ON syncs
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late_trouble()",
        )
        .await;
    let sync = ask_until_accepted(&stage.api, stage.channel).await;
    let accepted = ask_until_accepted(&stage.api, other).await;
    ends_complete(&stage, stage.channel, sync).await;
    ends_complete(&stage, other, accepted).await;
    no_attempt_was_spent(&stage).await;
    let offered_again = |line: &str| {
        line.contains("the ledger did not take what it was offered") && line.contains("trouble at the commit")
    };
    assert!(stage.worker.whole_log().lines().any(offered_again), "results whose commit failed were offered again");
    for all_met in ["SELECT last_value - 60 FROM troubles", "SELECT last_value - 20 FROM late_troubles"] {
        assert!(stage.world.number(all_met).await > 0, "all of it was met");
    }
}

#[tokio::test]
async fn a_postgres_whose_disk_is_full_refuses_for_a_while_and_nothing_is_lost() {
    let stage = stage(World::with(&STEADY).await, &[], 150).await;
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
    no_attempt_was_spent(&stage).await;
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
