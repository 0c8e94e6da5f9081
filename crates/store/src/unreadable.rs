//! Jobs nobody can read: somebody's hand was in the table, or a newer version wrote them.
//!
//! They fail with the cause, so that their sync ends and says why; a retry queues them as they are, for when they are mended.

use sincro_core::{clock, job::JobId, notice::Notice, sync::SyncId};
use sqlx::PgConnection;

use crate::{
    Error, Store,
    settle::{Fence, Recorded, fence_one},
    syncs,
};

/// The stable word on such a job.
pub const UNREADABLE: &str = "unreadable";

/// As much of a job as can be told without reading what it would do.
#[derive(Debug, Clone)]
pub struct UnreadableJob {
    /// Row id.
    pub id: JobId,
    /// The sync it belongs to.
    pub sync: SyncId,
    /// How many steps are settled: part of the fence.
    pub steps_done: i32,
    /// Attempts settled so far.
    pub attempts: i32,
    /// What is wrong with it.
    pub cause: String,
}

impl Store {
    /// Ends such a job. Nothing of its row changes but how it ended.
    pub async fn fail_unreadable(&self, job: &UnreadableJob, fence: Fence) -> Result<(Recorded, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        syncs::lock(&mut tx, job.sync).await?;
        let before = match fence_one(&mut tx, fence).await? {
            Ok(state) => state,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        let is_plan = fail(&mut tx, job, fence).await?;
        if is_plan {
            sqlx::query!(
                "UPDATE syncs SET error = $2, planned = true, revision = revision + 1 WHERE id = $1",
                job.sync,
                job.cause
            )
            .execute(&mut *tx)
            .await?;
        } else {
            sqlx::query!(
                "UPDATE syncs SET jobs_failed = jobs_failed + 1, revision = revision + 1,
                        jobs_queued = jobs_queued - CASE WHEN $2 = 'queued' THEN 1 ELSE 0 END,
                        jobs_delayed = jobs_delayed - CASE WHEN $2 = 'delayed' THEN 1 ELSE 0 END,
                        jobs_awaiting = jobs_awaiting - CASE WHEN $2 = 'awaiting' THEN 1 ELSE 0 END
                 WHERE id = $1",
                job.sync,
                before.as_str()
            )
            .execute(&mut *tx)
            .await?;
        }
        let notices = syncs::close_finished(&mut tx, &[job.sync]).await?;
        tx.commit().await?;
        Ok((Recorded::Ended, notices))
    }
}

/// Whether it was the plan job, which no counter knows.
async fn fail(connection: &mut PgConnection, job: &UnreadableJob, fence: Fence) -> Result<bool, Error> {
    let kind = sqlx::query_scalar!(
        "UPDATE jobs SET state = 'failed', reason = $2, last_error = $3, next_at = NULL, attempts = $4,
                steps_done = steps_done + 1, settled_at = $5
         WHERE id = $1 RETURNING kind",
        job.id,
        UNREADABLE,
        job.cause,
        fence.attempt,
        clock::now()
    );
    Ok(kind.fetch_one(connection).await? == "plan")
}
