//! What the queue needs when something of it was lost: a new epoch for a shard, and the open jobs of its lanes.
//!
//! One process restores a shard at a time, or compares it with the ledger, under an advisory lock that its connection holds.
//! A lane is read as of one moment and put back later; a result that is being recorded just then ends a job that is queued
//! once more, and whoever claims it finds it over.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt as _;
use serde_json::value::RawValue;
use sincro_core::{
    clock,
    notice::{Entry, Notice},
    sync::SyncId,
};
use sqlx::{Connection as _, PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    Error, Store,
    notices::{NoticeRow, notice_rows},
};

/// The first half of the advisory lock's name: "sincro restores".
const RESTORE_LOCK: i32 = 0x51C0;

/// The right to restore one shard; dropped, it lets the next one try.
#[derive(Debug)]
pub struct RestoreLock {
    pub(crate) connection: PgConnection,
    namespace: String,
    shard: i32,
}

/// The life of a shard that the ledger knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its number.
    pub epoch: i64,
    /// The layout of the shard's keys.
    pub layout: i32,
}

/// An open sync, as the janitors go through them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneOwner {
    /// The sync.
    pub sync: SyncId,
    /// Its channel.
    pub channel: Uuid,
    /// The provider server of that; the queue knows which are a shard's.
    pub server: String,
    /// Its open jobs, about.
    pub jobs: i64,
}

/// What the queue must hold of an open sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneCount {
    /// The number of its last notice.
    pub seq: i64,
    /// Jobs that wait or run.
    pub jobs: i64,
    /// The first of its notices that the queue has not confirmed.
    pub undelivered: Option<i64>,
    /// One of those opens its lane.
    pub unopened: bool,
}

impl Store {
    /// Takes the right to restore a shard, unless somebody else is at it.
    pub async fn lock_restoration(&self, namespace: &str, shard: u16) -> Result<Option<RestoreLock>, Error> {
        let mut connection = self.pool.acquire().await?;
        let free = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock($1, hashtext($2)) AS "free!""#,
            RESTORE_LOCK,
            format!("{namespace}/{shard}")
        )
        .fetch_one(&mut *connection)
        .await?;
        // The lock belongs to this connection, which must not serve anybody else from now on.
        Ok(free.then(|| RestoreLock {
            connection: connection.detach(),
            namespace: namespace.to_owned(),
            shard: i32::from(shard),
        }))
    }
}

impl RestoreLock {
    /// The life of the shard; none when it never had one.
    pub async fn life(&mut self) -> Result<Option<Life>, Error> {
        let life = sqlx::query_as!(
            Life,
            "SELECT epoch, layout FROM queue_epochs WHERE namespace = $1 AND shard = $2",
            self.namespace,
            self.shard
        );
        Ok(life.fetch_optional(&mut self.connection).await?)
    }

    /// Begins a new life of the shard, with keys of that layout: results that were claimed before no longer count.
    pub async fn begin_epoch(&mut self, layout: i32) -> Result<i64, Error> {
        let epoch = sqlx::query_scalar!(
            "INSERT INTO queue_epochs (namespace, shard, epoch, layout, started_at)
             VALUES ($1, $2, nextval('queue_epoch_numbers'), $3, $4)
             ON CONFLICT (namespace, shard) DO UPDATE
             SET epoch = excluded.epoch, layout = excluded.layout, started_at = excluded.started_at
             RETURNING epoch",
            self.namespace,
            self.shard,
            layout,
            clock::now()
        );
        Ok(epoch.fetch_one(&mut self.connection).await?)
    }

    /// At most so many open syncs behind `after`, in the order of their age: the urgent ones, or the others.
    pub async fn open_syncs(&mut self, urgent: bool, after: SyncId, limit: i64) -> Result<Vec<LaneOwner>, Error> {
        let rows = sqlx::query_as!(
            LaneOwner,
            r#"SELECT s.id AS sync, s.channel_id AS channel, c.server, s.jobs_queued + s.jobs_delayed AS "jobs!"
               FROM syncs s JOIN channels c ON c.id = s.channel_id
               WHERE s.finished_at IS NULL AND (s.kind <> 'channel') = $1 AND s.id > $2 ORDER BY s.id LIMIT $3"#,
            urgent,
            after,
            limit
        );
        Ok(rows.fetch_all(&mut self.connection).await?)
    }

    /// What the queue must hold of those of the syncs that are open now.
    pub async fn lane_counts(&mut self, syncs: &[SyncId]) -> Result<HashMap<SyncId, LaneCount>, Error> {
        // A sync whose jobs are not all planned has a plan job beside those that are counted.
        let rows = sqlx::query!(
            r#"SELECT s.id, s.lane_seq, s.jobs_queued + s.jobs_delayed + (NOT s.planned)::int AS "jobs!",
                      (SELECT min(n.seq) FROM notices n WHERE n.sync_id = s.id) AS undelivered,
                      EXISTS (SELECT FROM notices n WHERE n.sync_id = s.id AND n.opens) AS "unopened!"
               FROM syncs s WHERE s.id = ANY($1) AND s.finished_at IS NULL"#,
            syncs
        );
        let count = |seq, jobs, undelivered, unopened| LaneCount { seq, jobs, undelivered, unopened };
        let rows = rows.fetch_all(&mut self.connection).await?.into_iter();
        Ok(rows.map(|row| (row.id, count(row.lane_seq, row.jobs, row.undelivered, row.unopened))).collect())
    }

