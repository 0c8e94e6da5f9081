//! Who may use what, and whether what is written about it is so.

mod migrations;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

use crate::support::{
    World, environment,
    source::{files, root},
};

/// Which of our crates a crate may know, for its tests as well.
const KNOWS: [(&str, &[&str]); 10] = [
    ("sincro-core", &[]),
    ("sincro-queue", &["sincro-core"]),
    ("sincro-store", &["sincro-core"]),
    ("sincro-providers", &["sincro-core"]),
    ("sincro-worker", &["sincro-core", "sincro-queue", "sincro-store", "sincro-providers", "sincro-simulator"]),
    ("sincro-api", &["sincro-core", "sincro-queue", "sincro-store"]),
    ("sincro-simulator", &[]),
    (
        "sincro-cli",
        &[
            "sincro-api",
            "sincro-core",
            "sincro-providers",
            "sincro-queue",
            "sincro-simulator",
            "sincro-store",
            "sincro-worker",
        ],
    ),
    ("sincro-tests", &["sincro-core", "sincro-simulator"]),
    ("sincro-benches", &["sincro-core", "sincro-providers"]),
];

/// What begins with this name is used by these crates alone.
const OWNED: [(&str, &[&str]); 6] = [
    ("redis", &["sincro-queue"]),
    ("apalis", &["sincro-queue"]),
    ("sqlx", &["sincro-store"]),
    ("reqwest", &["sincro-providers", "sincro-cli"]),
    ("axum", &["sincro-api", "sincro-simulator"]),
    // It brings an HTTP client of its own, which speaks to the store for files and to nobody else.
    ("object_store", &["sincro-worker"]),
];

/// What does I/O, waits or measures; the vocabulary does none of that.
const NOT_IN_CORE: [&str; 7] = ["tokio", "futures", "hyper", "tower", "metrics", "tracing", "config"];

#[test]
fn every_crate_knows_only_whom_it_may_know() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        KNOWS.iter().map(|(name, knows)| (*name, knows.iter().copied().collect())).collect();
    let packages = packages();
    let found: BTreeSet<&str> = packages.iter().map(name).collect();
    assert_eq!(found, allowed.keys().copied().collect(), "the crates of the workspace");
    for package in &packages {
        for dependency in dependencies(package).filter(|dependency| found.contains(name(dependency))) {
            let may = &allowed[name(package)];
            assert!(may.contains(name(dependency)), "{} must not know {}", name(package), name(dependency));
        }
    }
}

#[test]
fn what_talks_to_the_outside_is_used_in_one_room_each() {
    for package in &packages() {
        let room = name(package);
        // Tests may stand on anything; they are not what is shipped.
        for dependency in dependencies(package).filter(|dependency| dependency["kind"] != "dev") {
            let used = name(dependency);
            for (owned, owners) in OWNED.iter().filter(|(owned, _)| used.starts_with(owned)) {
                assert!(owners.contains(&room), "{room} must not use {used}: {owned} belongs to {owners:?}");
            }
            let foreign = NOT_IN_CORE.iter().any(|foreign| used.starts_with(foreign));
            assert!(room != "sincro-core" || !foreign, "the vocabulary must not use {used}");
        }
    }
}

#[test]
fn every_lua_script_says_what_it_takes_and_what_it_returns() {
    let scripts = files(&root().join("crates/queue/lua"), "lua");
    assert!(scripts.len() > 10, "{scripts:?}");
    for path in scripts {
        let script = fs::read_to_string(&path).unwrap();
        let header: Vec<&str> = script.lines().take_while(|line| line.starts_with("--")).collect();
        let header = header.join("\n");
        let body = &script[header.len()..];
        assert!(header.len() > 20, "{} does not begin with what it is for", path.display());
        if path.parent().is_some_and(|folder| folder.ends_with("shared")) {
            continue;
        }
        for word in ["KEYS[1]", "ARGV[1]", "Returns"] {
            assert!(header.contains(word), "the header of {} says nothing of {word}", path.display());
        }
        for argument in body.split("ARGV[").skip(1).filter_map(|rest| rest.split(']').next()) {
            let Ok(number) = argument.parse::<u32>() else { continue };
            let told = [format!("[{number}]"), format!("[{number}+]")].iter().any(|told| header.contains(told));
            assert!(told, "the header of {} says nothing of ARGV[{number}]", path.display());
        }
        for key in body.split("KEYS[").skip(1).filter_map(|rest| rest.split(']').next()) {
            assert_eq!(key, "1", "{} touches more than one shard", path.display());
        }
    }
}

