//! Turns: of requests whose answers could be confused, one per account is under way.
//!
//! A job takes its account's turn before its request, and gives it back when it is over or its attempt failed. Channels that lead to one
//! account at one server share a turn. Who finds it taken waits in the ledger, and is let go on when it is free. Phones bear only so many
//! requests: the turn rests between two, and those of the last day are counted. A phone that is silent several times in a row is not asked about everybody
//! (docs/decisions/0020-silent-phones.md).

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::{Awaits, Pace},
    channel::ChannelId,
    clock,
    job::{Job, JobId, JobKind, SkipReason},
    notice::Notice,
    sync::SyncId,
};
use sqlx::PgConnection;

use crate::{
    Error, Store,
    awaiting::{Waiting, go_on, lock},
    syncs,
};

/// Jobs that are ended together because a phone is silent.
const SPARED_AT_ONCE: i64 = 1_000;

impl Store {
    /// Gives every channel's free turn to the next job that waits for it: urgent ones first, then the oldest. A turn rests after it became
    /// free.
    pub async fn give_turns(&self, pace: &Pace, now: DateTime<Utc>) -> Result<Vec<Notice>, Error> {
        let next = sqlx::query_scalar!(
            r#"SELECT n.job_id AS "job_id!" FROM (
                 SELECT DISTINCT ON (a.channel_id) a.channel_id, a.job_id FROM awaiting_jobs a
                 JOIN jobs j ON j.id = a.job_id JOIN syncs s ON s.id = j.sync_id
                 WHERE a.awaits = 'turn' AND j.state = 'awaiting' AND s.state <> 'paused'
                 ORDER BY a.channel_id, s.kind = 'channel', a.job_id) n
               LEFT JOIN turns t ON t.channel_id = turn_channel(n.channel_id)
               WHERE t.channel_id IS NULL
                  OR (t.job_id IS NULL AND t.free_at + make_interval(secs => $2 * (1 + t.jitter)) <= $1)
               ORDER BY n.job_id"#,
            now,
            pace.gap.as_secs_f64()
        );
        let mut given = Vec::new();
        for job in next.fetch_all(&self.pool).await? {
            let mut tx = self.pool.begin().await?;
            if let Some((waiting, awaited)) = lock(&mut tx, job).await?
                && awaited.awaits == Awaits::Turn
                && take_turn(&mut tx, &Asking::from(&waiting), pace, now).await?
            {
                given.push(go_on(&mut tx, &waiting).await?);
            }
            tx.commit().await?;
        }
        Ok(given)
    }

    /// Ends bulk jobs that wait to ask a phone which has been silent so many times in a row; how many, and what the queue must hear.
    pub async fn spare_silent_phones(&self, silences: u32) -> Result<(u64, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        let spared = sqlx::query!(
            r#"SELECT j.id, j.sync_id FROM turns t JOIN syncs s ON s.id = t.sync_id AND s.kind = 'channel'
               JOIN awaiting_jobs a ON a.channel_id = s.channel_id AND a.awaits = 'turn'
               JOIN jobs j ON j.id = a.job_id AND j.state = 'awaiting' AND j.sync_id = s.id
               WHERE t.silences >= $1 AND j.contact_id IS NOT NULL ORDER BY j.sync_id, j.id LIMIT $2"#,
            i32::try_from(silences).unwrap_or(i32::MAX),
            SPARED_AT_ONCE
        );
        let spared = spared.fetch_all(&mut *tx).await?;
        if spared.is_empty() {
            return Ok((0, Vec::new()));
        }
        let (jobs, mut syncs): (Vec<JobId>, Vec<SyncId>) = spared.into_iter().map(|row| (row.id, row.sync_id)).unzip();
        syncs.dedup();
        sqlx::query_scalar!("SELECT id FROM syncs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", &syncs)
            .fetch_all(&mut *tx)
            .await?;
        let over = sqlx::query_scalar!(
            "WITH over AS (
               UPDATE jobs SET state = CASE WHEN fetched > 0 THEN 'succeeded' ELSE 'skipped' END, reason = $2, settled_at = $3,
                      steps_done = steps_done + 1
               WHERE id = ANY($1) AND state = 'awaiting'
                 AND EXISTS (SELECT 1 FROM awaiting_jobs a WHERE a.job_id = jobs.id AND a.awaits = 'turn')
               RETURNING id, sync_id, state),
             forgotten AS (DELETE FROM awaiting_jobs a USING over o WHERE a.job_id = o.id),
             counted AS (SELECT sync_id, count(*) AS n, count(*) FILTER (WHERE state = 'skipped') AS skipped FROM over GROUP BY sync_id)
             UPDATE syncs s SET jobs_awaiting = jobs_awaiting - c.n, jobs_skipped = jobs_skipped + c.skipped,
                    jobs_succeeded = jobs_succeeded + c.n - c.skipped, revision = revision + 1
             FROM counted c WHERE s.id = c.sync_id RETURNING c.n",
            &jobs,
            SkipReason::PhoneSilent.as_str(),
            clock::now()
        );
        let over: i64 = over.fetch_all(&mut *tx).await?.into_iter().flatten().sum();
        let notices = syncs::close_finished(&mut tx, &syncs).await?;
        tx.commit().await?;
        Ok((over.unsigned_abs(), notices))
    }

    /// Frees the turns of jobs that are over or gone without having given them back, because their syncs were cancelled, and of jobs that
    /// were about to ask when their syncs were paused: they take a turn again when they go on.
    pub async fn free_turns(&self) -> Result<u64, Error> {
        let freed = sqlx::query!(
            "UPDATE turns t SET job_id = NULL, free_at = $1, jitter = random()
             WHERE t.job_id IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM jobs j JOIN syncs s ON s.id = j.sync_id
                 WHERE j.id = t.job_id AND j.state IN ('queued', 'delayed', 'awaiting')
                   AND (s.state <> 'paused' OR EXISTS (SELECT 1 FROM awaiting_jobs a WHERE a.job_id = j.id)))",
            clock::now()
        );
        sqlx::query!(
            "DELETE FROM awaiting_jobs a USING jobs j WHERE j.id = a.job_id AND j.state NOT IN ('queued', 'delayed', 'awaiting')"
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!("DELETE FROM phone_requests WHERE asked_at < $1", clock::now() - TimeDelta::days(1))
            .execute(&self.pool)
            .await?;
        Ok(freed.execute(&self.pool).await?.rows_affected())
    }
}

