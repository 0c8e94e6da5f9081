//! Jobs nobody can read: somebody's hand was in the table, or a newer version wrote them.
//!
//! Their attempts fail with the cause, the last one for good, so that their sync ends and says why. Until then a worker of the
//! newer version may come by; afterwards a retry queues them as they are, for when they are mended.

use chrono::{DateTime, Utc};
use sincro_core::{
    clock,
    job::{JobId, JobKind, JobState},
    notice::Notice,
    sync::SyncId,
};
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
    /// The attempt after which it fails.
    pub attempt_limit: i32,
    /// What is wrong with it.
    pub cause: String,
}

impl Store {
    /// Records that an attempt could not be made: the next one is `due` then, or there is none. Nothing else of the row changes.
    pub async fn settle_unreadable(
        &self,
        job: &UnreadableJob,
        fence: Fence,
        due: Option<DateTime<Utc>>,
    ) -> Result<(Recorded, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        syncs::lock(&mut tx, job.sync).await?;
        let before = match fence_one(&mut tx, fence).await? {
            Ok(state) => state,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        let after = if due.is_some() { JobState::Delayed } else { JobState::Failed };
        if write(&mut tx, job, fence, after, due).await? == JobKind::Plan.as_str() {
            note_plan(&mut tx, job, after).await?;
        } else {
            count(&mut tx, job.sync, before, after).await?;
        }
        let notices = syncs::close_finished(&mut tx, &[job.sync]).await?;
        tx.commit().await?;
        Ok((due.map_or(Recorded::Ended, |due| Recorded::Delayed { due }), notices))
    }
}

/// Its kind, which may be none that we know.
async fn write(
    connection: &mut PgConnection,
    job: &UnreadableJob,
    fence: Fence,
    after: JobState,
    due: Option<DateTime<Utc>>,
) -> Result<String, Error> {
    let kind = sqlx::query_scalar!(
        "UPDATE jobs SET state = $2, next_at = $3, attempts = $4, reason = $5, last_error = $6, settled_at = $7,
                steps_done = steps_done + CASE WHEN $3::timestamptz IS NULL THEN 1 ELSE 0 END
         WHERE id = $1 RETURNING kind",
        job.id,
        after.as_str(),
        due as _,
        fence.attempt.min(job.attempt_limit),
        UNREADABLE,
        job.cause,
        clock::now()
    );
    Ok(kind.fetch_one(connection).await?)
}

/// No counter knows the plan job; without it no more jobs will come.
async fn note_plan(connection: &mut PgConnection, job: &UnreadableJob, after: JobState) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE syncs SET error = $2, planned = planned OR $3, revision = revision + 1 WHERE id = $1",
        job.sync,
        job.cause,
        after == JobState::Failed
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn count(connection: &mut PgConnection, sync: SyncId, before: JobState, after: JobState) -> Result<(), Error> {
    let moved = |state: JobState| i64::from(after == state) - i64::from(before == state);
    sqlx::query!(
        "UPDATE syncs SET jobs_queued = jobs_queued + $2, jobs_delayed = jobs_delayed + $3, jobs_awaiting = jobs_awaiting + $4,
                jobs_failed = jobs_failed + $5, revision = revision + 1
         WHERE id = $1",
        sync,
        moved(JobState::Queued),
        moved(JobState::Delayed),
        moved(JobState::Awaiting),
        moved(JobState::Failed)
    )
    .execute(connection)
    .await?;
    Ok(())
}
