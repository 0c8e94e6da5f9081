//! What the command line prints, and what it returns.

use std::{fs, process::Output};

use serde_json::{Value, json};
use sincro_core::{
    limit::Limit,
    sync::{SyncState, SyncStatus},
};
use sincro_simulator::{Fault, Population, Rule, When};
use uuid::Uuid;

use crate::support::{Api, Gateway, Stage, World, gateway::people, stage::FAST, turn, within, world::Setting};

#[tokio::test]
async fn a_new_key_stands_alone_on_the_last_line_and_opens_what_its_scope_says() {
    let world = World::new().await;
    let api = world.api().await;
    let made = world.sincro(&["key", "create", "--name", "crm", "--scope", "read"]).await;
    assert_eq!(made.status.code(), Some(0));
    let key = stdout(&made).lines().next_back().unwrap();
    assert!(key.len() >= 43 && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{key}");
    let reader = api.with_key(key);
    assert_eq!(reader.get("/v1/channels").await.status, 200);
    assert_eq!(reader.post_json("/v1/channels", &json!({})).await.refused(403), "scope_missing");

    let made = world.sincro(&["key", "create", "--name", "crm", "--scope", "read,enqueue", "--json"]).await;
    let document = document(&made);
    assert_eq!((&document["name"], &document["scopes"]), (&json!("crm"), &json!(["read", "enqueue"])));
    let found = api.with_key(document["key"].as_str().unwrap()).get("/v1/syncs").await;
    assert_eq!(found.status, 200);
}

#[tokio::test]
async fn with_json_every_command_prints_one_document_and_nothing_else() {
    let world = World::new().await;
    let gateway = Gateway::of(people(10)).await;
    let (api, _worker) = tokio::join!(world.api(), world.worker());
    let url = gateway.base_url().to_owned();
    let credentials = json!({"token": gateway.token()}).to_string();
    let create = ["channel", "create", "--name", "support", "--provider", "wuzapi", "--base-url", &url];
    let create =
        [&create[..], &["--credentials", &credentials, "--feature", "import_messages", "--rate", "1000"]].concat();
    let channel = json(&world, &api, &create).await;
    let id = channel["id"].as_str().unwrap();
    assert_eq!((&channel["name"], &channel["limit"]["rate_per_second"]), (&json!("support"), &json!(1_000.0)));
    assert_eq!(json(&world, &api, &["channel", "list"]).await["items"][0]["id"], id);
    assert_eq!(json(&world, &api, &["channel", "show", id]).await["name"], "support");
    let changed = json(&world, &api, &["channel", "update", id, "--concurrency", "7"]).await;
    assert_eq!(changed["limit"]["concurrency"], 7);
    assert_eq!(json(&world, &api, &["channel", "pause", id, "--reason", "tea"]).await["reason"], "tea");
    assert_eq!(json(&world, &api, &["channel", "resume", id]).await["state"], "active");

    let sync = json(&world, &api, &["sync", "start", id, "--messages", "25"]).await;
    let sync = sync["id"].as_str().unwrap().to_owned();
    let watched = run(&world, &api, &["sync", "watch", &sync, "--json"]).await;
    assert_eq!(watched.status.code(), Some(0));
    let lines: Vec<SyncStatus> = stdout(&watched).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap().state, SyncState::Completed);
    assert!(lines.is_sorted_by_key(|status| status.revision));

    assert_eq!(json(&world, &api, &["sync", "show", &sync]).await["state"], "completed");
    assert_eq!(json(&world, &api, &["sync", "list", "--channel", id]).await["items"][0]["id"], sync.as_str());
    assert_eq!(json(&world, &api, &["sync", "jobs", &sync]).await["items"].as_array().unwrap().len(), 20);
    assert_eq!(json(&world, &api, &["sync", "receipt", &sync]).await["lines"].as_array().unwrap().len(), 20);
    assert_eq!(json(&world, &api, &["sync", "retry", &sync]).await["id"], sync.as_str());
    let messages = json(&world, &api, &["messages", "list", id, "--limit", "3"]).await;
    assert_eq!(messages["items"].as_array().unwrap().len(), 3);
    let phone = gateway.truth().persons()[0].phone_jid.clone().unwrap();
    let ticket = json(&world, &api, &["sync", "start", id, "--contact", &phone]).await;
    assert_eq!(ticket["kind"], "contact");
    api.end_of(ticket["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(json(&world, &api, &["channel", "delete", id, "--yes"]).await, Value::Null);
    assert_eq!(json(&world, &api, &["channel", "list"]).await["items"], json!([]));
}

#[tokio::test]
async fn without_json_people_read_what_became_of_a_sync() {
    let stage = Stage::of(Population { share_without_lid: 0.5, ..people(10) }).await;
    let channel = stage.channel.to_string();
    let started = run(&stage.world, &stage.api, &["sync", "start", &channel, "--watch"]).await;
    assert_eq!(started.status.code(), Some(0), "{}", stderr(&started));
    assert!(stdout(&started).contains("completed"), "{}", stdout(&started));
    let [sync] = &stage.world.rows("SELECT id FROM syncs").await[..] else { panic!("one sync") };
    let receipt = run(&stage.world, &stage.api, &["sync", "receipt", sync["id"].as_str().unwrap()]).await;
    let text = stdout(&receipt);
    assert!(text.contains("contacts  10") && text.contains("lid unknown"), "{text}");
    let listed = run(&stage.world, &stage.api, &["sync", "list"]).await;
    assert!(stdout(&listed).contains("completed") && stdout(&listed).contains("100%"), "{}", stdout(&listed));
}

#[tokio::test]
async fn the_exit_code_says_who_is_to_blame() {
    let stage = Stage::with(people(4), FAST, &[("SINCRO_MAX_ATTEMPTS", "1")]).await;
    let (world, api) = (&stage.world, &stage.api);
    let code = async |arguments: &[&str], settings: &[Setting<'_>]| {
        let settings = [&access(api)[..], settings].concat();
        let output = world.sincro_with(arguments, &settings).await;
        (output.status.code().unwrap(), stderr(&output).to_owned())
    };
    assert_eq!(code(&["channel", "list"], &[]).await.0, 0);
    assert_eq!(code(&["--help"], &[]).await.0, 0);
    for nonsense in
        [&["channel", "liszt"][..], &["sync", "show", "not-an-id"], &["channel", "list", "--limit", "many"], &[]]
    {
        assert_eq!(code(nonsense, &[]).await.0, 2, "{nonsense:?}");
    }
    let nobody = Uuid::now_v7().to_string();
    let (refused, why) = code(&["channel", "show", &nobody], &[]).await;
    assert_eq!(refused, 3);
    assert!(why.contains("channel_not_found"), "{why}");
    let (refused, why) = code(&["channel", "list"], &[("SINCRO_API_KEY", "sincro_wrong")]).await;
    assert_eq!(refused, 3);
    assert!(why.contains("unauthorized"), "{why}");
    let (refused, why) = code(&["channel", "list"], &[("SINCRO_API_KEY", "")]).await;
    assert_eq!(refused, 3);
    assert!(why.contains("give a key with SINCRO_API_KEY or --api-key"), "{why}");
    // A port that nobody listens on: it was ours a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (unreachable, why) = code(&["channel", "list"], &[("SINCRO_API_URL", &format!("http://{closed}"))]).await;
    assert_eq!(unreachable, 4);
    assert!(why.contains("cannot reach the API"), "{why}");
    assert_eq!(code(&["migrate"], &[("SINCRO_LEASE_SECONDS", "0")]).await.0, 1);

    stage.gateway.set_faults(Rule::new(Fault::ServerError, When::Next(1)).on_path("/chat/history")).unwrap();
    let channel = stage.channel.to_string();
    assert_eq!(code(&["sync", "start", &channel, "--watch"], &[]).await.0, 5, "one job has failed");
    let [sync] = &world.rows("SELECT id FROM syncs").await[..] else { panic!("one sync") };
    let sync = sync["id"].as_str().unwrap();
    assert_eq!(code(&["sync", "watch", sync], &[]).await.0, 5);
    assert_eq!(code(&["sync", "retry", sync, "--watch"], &[]).await.0, 0);
    assert_eq!(code(&["sync", "watch", sync], &[]).await.0, 0);
    let (refused, why) = code(&["sync", "cancel", sync], &[]).await;
    assert_eq!(refused, 3);
    assert!(why.contains("sync_over"), "{why}");
}

#[tokio::test]
async fn ctrl_c_ends_the_watching_and_not_the_sync() {
    let slow = Limit { rate_per_second: 5.0, burst: 1, concurrency: 1 };
    let stage = Stage::with(people(50), slow, &[]).await;
    let sync = stage.start().await;
    let mut watching = stage.world.start(&["sync", "watch", &sync.to_string()], &access(&stage.api));
    let watched = async { while !stage.api.get("/metrics").await.body.contains("sincro_http_event_streams 1\n") {} };
    within("the watcher's event stream", watched).await;
    watching.signal("INT");
    assert_eq!(watching.exit().await.code(), Some(130));
    assert!(watching.whole_log().contains("the sync goes on"), "{}", watching.whole_log());
    assert_eq!(stage.api.steer(sync, "cancel").await.state, SyncState::Cancelled, "until somebody cancels it");
}

#[tokio::test]
async fn a_bad_configuration_refuses_to_start_and_names_the_key_and_the_reason() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sincro.toml");
    let misspelt = folder.path().join("misspelt.toml");
    fs::write(&file, "lease_seconds = 0\ngateway_max_body_mb = 0\n").unwrap();
    fs::write(&misspelt, "worker_concurency = 3\n").unwrap();
    let cases: [(Setting<'_>, &[&str]); 10] = [
        (("SINCRO_WORKER_CONCURRENCY", "0"), &["worker_concurrency = 0", "SINCRO_WORKER_CONCURRENCY", "1 to 4096"]),
        (("SINCRO_LEASE_SECONDS", "soon"), &["lease_seconds = \"soon\"", "1 to 600"]),
        (("SINCRO_LISTEN", "localhost"), &["listen = \"localhost\""]),
        (("SINCRO_LOG_FORMAT", "xml"), &["log_format = \"xml\"", "text", "json"]),
        (("SINCRO_RETRY_CAP_SECONDS", "0.01"), &["retry_cap_seconds", "retry_base_seconds"]),
        (("SINCRO_REDIS_NAMESPACE", "a b"), &["redis_namespace = \"a b\""]),
        (("SINCRO_PUBLIC_URL", "ftp://example.org"), &["public_url"]),
        (("SINCRO_CONFIG", file.to_str().unwrap()), &["lease_seconds = 0", "gateway_max_body_mb = 0"]),
        (
            ("SINCRO_CONFIG", misspelt.to_str().unwrap()),
            &["worker_concurency", "there is no such key", "worker_concurrency?"],
        ),
        (("SINCRO_CONFIG", "/nowhere/sincro.toml"), &["/nowhere/sincro.toml"]),
    ];
    for (setting, told) in cases {
        let settings = [setting, ("SINCRO_RETRY_BASE_SECONDS", "0.05")];
        refuses(&world, &settings, told).await;
    }
    refuses(&world, &[("DATABASE_URL", "")], &["database_url is not set", "SINCRO_DATABASE_URL or DATABASE_URL"]).await;
    refuses(&world, &[("REDIS_URL", "")], &["redis_url is not set", "SINCRO_REDIS_URL or REDIS_URL"]).await;
    refuses(&world, &[("SINCRO_SECRET_KEY", "")], &["secret_key is not set", "openssl rand -base64 32"]).await;
}

#[tokio::test]
async fn secrets_that_are_wrong_are_not_quoted() {
    let world = World::new().await;
    for (name, value) in [
        ("SINCRO_SECRET_KEY", "hunter2hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@localhost/db"),
        ("REDIS_URL", "http://:hunter2@localhost"),
    ] {
        for verb in ["api", "worker", "all", "doctor"] {
            let output = world.sincro_with(&[verb], &[(name, value)]).await;
            assert_eq!(output.status.code(), Some(1), "{name}, {verb}");
            let said = [stdout(&output), stderr(&output)].concat();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_named_and_one_that_lets_nobody_in_is_refused() {
    let world = World::new().await;
    let output = world.sincro_with(&["migrate"], &[("DATABASE_URL", "postgres://127.0.0.1:1/nowhere")]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("database"), "{}", stderr(&output));

    let nowhere = world.database.named("sincro_nowhere");
    let refused = async |verb: &str| {
        let output = world.sincro_with(&[verb], &[("DATABASE_URL", &nowhere)]).await;
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("database_url") && said.contains("\"sincro_nowhere\" does not exist"), "{verb}: {said}");
    };
    tokio::join!(refused("api"), refused("worker"), refused("all"));
}

#[tokio::test]
async fn a_database_before_its_migration_is_refused_and_migrating_twice_at_once_does_no_harm() {
    let world = World::unmigrated(turn::beside_others().await, &[]).await;
    for verb in ["api", "worker", "all"] {
        let output = world.sincro(&[verb]).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("run `sincro migrate` first"), "{}", stderr(&output));
    }
    let (one, other, third) =
        tokio::join!(world.sincro(&["migrate"]), world.sincro(&["migrate"]), world.sincro(&["migrate", "--json"]));
    for output in [&one, &other, &third] {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    }
    world.worker().await;
}

#[tokio::test]
async fn the_doctor_says_what_is_well_and_what_is_not() {
    let world = World::new().await;
    let output = world.sincro(&["doctor", "--json"]).await;
    let findings = document(&output);
    assert_eq!(output.status.code(), Some(0), "{findings}");
    let seen = |findings: &Value| -> Vec<(String, String)> {
        let findings = findings.as_array().unwrap().iter();
        findings.map(|f| (f["what"].as_str().unwrap().into(), f["health"].as_str().unwrap().into())).collect()
    };
    for what in ["configuration", "secret key", "Postgres", "schema", "Redis"] {
        assert!(seen(&findings).contains(&(what.to_owned(), "ok".to_owned())), "{findings}");
    }

    let broken = [("REDIS_URL", "redis://127.0.0.1:1"), ("DATABASE_URL", "postgres://127.0.0.1:1/nowhere")];
    let output = world.sincro_with(&["doctor", "--json"], &broken).await;
    assert_eq!(output.status.code(), Some(1));
    let findings = document(&output);
    for what in ["Postgres", "Redis"] {
        assert!(seen(&findings).contains(&(what.to_owned(), "broken".to_owned())), "{findings}");
    }
    let output = world.sincro_with(&["doctor"], &[("SINCRO_LEASE_SECONDS", "0")]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("lease_seconds = 0"), "{}", stdout(&output));
}

#[tokio::test]
async fn the_doctor_knows_a_schema_that_is_too_old() {
    let world = World::unmigrated(turn::beside_others().await, &[]).await;
    let output = world.sincro(&["doctor"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("run `sincro migrate`"), "{}", stdout(&output));
}

/// Starting an API and a worker with these settings fails at once, and says all of this.
async fn refuses(world: &World, settings: &[Setting<'_>], told: &[&str]) {
    for verb in ["api", "worker"] {
        let output = world.sincro_with(&[verb], settings).await;
        assert_eq!(output.status.code(), Some(1), "{settings:?}");
        assert_eq!(stdout(&output), "", "{settings:?}");
        for told in told {
            assert!(stderr(&output).contains(told), "{settings:?}: {told:?} is not in {:?}", stderr(&output));
        }
    }
}

/// Where the API is, for a command.
fn access(api: &Api) -> [Setting<'_>; 2] {
    [("SINCRO_API_URL", &api.base), ("SINCRO_API_KEY", api.key())]
}

async fn run(world: &World, api: &Api, arguments: &[&str]) -> Output {
    world.sincro_with(arguments, &access(api)).await
}

/// The document that a command prints with `--json`.
async fn json(world: &World, api: &Api, arguments: &[&str]) -> Value {
    let output = run(world, api, &[arguments, &["--json"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    document(&output)
}

/// All of stdout as one JSON document.
fn document(output: &Output) -> Value {
    serde_json::from_str(stdout(output)).unwrap_or_else(|error| panic!("{error}: {:?}", stdout(output)))
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