#[tokio::test]
async fn every_column_of_a_view_is_described_and_nothing_else() {
    let world = World::new().await;
    let columns = world
        .rows(
            "SELECT table_name AS view, json_agg(column_name) AS columns FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name IN (SELECT table_name FROM information_schema.views)
             GROUP BY table_name",
        )
        .await;
    let there: BTreeMap<String, BTreeSet<String>> = columns
        .into_iter()
        .map(|row| (row["view"].as_str().unwrap().to_owned(), serde_json::from_value(row["columns"].clone()).unwrap()))
        .collect();
    assert_eq!(described_views(), there);
}

#[tokio::test]
async fn every_table_view_and_column_is_commented_in_the_database() {
    let world = World::new().await;
    let bare = world
        .rows(
            "SELECT c.relname AS relation, a.attname AS column FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'
             WHERE c.relkind IN ('r', 'v') AND c.relname <> '_sqlx_migrations'
               AND (obj_description(c.oid) IS NULL OR (c.relkind = 'r' AND col_description(c.oid, a.attnum) IS NULL))",
        )
        .await;
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}

#[test]
fn no_test_is_left_out_and_no_test_of_the_system_sleeps() {
    // Put together here, so that this file does not find itself.
    let (left_out, asleep) = (["#[ign", "ore"].concat(), ["sle", "ep("].concat());
    let crates = files(&root().join("crates"), "rs");
    let tests = files(&root().join("tests"), "rs");
    assert!(crates.len() > 50 && tests.len() > 10);
    for path in crates.iter().chain(&tests) {
        let source = fs::read_to_string(path).unwrap();
        assert!(!source.contains(&left_out), "{} leaves a test out", path.display());
        // A chaos run is made of times: what happens when is what it is about.
        let timed = path.components().any(|part| part.as_os_str() == "chaos") || path.ends_with("chaos.rs");
        assert!(timed || !tests.contains(path) || !source.contains(&asleep), "{} waits for a time", path.display());
    }
}

/// What docs/views.md says: the columns of each view, in the first cells of the tables under the views' headings.
fn described_views() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/views.md")).unwrap();
    let mut views: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut view = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            view = heading.split('`').nth(1).map(str::to_owned);
        } else if let (Some(view), Some(row)) = (&view, line.strip_prefix("| `")) {
            let cell = row.split('|').next().unwrap_or_default();
            for column in format!("`{cell}").split('`').skip(1).step_by(2) {
                assert!(
                    views.entry(view.clone()).or_default().insert(column.to_owned()),
                    "{view}.{column} is there twice"
                );
            }
        }
    }
    views
}

fn packages() -> Vec<Value> {
    let cargo = environment::variable("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let mut metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    serde_json::from_value(metadata["packages"].take()).unwrap()
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"].as_array().expect("a list").iter()
}

fn name(of: &Value) -> &str {
    of["name"].as_str().expect("a name")
}

#[tokio::test]
async fn the_capability_table_of_the_readme_is_what_the_code_says() {
    let printed = World::new().await.sincro(&["providers", "--markdown"]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, behind) = readme.split_once("<!-- capabilities -->\n").expect("the table's place");
    let (table, _) = behind.split_once("<!-- /capabilities -->").expect("its end");
    assert_eq!(table.trim(), printed.trim(), "put there what `sincro providers --markdown` prints");
}
