//! Pause, resume, cancel and retry a sync.
//!
//! Each is one transaction that returns the new status and the notice the queue must hear. Asking for what is already
//! so changes nothing and is no error; steering a sync that is over is.

use sincro_core::{
    clock,
    job::JobId,
    notice::{Entry, Notice},
    sync::{SyncId, SyncState, SyncStatus},
};
use sqlx::PgConnection;

use crate::{Conflict, Error, Store, channels, notices, syncs};

/// Failed jobs in one notice.
const REQUEUED_AT_ONCE: i64 = 1_000;

/// A sync after it was steered, and what the queue must hear, if anything changed.
pub type Steered = (SyncStatus, Option<Notice>);

impl Store {
    /// Nothing new of this sync starts; what runs is finished.
    pub async fn pause_sync(&self, id: SyncId, reason: Option<&str>) -> Result<Steered, Error> {
        let mut tx = self.pool.begin().await?;
        match syncs::lock(&mut tx, id).await?.state {
            SyncState::Planning | SyncState::Running => {}
            SyncState::Paused => return Ok((syncs::find(&mut tx, id).await?, None)),
            _ => return Err(Conflict::SyncOver.into()),
        }
        sqlx::query!(
            "UPDATE syncs SET state = 'paused', reason = $2, revision = revision + 1 WHERE id = $1",
            id,
            reason
        )
        .execute(&mut *tx)
        .await?;
        finish(tx, id).await
    }

    /// A paused sync goes on.
    pub async fn resume_sync(&self, id: SyncId) -> Result<Steered, Error> {
        let mut tx = self.pool.begin().await?;
        match syncs::lock(&mut tx, id).await?.state {
            SyncState::Paused => {}
            SyncState::Planning | SyncState::Running => return Ok((syncs::find(&mut tx, id).await?, None)),
            _ => return Err(Conflict::SyncOver.into()),
        }
        sqlx::query!(
            "UPDATE syncs SET state = CASE WHEN planned THEN 'running' ELSE 'planning' END, reason = NULL,
                    revision = revision + 1
             WHERE id = $1",
            id
        )
        .execute(&mut *tx)
        .await?;
        finish(tx, id).await
    }

    /// Stops a sync for good: open jobs are cancelled, a late result of a running one changes nothing.
    pub async fn cancel_sync(&self, id: SyncId, reason: Option<&str>) -> Result<Steered, Error> {
        let mut tx = self.pool.begin().await?;
        let status = syncs::lock(&mut tx, id).await?;
        match status.state {
            SyncState::Cancelled => return Ok((status, None)),
            state if state.is_terminal() => return Err(Conflict::SyncOver.into()),
            _ => {}
        }
        let now = clock::now();
        sqlx::query!(
            "UPDATE jobs SET state = 'cancelled', next_at = NULL, settled_at = $2
             WHERE sync_id = $1 AND state IN ('queued', 'delayed', 'awaiting')",
            id,
            now
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE syncs SET state = 'cancelled', reason = $2, finished_at = $3, revision = revision + 1,
                    jobs_cancelled = jobs_cancelled + jobs_queued + jobs_delayed + jobs_awaiting,
                    jobs_queued = 0, jobs_delayed = 0, jobs_awaiting = 0
             WHERE id = $1",
            id,
            reason,
            now
        )
        .execute(&mut *tx)
        .await?;
        finish(tx, id).await
    }

    /// Queues the failed jobs again, each with as many attempts as a new one has. Opens a sync that had ended.
    pub async fn retry_sync(&self, id: SyncId, max_attempts: u32) -> Result<Steered, Error> {
        let channel = self.sync(id).await?.channel_id;
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, channel).await?;
        let status = syncs::lock(&mut tx, id).await?;
        let pruned = sqlx::query_scalar!(r#"SELECT pruned_at IS NOT NULL AS "pruned!" FROM syncs WHERE id = $1"#, id);
        // What is pruned may have lost the very jobs that would run again.
        if status.state == SyncState::Cancelled || pruned.fetch_one(&mut *tx).await? {
            return Err(Conflict::SyncOver.into());
        }
        // The plan job, if it is one of them, has the lowest id.
        let mut entries = requeue_failed(&mut tx, id, 0, max_attempts).await?;
        if entries.is_empty() {
            return Ok((status, None));
        }
        let was_over = status.state.is_terminal();
        if was_over
            && status.kind.is_alone()
            && let Some(running) = syncs::open_sync(&mut tx, channel, status.kind).await?
        {
            return Err(Conflict::SyncRunning(running).into());
        }
        reopen(&mut tx, id).await?;
        let first = notices::write_lane(&mut tx, id, was_over, &entries).await?;
        while let Some(Entry::Tried { job: last, .. }) = entries.last() {
            entries = requeue_failed(&mut tx, id, *last, max_attempts).await?;
            if !entries.is_empty() {
                // Left to the sweeper, so that nobody has to hold them all.
                notices::write_lane(&mut tx, id, false, &entries).await?;
            }
        }
        let status = syncs::find(&mut tx, id).await?;
        tx.commit().await?;
        Ok((status, Some(first)))
    }
}

/// Queues the next failed jobs behind one of them: as many as fit well into a notice.
async fn requeue_failed(
    connection: &mut PgConnection,
    id: SyncId,
    behind: JobId,
    max_attempts: u32,
) -> Result<Vec<Entry>, Error> {
    let jobs = sqlx::query!(
        "UPDATE jobs SET state = 'queued', attempt_limit = attempts + $2, ran_alone = false, reason = NULL, settled_at = NULL
         WHERE id IN (SELECT id FROM jobs WHERE sync_id = $1 AND state = 'failed' AND id > $3 ORDER BY id LIMIT $4)
         RETURNING id, attempts",
        id,
        max_attempts.cast_signed(),
        behind,
        REQUEUED_AT_ONCE
    );
    let mut jobs = jobs.fetch_all(connection).await?;
    jobs.sort_unstable_by_key(|job| job.id);
    Ok(jobs.into_iter().map(|job| Entry::Tried { job: job.id, attempts: job.attempts, due_ms: 0 }).collect())
}

/// The plan job is not among the counted ones; a sync whose planning failed plans again.
async fn reopen(connection: &mut PgConnection, id: SyncId) -> Result<(), Error> {
    sqlx::query!(
        "WITH plan AS (SELECT EXISTS (SELECT 1 FROM jobs WHERE sync_id = $1 AND kind = 'plan' AND state = 'queued') AS again)
         UPDATE syncs SET jobs_queued = jobs_queued + jobs_failed, jobs_failed = 0, finished_at = NULL, error = NULL,
                planned = NOT plan.again, revision = revision + 1,
                state = CASE WHEN state = 'paused' THEN state WHEN plan.again THEN 'planning' ELSE 'running' END
         FROM plan WHERE id = $1",
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn finish(mut tx: sqlx::Transaction<'_, sqlx::Postgres>, id: SyncId) -> Result<Steered, Error> {
    let notice = notices::write_lane(&mut tx, id, false, &[]).await?;
    let status = syncs::find(&mut tx, id).await?;
    tx.commit().await?;
    Ok((status, Some(notice)))
}
