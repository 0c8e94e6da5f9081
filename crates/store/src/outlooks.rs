//! What only the queue knows, written down for the views about once a second, by one process at a time.

use chrono::{DateTime, Utc};
use sincro_core::{
    limit::{Cooldown, Level},
    sync::{SyncId, SyncStatus},
};
use sqlx::{Connection as _, PgConnection};

use crate::{Error, Store, syncs};

/// Names the advisory lock of the one who reports: "sincro outlooks".
const REPORT_LOCK: i64 = 0x0051_C007;

/// A sync that is not over, and where the queue keeps it.
#[derive(Debug, Clone)]
pub struct OpenSync {
    /// The sync, as far as the ledger knows.
    pub status: SyncStatus,
    /// `provider/host:port` of its channel.
    pub server: String,
}

/// A sync as the queue sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncOutlook {
    /// The sync.
    pub sync: SyncId,
    /// Its jobs at workers.
    pub running: i64,
    /// Its jobs that wait for their next attempt.
    pub delayed: i64,
    /// What holds it back.
    pub limited_by: Option<String>,
    /// When its next job can start.
    pub next_at: Option<DateTime<Utc>>,
    /// Seconds until its end.
    pub eta_seconds: Option<f64>,
}

/// A server or a channel as the queue sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelOutlook {
    /// Which of the two.
    pub level: Level,
    /// The server, or the channel's id.
    pub key: String,
    /// Calls per second that the limit allows; none without a limit.
    pub configured_rate: Option<f64>,
    /// Calls per second after what the gateway answered lately; none without a limit.
    pub effective_rate: Option<f64>,
    /// Calls per second that were made lately.
    pub observed_rate: f64,
    /// Jobs at workers.
    pub running: i64,
    /// The rest that is not over.
    pub cooldown: Option<Cooldown>,
}

/// The right to write outlooks; dropped, it lets the next one try.
#[derive(Debug)]
pub struct ReportLock {
    connection: PgConnection,
}

impl ReportLock {
    /// Fails when the right was lost with its connection.
    pub async fn check(&mut self) -> Result<(), Error> {
        Ok(self.connection.ping().await?)
    }

    /// Gives the right back.
    pub async fn end(mut self) -> Result<(), Error> {
        // Said aloud, because the server hears of a closed connection a little later.
        sqlx::query!(r#"SELECT pg_advisory_unlock($1) AS "was_held!""#, REPORT_LOCK)
            .fetch_one(&mut self.connection)
            .await?;
        Ok(self.connection.close().await?)
    }
}

impl Store {
    /// Takes the right to write outlooks, unless somebody else has it.
    pub async fn try_report_lock(&self) -> Result<Option<ReportLock>, Error> {
        let mut connection = self.pool.acquire().await?;
        let free = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "free!""#, REPORT_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        // The lock belongs to this connection, which must not serve anybody else from now on.
        Ok(free.then(|| ReportLock { connection: connection.detach() }))
    }

    /// The oldest of the syncs that are not over.
    pub async fn open_syncs(&self, limit: i64) -> Result<Vec<OpenSync>, Error> {
        syncs::open(&self.pool, limit).await
    }

    /// Writes outlooks down; a sync that is over or gone needs none. Forgets those that nobody renewed for a minute.
    pub async fn write_outlooks(&self, syncs: &[SyncOutlook], levels: &[LevelOutlook]) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        if !syncs.is_empty() {
            write_syncs(&mut connection, syncs).await?;
        }
        if !levels.is_empty() {
            write_levels(&mut connection, levels).await?;
        }
        forget_old(&mut connection).await
    }
}

