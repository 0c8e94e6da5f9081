//! During a rolling upgrade the old binary works on the new schema. So a migration adds, and takes nothing away.
//!
//! Reads the statements of every migration after those that were there when this was promised, and knows the few that break an
//! old binary, or stop it for as long as a big table is read. A table that the same file creates is nobody's yet.

use std::{collections::BTreeSet, fs};

use super::{files, root};

/// The last one of which nothing was promised.
const BEFORE_THE_PROMISE: u32 = 5;

/// Constraints that may go, because no version relied on them.
const UNUSED: [&str; 5] = [
    // Messages and jobs of a channel are deleted before it is, and nobody deletes a contact or a sync by itself.
    "DROP CONSTRAINT MESSAGES_CHANNEL_ID_FKEY",
    "DROP CONSTRAINT MESSAGES_CONTACT_ID_FKEY",
    "DROP CONSTRAINT JOBS_SYNC_ID_FKEY",
    "DROP CONSTRAINT JOBS_CONTACT_ID_FKEY",
    // A trigger deletes them with their channel.
    "DROP CONSTRAINT CONTACTS_CHANNEL_ID_FKEY",
];

#[test]
fn every_migration_leaves_room_for_the_binary_before_it() {
    let mut migrations = files(&root().join("migrations"), "sql");
    migrations.sort();
    assert!(migrations.len() >= 5, "{migrations:?}");
    for path in migrations {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let number: u32 = name.split('_').next().unwrap().parse().expect("a migration begins with its number");
        if number > BEFORE_THE_PROMISE {
            let objections = objections(&fs::read_to_string(&path).unwrap());
            assert!(objections.is_empty(), "{name} is not safe beside the version before it: {objections:#?}");
        }
    }
}

#[test]
fn what_would_break_the_binary_before_is_objected_to() {
    for bad in [
        "DROP TABLE jobs;",
        "DROP INDEX jobs_by_step;",
        "ALTER TABLE jobs DROP CONSTRAINT few;",
        "ALTER TABLE jobs DROP COLUMN step;",
        "ALTER TABLE jobs RENAME COLUMN step TO stage;",
        "alter table jobs alter column step type text;",
        "ALTER TABLE jobs ALTER COLUMN step SET DATA TYPE text;",
        "ALTER TABLE jobs ALTER COLUMN step SET NOT NULL;",
        "ALTER TABLE jobs ADD COLUMN a integer NOT NULL;",
        "ALTER TABLE jobs ADD COLUMN a integer NOT NULL DEFAULT 1, ADD COLUMN b integer NOT NULL;",
        "ALTER TABLE jobs ADD CONSTRAINT few CHECK (attempts < 7);",
        "ALTER TABLE jobs DROP CONSTRAINT few, ADD CONSTRAINT fewer CHECK (attempts < 7) NOT VALID;",
        "ALTER TABLE jobs DROP CONSTRAINT few, ADD CONSTRAINT few CHECK (attempts < 7);",
        "ALTER TABLE jobs ADD CONSTRAINT whose FOREIGN KEY (a) REFERENCES channels (id);",
        "CREATE INDEX jobs_by_step ON jobs (step);",
    ] {
        assert_eq!(objections(bad).len(), 1, "{bad}");
    }
}

#[test]
fn what_only_adds_is_welcome() {
    for good in [
        "CREATE TABLE new (a integer NOT NULL CHECK (a > 0)); CREATE UNIQUE INDEX new_a ON new (a);
         ALTER TABLE new ADD CONSTRAINT small CHECK (a < 7); COMMENT ON TABLE new IS 'DROP TABLE; it''s no order';",
        "-- DROP TABLE jobs;\nALTER TABLE jobs ADD COLUMN a integer NOT NULL DEFAULT 1;",
        "ALTER TABLE jobs ADD COLUMN a numeric(4, 2);",
        "ALTER TABLE jobs ADD CONSTRAINT few CHECK (attempts < 7) NOT VALID;",
        "ALTER TABLE jobs DROP CONSTRAINT few, ADD CONSTRAINT few CHECK (attempts < 9) NOT VALID;",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_by_step ON jobs (step);",
        "DROP INDEX CONCURRENTLY IF EXISTS jobs_by_step;",
        "ALTER TABLE jobs DROP CONSTRAINT jobs_sync_id_fkey;",
        "ALTER TABLE jobs SET (fillfactor = 60);",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE jobs; END $$;",
    ] {
        assert_eq!(objections(good), Vec::<String>::new(), "{good}");
    }
}