/// Who wants a turn.
pub(crate) struct Asking {
    pub(crate) channel: ChannelId,
    pub(crate) job: JobId,
    pub(crate) sync: SyncId,
    /// Whether it is for a request to a phone.
    pub(crate) phone: bool,
}

impl From<&Waiting> for Asking {
    fn from(waiting: &Waiting) -> Self {
        let Waiting { id: job, channel, sync, kind, .. } = *waiting;
        Self { channel, job, sync, phone: matches!(kind, JobKind::History | JobKind::Restore) }
    }
}

impl From<&Job> for Asking {
    fn from(job: &Job) -> Self {
        Self { channel: job.channel, job: job.id, sync: job.sync, phone: job.step.asks_phone() }
    }
}

/// Takes the turn of a channel's account for a job, or finds that it has it already. False: somebody else has it, it rests, or the phone
/// was asked as often as it may be.
pub(crate) async fn take_turn(
    connection: &mut PgConnection,
    asking: &Asking,
    pace: &Pace,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let taken = sqlx::query_scalar!(
        "INSERT INTO turns (channel_id, job_id, free_at, sync_id) VALUES (turn_channel($1), $2, $3, $4)
         ON CONFLICT (channel_id) DO UPDATE SET job_id = $2, sync_id = $4,
             silences = CASE WHEN turns.sync_id IS DISTINCT FROM $4 THEN 0 ELSE turns.silences END
         WHERE turns.job_id = $2
            OR (turns.job_id IS NULL AND turns.free_at + make_interval(secs => $5 * (1 + turns.jitter)) <= $3
                AND (NOT $6 OR (SELECT count(*) < $8 AND count(*) FILTER (WHERE p.asked_at > $3 - interval '1 hour') < $7
                                FROM phone_requests p
                                WHERE p.channel_id = turns.channel_id AND p.asked_at > $3 - interval '1 day')))
         RETURNING job_id",
        asking.channel,
        asking.job,
        now,
        asking.sync,
        pace.gap.as_secs_f64(),
        asking.phone,
        i64::from(pace.per_hour),
        i64::from(pace.per_day)
    );
    Ok(taken.fetch_optional(connection).await?.is_some())
}

/// A phone is about to be asked.
pub(crate) async fn note_request(
    connection: &mut PgConnection,
    channel: ChannelId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!("INSERT INTO phone_requests (channel_id, asked_at) VALUES (turn_channel($1), $2)", channel, now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn give_back(connection: &mut PgConnection, jobs: &[JobId]) -> Result<(), Error> {
    if !jobs.is_empty() {
        sqlx::query!(
            "UPDATE turns SET job_id = NULL, free_at = $2, jitter = random() WHERE job_id = ANY($1)",
            jobs,
            clock::now()
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// A request to a phone is over: something came of it, or nothing.
pub(crate) async fn note_answer(connection: &mut PgConnection, channel: ChannelId, heard: bool) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE turns SET silences = CASE WHEN $2 THEN 0 ELSE silences + 1 END WHERE channel_id = turn_channel($1)",
        channel,
        heard
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A phone has sent some, and is asked for more: should it be silent then, that tells nothing.
pub(crate) async fn note_part(connection: &mut PgConnection, channel: ChannelId) -> Result<(), Error> {
    sqlx::query!("UPDATE turns SET silences = -1 WHERE channel_id = turn_channel($1)", channel)
        .execute(connection)
        .await?;
    Ok(())
}