async fn write_syncs(connection: &mut PgConnection, outlooks: &[SyncOutlook]) -> Result<(), Error> {
    let ids: Vec<SyncId> = outlooks.iter().map(|outlook| outlook.sync).collect();
    let running: Vec<i64> = outlooks.iter().map(|outlook| outlook.running).collect();
    let delayed: Vec<i64> = outlooks.iter().map(|outlook| outlook.delayed).collect();
    let limited_by: Vec<Option<&str>> = outlooks.iter().map(|outlook| outlook.limited_by.as_deref()).collect();
    let next_at: Vec<Option<DateTime<Utc>>> = outlooks.iter().map(|outlook| outlook.next_at).collect();
    let eta: Vec<Option<f64>> = outlooks.iter().map(|outlook| outlook.eta_seconds).collect();
    // The views compare with the clock of the database, so that clock says when it was so.
    sqlx::query!(
        "INSERT INTO sync_outlooks (sync_id, running, delayed, limited_by, next_at, eta_seconds, seen_at)
         SELECT s.id, o.running, o.delayed, o.limited_by, o.next_at, o.eta_seconds, now()
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::double precision[])
              AS o (sync_id, running, delayed, limited_by, next_at, eta_seconds)
         JOIN syncs s ON s.id = o.sync_id AND s.finished_at IS NULL
         ON CONFLICT (sync_id) DO UPDATE SET
            running = excluded.running, delayed = excluded.delayed, limited_by = excluded.limited_by,
            next_at = excluded.next_at, eta_seconds = excluded.eta_seconds, seen_at = excluded.seen_at",
        &ids,
        &running,
        &delayed,
        &limited_by as _,
        &next_at as _,
        &eta as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_levels(connection: &mut PgConnection, outlooks: &[LevelOutlook]) -> Result<(), Error> {
    let keys: Vec<&str> = outlooks.iter().map(|outlook| outlook.key.as_str()).collect();
    let levels: Vec<&str> = outlooks.iter().map(|outlook| outlook.level.as_str()).collect();
    let configured: Vec<Option<f64>> = outlooks.iter().map(|outlook| outlook.configured_rate).collect();
    let effective: Vec<Option<f64>> = outlooks.iter().map(|outlook| outlook.effective_rate).collect();
    let observed: Vec<f64> = outlooks.iter().map(|outlook| outlook.observed_rate).collect();
    let running: Vec<i64> = outlooks.iter().map(|outlook| outlook.running).collect();
    let cooldowns = || outlooks.iter().map(|outlook| outlook.cooldown.as_ref());
    let until: Vec<Option<DateTime<Utc>>> = cooldowns().map(|cooldown| cooldown.map(|rest| rest.until)).collect();
    let reasons: Vec<Option<&str>> = cooldowns().map(|cooldown| cooldown.map(|rest| rest.reason.as_str())).collect();
    sqlx::query!(
        "INSERT INTO level_outlooks (key, level, configured_rate, effective_rate, observed_rate, running, cooldown_until,
                                     cooldown_reason, seen_at)
         SELECT o.*, now()
         FROM UNNEST($1::text[], $2::text[], $3::double precision[], $4::double precision[], $5::double precision[],
                     $6::bigint[], $7::timestamptz[], $8::text[]) AS o
         ON CONFLICT (key) DO UPDATE SET
            level = excluded.level, configured_rate = excluded.configured_rate, effective_rate = excluded.effective_rate,
            observed_rate = excluded.observed_rate, running = excluded.running, cooldown_until = excluded.cooldown_until,
            cooldown_reason = excluded.cooldown_reason, seen_at = excluded.seen_at",
        &keys as _,
        &levels as _,
        &configured as _,
        &effective as _,
        &observed,
        &running,
        &until as _,
        &reasons as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Both tables hold little more than what is going on, so that looking through them costs nothing worth an index.
async fn forget_old(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "WITH levels AS (DELETE FROM level_outlooks WHERE seen_at < now() - interval '1 minute')
         DELETE FROM sync_outlooks WHERE seen_at < now() - interval '1 minute'"
    )
    .execute(connection)
    .await?;
    Ok(())
}
