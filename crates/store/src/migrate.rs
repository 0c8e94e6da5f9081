//! Bringing the schema up to date, one process at a time.
//!
//! Whoever finds another one at it asks again instead of waiting within a statement: an index that is built beside its table's
//! writers waits for every statement that is older than itself, and would wait for that one for ever.

use std::time::Duration;

use sqlx::{Connection as _, PgPool, migrate::MigrateError};

use crate::{Error, error};

/// During an upgrade the schema may be newer than this binary; what it does not know is none of its concern.
static MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate::Migrator { ignore_missing: true, locking: false, ..sqlx::migrate!("../../migrations") };

/// The advisory lock's name: "sincro migrates".
const MIGRATE_LOCK: i64 = 0x0051_C0A7;
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A migration and the processes of the version before lock tables in different orders; whoever is told to give way tries again.
const TRIES: u32 = 20;

/// Runs what is missing.
pub(crate) async fn run(pool: &PgPool) -> Result<(), Error> {
    // The lock belongs to this connection, and goes with it.
    let mut connection = pool.acquire().await?.detach();
    // A big table takes its time.
    sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
    let lock = || sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)").bind(MIGRATE_LOCK);
    while !lock().fetch_one(&mut connection).await? {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    for left in (0..TRIES).rev() {
        match MIGRATIONS.run(&mut connection).await {
            Ok(()) => break,
            // Nothing of that migration was written.
            Err(MigrateError::ExecuteMigration(error, number)) if left > 0 && is_deadlock(&error) => {
                tracing::warn!(number, "a migration and running processes waited for each other; trying it again");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => return Err(Error::Migration(error.to_string())),
        }
    }
    Ok(connection.close().await?)
}

fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(error::DEADLOCK)
}

/// Whether the schema is at least as new as this binary needs.
pub(crate) async fn is_done(pool: &PgPool) -> Result<bool, Error> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    let applied: Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await;
    match applied {
        Ok(applied) => Ok(applied.is_some_and(|applied| applied >= newest)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(error::UNDEFINED_TABLE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
