//! Jobs for workers, in bulk, and for people, a page at a time.

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::ChannelId,
    clock,
    contact::ContactId,
    job::{Job, JobId, JobKind, JobLine, JobState, Step},
    sync::SyncId,
};

use sqlx::PgConnection;

use crate::{Error, Store, plan, syncs, unreadable::UnreadableJob};

/// Which jobs of a sync to list.
#[derive(Debug, Default, Clone)]
pub struct JobFilter {
    /// Only in this state, as the ledger knows it (a running job is queued).
    pub state: Option<JobState>,
    /// Only those with a higher id.
    pub after: JobId,
}

struct OpenRow {
    id: JobId,
    sync_id: SyncId,
    channel_id: ChannelId,
    contact_id: Option<ContactId>,
    kind: String,
    address_kind: Option<String>,
    step: serde_json::Value,
    steps_done: i32,
    attempts: i32,
    attempt_limit: i32,
    ran_alone: bool,
    messages_wanted: i32,
    deep: bool,
    window_days: Option<i16>,
    fetched: i32,
    sync_created_at: DateTime<Utc>,
    channel_version: i64,
    sync_paused: bool,
}

impl TryFrom<OpenRow> for Job {
    type Error = UnreadableJob;

    fn try_from(row: OpenRow) -> Result<Self, UnreadableJob> {
        let OpenRow { id, sync_id: sync, steps_done, attempts, attempt_limit, .. } = row;
        let unreadable = |what: &str, cause: &dyn std::fmt::Display| {
            let cause = format!("the ledger's {what} of job {id} cannot be read: {cause}");
            UnreadableJob { id, sync, steps_done, attempts, attempt_limit, cause }
        };
        let address_kind = row.address_kind.map(|kind| kind.parse()).transpose();
        Ok(Self {
            id,
            sync,
            channel: row.channel_id,
            channel_version: row.channel_version,
            contact: row.contact_id,
            kind: row.kind.parse().map_err(|error| unreadable("kind", &error))?,
            address_kind: address_kind.map_err(|error| unreadable("address_kind", &error))?,
            step: serde_json::from_value(row.step).map_err(|error| unreadable("step", &error))?,
            steps_done,
            attempts,
            attempt_limit,
            ran_alone: row.ran_alone,
            messages_wanted: row.messages_wanted.unsigned_abs(),
            deep: row.deep,
            window_from: syncs::window_from(row.sync_created_at, row.window_days),
            fetched: row.fetched.into(),
            sync_paused: row.sync_paused,
        })
    }
}

/// Writes a job that is about no contact, and counts it.
pub(crate) async fn insert_single(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: ChannelId,
    step: &Step,
    max_attempts: u32,
) -> Result<JobId, Error> {
    let kind = match step {
        Step::Restore { .. } => JobKind::Restore,
        Step::Look { .. } => JobKind::Check,
        _ => JobKind::Account,
    };
    let id = sqlx::query_scalar!(
        "INSERT INTO jobs (sync_id, channel_id, kind, state, step, attempt_limit, created_at)
         VALUES ($1, $2, $3, 'queued', $4, $5, $6) RETURNING id",
        sync,
        channel,
        kind.as_str(),
        serde_json::to_value(step).map_err(Error::unreadable)?,
        max_attempts.cast_signed(),
        clock::now()
    );
    let id = id.fetch_one(&mut *connection).await?;
    plan::count(connection, sync, 1, 0).await?;
    Ok(id)
}

impl Store {
    /// The open jobs among these, each as far as it can be read. What is missing from the answer is over, or was never there.
    pub async fn open_jobs(&self, ids: &[JobId]) -> Result<Vec<Result<Job, UnreadableJob>>, Error> {
        let rows = sqlx::query_as!(
            OpenRow,
            r#"SELECT j.id, j.sync_id, j.channel_id, j.contact_id, j.kind, j.address_kind, coalesce(j.step, 'null') AS "step!", j.steps_done,
                      j.attempts, j.attempt_limit, j.ran_alone, s.messages_wanted, s.deep, s.window_days, j.fetched, s.created_at AS sync_created_at,
                      c.version AS channel_version, s.state = 'paused' AS "sync_paused!"
               FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN channels c ON c.id = j.channel_id
               WHERE j.id = ANY($1) AND j.state IN ('queued', 'delayed')"#,
            ids
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Job::try_from).collect())
    }

    /// A job is about to run as the only one of its worker that was lost several times: should it be lost once more, it was not for others.
    pub async fn note_alone(&self, job: JobId) -> Result<(), Error> {
        sqlx::query!("UPDATE jobs SET ran_alone = true WHERE id = $1", job).execute(&self.pool).await?;
        Ok(())
    }

    /// Jobs of a sync by id; the plan job is not among them.
    pub async fn job_lines(&self, sync: SyncId, filter: &JobFilter, limit: i64) -> Result<Vec<JobLine>, Error> {
        let rows = sqlx::query!(
            r#"SELECT job_id AS "job_id!", contact_id, address_kind, address, state AS "state!", attempts AS "attempts!", reason,
                      last_error, waiting_for, next_at, fetched AS "fetched!", stored AS "stored!", left_out AS "left_out!", awaiting_until
               FROM job_status
               WHERE sync_id = $1 AND kind <> $2 AND job_id > $3 AND ($4::text IS NULL OR state = $4)
               ORDER BY job_id LIMIT $5"#,
            sync,
            JobKind::Plan.as_str(),
            filter.after,
            filter.state.map(JobState::as_str) as _,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let lines = rows.into_iter().map(|row| {
            Ok(JobLine {
                id: row.job_id,
                contact_id: row.contact_id,
                address_kind: row.address_kind.map(|kind| kind.parse()).transpose().map_err(Error::unreadable)?,
                address: row.address,
                state: row.state.parse().map_err(Error::unreadable)?,
                attempts: row.attempts,
                reason: row.reason,
                last_error: row.last_error,
                waiting_for: row.waiting_for,
                next_at: row.next_at,
                fetched: row.fetched.into(),
                stored: row.stored.into(),
                left_out: row.left_out.into(),
                awaiting_until: row.awaiting_until,
            })
        });
        lines.collect()
    }
}