    /// Those of the syncs that are not over.
    pub async fn open_among(&mut self, syncs: &[SyncId]) -> Result<HashSet<SyncId>, Error> {
        let open = sqlx::query_scalar!("SELECT id FROM syncs WHERE id = ANY($1) AND finished_at IS NULL", syncs);
        Ok(open.fetch_all(&mut self.connection).await?.into_iter().collect())
    }

    /// The lanes of those of the syncs that are open now, each with all its open jobs, as of one moment and in that order.
    pub async fn lanes(&mut self, syncs: &[SyncId]) -> Result<Vec<Notice>, Error> {
        let mut tx = self.connection.begin().await?;
        sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *tx).await?;
        let rows = lane_rows(&mut tx, syncs).await?;
        let mut jobs = open_entries(&mut tx, syncs).await?;
        tx.commit().await?;
        let mut lanes = Vec::with_capacity(rows.len());
        for row in rows {
            let sync = row.sync_id;
            let mut notice = Notice::try_from(row)?;
            if let (Some(lane), Some(sync)) = (&mut notice.lane, sync) {
                lane.jobs = jobs.remove(&sync).unwrap_or_default();
            }
            lanes.push(notice);
        }
        Ok(lanes)
    }

    /// Channels whose session is lost, as notices of their rules would tell: they are looked at though nothing of theirs waits.
    pub async fn without_session(&mut self) -> Result<Vec<Notice>, Error> {
        let rows = notice_rows!(
            "(SELECT 0::bigint AS id, id AS channel_id, NULL::uuid AS sync_id, NULL::bigint AS seq, false AS opens, '[]'::jsonb AS jobs
              FROM channels WHERE paused_by = 'session')",
            "ORDER BY n.channel_id"
        );
        rows.fetch_all(&mut self.connection).await?.into_iter().map(Notice::try_from).collect()
    }

    /// Ends the restoration and frees the shard's lock.
    pub async fn end(mut self) -> Result<(), Error> {
        // Said aloud, because the server hears of a closed connection a little later.
        sqlx::query!(
            r#"SELECT pg_advisory_unlock($1, hashtext($2)) AS "was_held!""#,
            RESTORE_LOCK,
            format!("{}/{}", self.namespace, self.shard)
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(self.connection.close().await?)
    }
}

/// The lanes without their jobs, as notices that open them would tell.
async fn lane_rows(connection: &mut PgConnection, syncs: &[SyncId]) -> Result<Vec<NoticeRow>, Error> {
    let rows = notice_rows!(
        "(SELECT 0::bigint AS id, channel_id, id AS sync_id, lane_seq AS seq, true AS opens, '[]'::jsonb AS jobs FROM syncs)",
        "WHERE n.sync_id = ANY($1) AND s.finished_at IS NULL ORDER BY array_position($1, n.sync_id)",
        syncs
    );
    Ok(rows.fetch_all(connection).await?)
}

/// The open jobs of each sync: first those that were attempted, with their attempts and times, then spans of the others.
async fn open_entries(connection: &mut PgConnection, syncs: &[SyncId]) -> Result<HashMap<SyncId, Vec<Entry>>, Error> {
    let mut entries: HashMap<SyncId, Vec<Entry>> = HashMap::new();
    let mut tried = sqlx::query!(
        "SELECT sync_id, id, attempts, next_at FROM jobs
         WHERE sync_id = ANY($1) AND state IN ('queued', 'delayed') AND (attempts > 0 OR next_at IS NOT NULL) ORDER BY sync_id, id",
        syncs
    )
    .fetch(&mut *connection);
    while let Some(row) = tried.try_next().await? {
        let due_ms = row.next_at.map_or(0, |due| due.timestamp_millis());
        entries.entry(row.sync_id).or_default().push(Entry::Tried { job: row.id, attempts: row.attempts, due_ms });
    }
    drop(tried);
    // Ids that follow each other are as far from their places in the order as each other.
    let mut fresh = sqlx::query!(
        r#"SELECT sync_id, min(id) AS "first!", max(id) AS "last!"
           FROM (SELECT sync_id, id, id - row_number() OVER (PARTITION BY sync_id ORDER BY id) AS island FROM jobs
                 WHERE sync_id = ANY($1) AND state IN ('queued', 'delayed') AND attempts = 0 AND next_at IS NULL) AS f
           GROUP BY sync_id, island ORDER BY sync_id, min(id)"#,
        syncs
    )
    .fetch(connection);
    while let Some(row) = fresh.try_next().await? {
        entries.entry(row.sync_id).or_default().push(Entry::Span { first: row.first, last: row.last });
    }
    Ok(entries)
}
