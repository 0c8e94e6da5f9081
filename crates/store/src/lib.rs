//! The ledger in Postgres: the truth of Sincro, and the only room that writes SQL.
//!
//! | module | what it keeps |
//! |---|---|
//! | `knock` | whether there is a database that lets us in |
//! | `migrate` | the schema, brought up to date |
//! | [`access`] | API keys and remembered answers |
//! | [`channels`] | channels and their sealed credentials |
//! | `pauses` | channels that stand still, and go on |
//! | [`limits`] | the rules of `/v1/limits`, and every change of a limit |
//! | `cooldowns`, [`calls`] | rests and counted calls that outlive the queue |
//! | [`contacts`] | persons: upserts, learned LIDs, merging |
//! | [`syncs`] | creating and reading syncs |
//! | [`steer`] | pause, resume, cancel, retry |
//! | [`listing`] | a contact list, kept piece by piece while it is read |
//! | [`plan`] | contacts -> jobs, one piece at a time |
//! | [`jobs`] | jobs for workers and for people |
//! | [`settle`] | outcomes: messages, jobs, counters in one transaction |
//! | [`requests`] | requests that are answered by webhook, before they are made |
//! | [`awaiting`] | jobs that wait for that answer, a turn or a time |
//! | `turns` | one such request per channel, and phones that are silent |
//! | `accounts` | jobs for a whole number |
//! | `restored` | a message that was brought back |
//! | [`checks`] | what looks at a channel's set-up found |
//! | `messages` | messages into their table |
//! | [`media`] | the files of messages: what is known, and what became of them |
//! | [`media_syncs`] | syncs that fetch files |
//! | [`unreadable`] | jobs that cannot be read fail |
//! | [`reading`] | stored messages and receipts |
//! | [`prune`] | old jobs are deleted |
//! | [`inbox`] | webhooks as they came |
//! | [`ingest`] | what they tell, into the ledger |
//! | [`notices`] | the outbox to the queue |
//! | [`restore`] | what the queue needs when it was emptied |
//! | [`outlooks`] | what only the queue knows, for the views |
//! | [`changes`] | which sync changed, as it happens |
//!
//! Locks are always taken in the order limit rules, channels, syncs, jobs, contacts, each by id, so that no two
//! transactions of ours can wait for each other in a circle.
//! This crate makes no decision about retries, limits or gateways.

pub mod access;
mod accounts;
pub mod awaiting;
pub mod calls;
pub mod changes;
pub mod channels;
pub mod checks;
pub mod contacts;
mod cooldowns;
mod error;
pub mod inbox;
pub mod ingest;
pub mod jobs;
mod knock;
pub mod limits;
pub mod listing;
pub mod media;
pub mod media_syncs;
mod messages;
mod migrate;
pub mod notices;
pub mod outlooks;
mod pauses;
pub mod plan;
pub mod prune;
pub mod reading;
pub mod requests;
pub mod restore;
mod restored;
mod secret;
pub mod settle;
pub mod steer;
pub mod syncs;
mod turns;
pub mod unreadable;

use std::time::Duration;

use sqlx::{PgPool, postgres::PgPoolOptions};

pub use error::{Conflict, Error, Missing};
pub use secret::{BadSecretKey, SecretKey};

/// How long a caller waits for a free connection before it is told that the database is unavailable.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// What holds for every connection: a process that freezes within a transaction, or a lock that is not given back, stops
/// the others for so long at most. And a commit is on disk when it is answered, whatever a role or a database has set.
const SESSION: &str = "
    SET lock_timeout = '10s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '15s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// The ledger. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    secret_key: Option<SecretKey>,
}

impl Store {
    /// Opens a pool of at most `connections` and checks that the database answers. Without a secret key everything works
    /// but channels cannot be created, nor their credentials read.
    pub async fn connect(database_url: &str, connections: u32, secret_key: Option<SecretKey>) -> Result<Self, Error> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECTION_WAIT)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SESSION).execute(connection).await.map(drop) })
            })
            // Where nobody answers any more a connection would not even come back to be closed.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let asked = tokio::time::timeout(CONNECTION_WAIT, sqlx::Connection::ping(connection));
                    asked.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .connect(database_url)
            .await?;
        Ok(Self { pool, secret_key })
    }

    /// Asks once whether the database lets us in, and waits for none that is away: for who wants to say so, and ask again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when asking again may help, [`Error::Refused`] when somebody has to change the settings.
    pub async fn knock(database_url: &str) -> Result<(), Error> {
        knock::knock(database_url).await
    }

    /// Brings the schema up to this binary's version. Safe to run beside other processes doing the same.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate::run(&self.pool).await
    }

    /// Whether the schema is at least as new as this binary needs.
    pub async fn is_migrated(&self) -> Result<bool, Error> {
        migrate::is_done(&self.pool).await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// The version of the database server, as it calls itself.
    pub async fn server_version(&self) -> Result<String, Error> {
        Ok(sqlx::query_scalar("SHOW server_version").fetch_one(&self.pool).await?)
    }

    /// Settings of the server with which a power cut can cost what was committed.
    pub async fn risky_settings(&self) -> Result<Vec<String>, Error> {
        let off = "SELECT name FROM pg_settings
                   WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name";
        Ok(sqlx::query_scalar(off).fetch_all(&self.pool).await?)
    }

    fn secret_key(&self) -> Result<&SecretKey, Error> {
        self.secret_key.as_ref().ok_or_else(|| Error::unreadable("credentials need SINCRO_SECRET_KEY"))
    }

    /// Closes the pool after everything under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
