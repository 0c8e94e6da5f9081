//! What only the queue knows, as the views show it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sincro_core::{
    channel::{Pause, PausedBy},
    clock,
    job::{Failure, Outcome},
    limit::Level,
    sync::SyncId,
};
use sincro_store::{
    contacts::ContactCounts,
    jobs::JobFilter,
    outlooks::{LevelOutlook, SyncOutlook},
};
use uuid::Uuid;

use crate::world::{World, by_both, by_lid, by_phone};

const SYNC: &str = "SELECT limited_by, next_at IS NOT NULL AS has_next_at, eta_seconds, jobs_running FROM sync_status";
const OLD: &str = "UPDATE sync_outlooks SET seen_at = now() - interval '16 seconds';
                   UPDATE level_outlooks SET seen_at = now() - interval '16 seconds'";

fn outlook(sync: SyncId, limited_by: &str) -> SyncOutlook {
    SyncOutlook {
        sync,
        running: 1,
        delayed: 0,
        limited_by: Some(limited_by.to_owned()),
        next_at: Some(clock::now() + TimeDelta::minutes(1)),
        eta_seconds: Some(600.0),
    }
}

async fn see(world: &World, outlook: SyncOutlook) {
    world.store.write_outlooks(&[outlook], &[]).await.unwrap();
}

async fn limited_by(world: &World) -> Value {
    world.row(SYNC).await["limited_by"].take()
}

/// What the jobs wait for, in the order of their ids.
async fn waiting_for(world: &World, sync: SyncId) -> Vec<Option<String>> {
    let lines = world.store.job_lines(sync, &JobFilter::default(), 10).await.unwrap();
    lines.into_iter().map(|line| line.waiting_for).collect()
}

#[tokio::test]
async fn an_outlook_is_shown_while_it_is_young() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    let unknown = json!({"limited_by": null, "has_next_at": false, "eta_seconds": null, "jobs_running": null});
    assert_eq!(world.row(SYNC).await, unknown);
    see(&world, outlook(sync, "rate: server")).await;
    world.execute("UPDATE sync_outlooks SET seen_at = now() - interval '10 seconds'").await;
    let shown = world.row(SYNC).await;
    assert_eq!((&shown["limited_by"], &shown["has_next_at"]), (&"rate: server".into(), &true.into()));
    let eta = shown["eta_seconds"].as_f64().unwrap();
    assert!(shown["jobs_running"] == 1 && (580.0..=590.0).contains(&eta), "{eta} counts down from 600");
    assert_eq!(waiting_for(&world, sync).await, [Some("rate: server".to_owned()), Some("rate: server".to_owned())]);
    world.execute(OLD).await;
    assert_eq!(world.row(SYNC).await, unknown);
    assert_eq!(waiting_for(&world, sync).await, [None, None]);
}

#[tokio::test]
async fn a_sync_that_is_over_or_gone_has_no_outlook() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    see(&world, outlook(sync, "rate: server")).await;
    world.store.cancel_sync(sync, None).await.unwrap();
    let over = world.row("SELECT limited_by, next_at, eta_seconds, jobs_running, outlook_at FROM sync_status").await;
    assert!(over.as_object().unwrap().values().all(Value::is_null), "{over}");
    world.execute("TRUNCATE sync_outlooks").await;
    world.store.write_outlooks(&[outlook(sync, "late"), outlook(Uuid::nil(), "whose?")], &[]).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM sync_outlooks").await, 0);
}

#[tokio::test]
async fn a_pause_and_its_end_show_at_once_whatever_was_seen_last() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    let id = world.channel.id;
    see(&world, outlook(sync, "rate: channel")).await;

    let lost = Pause::new(PausedBy::Session, "GET /chat/history: no session");
    world.store.pause_channel_at(id, world.channel.version, &lost, None).await.unwrap().unwrap();
    let shown = world.row(SYNC).await;
    assert_eq!(shown["limited_by"], "session lost: GET /chat/history: no session");
    assert_eq!((&shown["has_next_at"], &shown["eta_seconds"]), (&false.into(), &Value::Null), "from before");
    see(&world, outlook(sync, "session lost: GET /chat/history: no session")).await;
    assert_eq!(world.row(SYNC).await["has_next_at"], true, "of the next probe");

    world.store.session_back(id).await.unwrap().unwrap();
    assert_eq!(limited_by(&world).await, Value::Null, "and not what was seen before");
    world.store.pause_channel(id, "new phone").await.unwrap();
    assert_eq!(limited_by(&world).await, "paused by operator: new phone");
    world.execute(OLD).await;
    assert_eq!(limited_by(&world).await, "paused by operator: new phone");
    assert_eq!(waiting_for(&world, sync).await[0].as_deref(), Some("paused by operator: new phone"));
    world.store.pause_sync(sync, None).await.unwrap();
    assert_eq!(limited_by(&world).await, "paused by operator: new phone", "the whole channel comes first");
    world.store.resume_channel(id).await.unwrap();
    assert_eq!(limited_by(&world).await, "paused by operator: sync");
    assert_eq!(waiting_for(&world, sync).await[0].as_deref(), Some("paused by operator: sync"));
}