/// What is wrong with a migration: each statement that is not safe, and why.
fn objections(migration: &str) -> Vec<String> {
    let statements = statements(migration);
    let created: BTreeSet<&str> = statements.iter().filter_map(|statement| created_table(statement)).collect();
    let objections = statements.iter().filter_map(|statement| {
        let why = objection(statement, &created)?;
        Some(format!("{why}: {statement}"))
    });
    objections.collect()
}

/// Why an old binary cannot live with a statement.
fn objection(statement: &str, created: &BTreeSet<&str>) -> Option<&'static str> {
    // Without an index it is slower, and no more.
    if statement.starts_with("DROP ") && !statement.starts_with("DROP INDEX CONCURRENTLY ") {
        return Some("the old binary may still use it");
    }
    if let Some(on) = statement.split_once(" ON ").map(|(_, on)| on.split([' ', '(']).next().unwrap_or_default())
        && (statement.starts_with("CREATE INDEX ") || statement.starts_with("CREATE UNIQUE INDEX "))
        && !statement.contains(" CONCURRENTLY ")
        && !created.contains(on)
    {
        return Some("nobody can write while it is built; build it CONCURRENTLY, alone in its file");
    }
    let table = statement.strip_prefix("ALTER TABLE ")?.trim_start_matches("IF EXISTS ").trim_start_matches("ONLY ");
    let (table, actions) = table.split_once(' ')?;
    if created.contains(table) {
        return None;
    }
    let actions = actions_of(actions);
    // A constraint that gives way to one of its name in the same breath: what is forbidden from then on is objected to below.
    let replaced = |action: &String| {
        action
            .strip_prefix("DROP CONSTRAINT ")
            .is_some_and(|name| actions.iter().any(|other| other.starts_with(&format!("ADD CONSTRAINT {name} "))))
    };
    let kept = |action: &&String| !replaced(action) && !UNUSED.contains(&action.as_str());
    actions.iter().filter(kept).find_map(|action| objection_to_action(action))
}

fn objection_to_action(action: &str) -> Option<&'static str> {
    let says = |words: &str| format!(" {action} ").contains(&format!(" {words} "));
    if says("DROP COLUMN") || says("DROP CONSTRAINT") {
        Some("the old binary may still rely on it")
    } else if says("RENAME") {
        Some("the old binary knows it by its old name")
    } else if action.starts_with("ALTER") && (says("TYPE") || says("SET NOT NULL")) {
        Some("the old binary writes what it always wrote, and the whole table is read under a lock")
    } else if action.starts_with("ADD COLUMN") && says("NOT NULL") && !says("DEFAULT") {
        Some("the old binary does not fill it; give it a DEFAULT")
    } else if action.starts_with("ADD CONSTRAINT") && (says("CHECK") || says("FOREIGN KEY")) && !says("NOT VALID") {
        Some("the whole table is read under a lock; add it NOT VALID and validate it in a later migration")
    } else {
        None
    }
}

/// The actions of one ALTER TABLE: what is between commas that stand in no brackets.
fn actions_of(actions: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut depth = 0_u32;
    for c in actions.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            found.push(String::new());
        } else if let Some(action) = found.last_mut() {
            action.push(c);
        }
    }
    found.iter().map(|action| action.trim().to_owned()).collect()
}

fn created_table(statement: &str) -> Option<&str> {
    let name = statement.strip_prefix("CREATE TABLE ")?.trim_start_matches("IF NOT EXISTS ");
    name.split([' ', '(']).next()
}

/// The statements in capitals with single blanks, without comments and without what is quoted, also by dollars.
fn statements(migration: &str) -> Vec<String> {
    let bare: Vec<&str> = migration.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let bare = bare.join(" ");
    let outside_dollars: String = bare.split("$$").step_by(2).collect::<Vec<_>>().join("$$");
    let unquoted: String = outside_dollars.split('\'').step_by(2).collect::<Vec<_>>().join("''");
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    unquoted.split(';').map(words).filter(|statement| !statement.is_empty()).collect()
}