#[tokio::test]
async fn a_job_says_when_its_next_attempt_is_due() {
    let world = World::new().await;
    let (sync, jobs) = world.sync_of(vec![by_phone(1)]).await;
    see(&world, outlook(sync, "rate: server")).await;
    let due = clock::now() + TimeDelta::hours(1);
    let retry = Outcome::Retry { failure: Failure::new("timeout", "no answer"), due };
    world.settle(&[world.settlement(&jobs[0], retry, Vec::new())]).await;
    let due = due.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    assert_eq!(waiting_for(&world, sync).await, [Some(format!("retry at {due}")), Some("rate: server".into())]);
    world.finish(&jobs[1], Vec::new()).await;
    world.execute("UPDATE jobs SET next_at = now() WHERE state = 'delayed'").await;
    assert_eq!(waiting_for(&world, sync).await, [Some("rate: server".into()), None], "due again, and over");
}

#[tokio::test]
async fn rates_of_channels_and_servers_are_shown_while_they_are_young() {
    let world = World::new().await;
    let level = |level, key: String, effective_rate| LevelOutlook {
        level,
        key,
        configured_rate: effective_rate,
        effective_rate,
        observed_rate: 4.5,
        running: 3,
        cooldown: None,
    };
    let levels = [
        level(Level::Channel, world.channel.id.to_string(), Some(10.0)),
        level(Level::Server, world.channel.server(), None),
    ];
    for _ in 0..2 {
        world.store.write_outlooks(&[], &levels).await.unwrap();
    }
    let channel = "SELECT effective_rate, observed_rate, running FROM channel_status";
    let server = "SELECT effective_rate, observed_rate, running FROM server_status";
    assert_eq!(world.row(channel).await, json!({"effective_rate": 10, "observed_rate": 4.5, "running": 3}));
    assert_eq!(world.row(server).await, json!({"effective_rate": null, "observed_rate": 4.5, "running": 3}));
    world.execute(OLD).await;
    let unknown = json!({"effective_rate": null, "observed_rate": null, "running": null});
    assert_eq!([world.row(channel).await, world.row(server).await], [unknown.clone(), unknown]);
    world.execute("UPDATE level_outlooks SET seen_at = now() - interval '2 minutes'").await;
    world.store.write_outlooks(&[], &[]).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM level_outlooks").await, 0, "nobody renews them");
}

#[tokio::test]
async fn one_process_at_a_time_reports() {
    let world = World::new().await;
    let mut first = world.store.try_report_lock().await.unwrap().unwrap();
    assert!(world.store.try_report_lock().await.unwrap().is_none());
    first.check().await.unwrap();
    first.end().await.unwrap();
    let mut next = world.store.try_report_lock().await.unwrap().unwrap();
    // Only in this test's database: the migrations of the others hold such locks as well.
    world
        .execute(
            "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND a.datname = current_database()",
        )
        .await;
    assert!(next.check().await.is_err(), "the right is gone with its connection");
    assert!(world.store.try_report_lock().await.unwrap().is_some());
}

#[tokio::test]
async fn the_open_syncs_come_with_their_servers() {
    let world = World::new().await;
    let (sync, _) = world.sync_of(vec![by_phone(1)]).await;
    let open = world.store.open_syncs(10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0].status, &open[0].server), (&world.status(sync).await, &world.channel.server()));
    world.store.cancel_sync(sync, None).await.unwrap();
    assert!(world.store.open_syncs(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn contacts_are_counted_by_what_is_known_of_them() {
    let world = World::new().await;
    world.sync_of(vec![by_phone(1), by_phone(2), by_lid(3), by_both(4)]).await;
    let counts = world.store.contact_counts(world.channel.id).await.unwrap();
    assert_eq!(counts, ContactCounts { with_phone_only: 2, with_lid_only: 1, with_both: 1 });
    assert_eq!(world.store.contact_counts(Uuid::nil()).await.unwrap(), ContactCounts::default());
}
