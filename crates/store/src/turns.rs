//! Turns: of requests whose answers could be confused, one per account is under way.
//!
//! A job takes its account's turn before its request, and gives it back when what it asked for has come, or its attempt failed. Channels that
//! lead to one account at one server share a turn. Who finds it taken waits in the ledger, and is let go on when it is free. Phones bear
//! only so many requests: the turn rests between two, and those of the last day are counted
//! (docs/decisions/0023-turns-of-accounts.md). A phone that is silent several times in a row is not asked about everybody
//! (docs/decisions/0020-silent-phones.md).

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::{Awaits, Pace, Waits},
    channel::ChannelId,
    clock,
    job::{Job, JobId, JobKind, SkipReason},
    notice::Notice,
    sync::SyncId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Error, Store,
    awaiting::{Waiting, go_on, lock},
    syncs,
};

/// Jobs that are ended together because a phone is silent.
const SPARED_AT_ONCE: i64 = 1_000;

impl Store {
    /// Gives every account's free turn to the next job that waits for it: urgent ones first, then the oldest. A turn rests after it became
    /// free. What stands still is passed over.
    pub async fn give_turns(&self, pace: &Pace, now: DateTime<Utc>) -> Result<Vec<Notice>, Error> {
        let mut given = Vec::new();
        for job in self.next_in_turn(pace, now).await? {
            match self.give_turn(job, pace, now).await {
                Ok(notice) => given.extend(notice),
                Err(error @ Error::Unavailable(_)) if given.is_empty() => return Err(error),
                Err(Error::Unavailable(_)) => break,
                Err(error) => {
                    // The others get theirs all the same.
                    tracing::error!(job, %error, "a job that waits for its turn cannot be let go on");
                }
            }
        }
        Ok(given)
    }

    async fn give_turn(&self, job: JobId, pace: &Pace, now: DateTime<Utc>) -> Result<Option<Notice>, Error> {
        let mut tx = self.pool.begin().await?;
        let mut notice = None;
        if let Some((waiting, awaited)) = lock(&mut tx, job).await?
            && awaited.awaits == Awaits::Turn
            && take_turn(&mut tx, &Asking::from(&waiting), pace, now).await?
        {
            notice = Some(go_on(&mut tx, &waiting).await?);
        }
        tx.commit().await?;
        Ok(notice)
    }

    /// Of each account whose turn can be given now, the job that is next. Goes from channel to channel by an index, whatever waits in each.
    async fn next_in_turn(&self, pace: &Pace, now: DateTime<Utc>) -> Result<Vec<JobId>, Error> {
        let next = sqlx::query_scalar!(
            r#"WITH RECURSIVE waiting AS (
                 (SELECT channel_id FROM awaiting_jobs WHERE awaits = 'turn' ORDER BY channel_id LIMIT 1)
                 UNION ALL
                 SELECT (SELECT a.channel_id FROM awaiting_jobs a WHERE a.awaits = 'turn' AND a.channel_id > w.channel_id
                         ORDER BY a.channel_id LIMIT 1)
                 FROM waiting w WHERE w.channel_id IS NOT NULL)
               SELECT DISTINCT ON (account_of(c.id)) n.job_id AS "job_id!"
               FROM waiting w JOIN channels c ON c.id = w.channel_id AND c.state <> 'paused'
               CROSS JOIN LATERAL (
                 SELECT a.job_id, a.urgent, j.kind FROM awaiting_jobs a JOIN jobs j ON j.id = a.job_id JOIN syncs s ON s.id = j.sync_id
                 WHERE a.channel_id = c.id AND a.awaits = 'turn' AND j.state = 'awaiting' AND s.state <> 'paused'
                 ORDER BY a.urgent DESC, a.job_id LIMIT 1) n
               LEFT JOIN account_turns t ON t.account = account_of(c.id)
               WHERE t.account IS NULL
                  OR (t.job_id IS NULL AND t.free_at + make_interval(secs => $2 * (1 + t.jitter)) <= $1
                      AND (n.kind = 'account' OR bears_a_request(t.account, $1, $3, $4)))
               ORDER BY account_of(c.id), n.urgent DESC, n.job_id"#,
            now,
            pace.gap.as_secs_f64(),
            i64::from(pace.per_hour),
            i64::from(pace.per_day)
        );
        Ok(next.fetch_all(&self.pool).await?)
    }

    /// Ends bulk jobs that wait to ask a phone which has been silent so many times in a row; how many, and what the queue must hear.
    pub async fn spare_silent_phones(&self, silences: u32) -> Result<(u64, Vec<Notice>), Error> {
        let mut tx = self.pool.begin().await?;
        let spared = sqlx::query!(
            r#"SELECT j.id, j.sync_id FROM account_turns t JOIN syncs s ON s.id = t.sync_id AND s.kind = 'channel'
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
    /// were about to ask when their sync or channel was made to stand still: they take a turn again when they go on. What may have been
    /// asked already is waited for as long as for any answer of a phone.
    pub async fn free_turns(&self, waits: &Waits, now: DateTime<Utc>) -> Result<u64, Error> {
        let freed = sqlx::query!(
            "UPDATE account_turns t SET job_id = NULL, asked_at = NULL, free_at = $1, jitter = random()
             WHERE t.job_id IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM jobs j JOIN syncs s ON s.id = j.sync_id JOIN channels c ON c.id = j.channel_id
                 WHERE j.id = t.job_id
                   AND (j.state = 'awaiting'
                        OR (j.state IN ('queued', 'delayed')
                            AND ((s.state <> 'paused' AND c.state <> 'paused') OR t.asked_at > $1::timestamptz - make_interval(secs => $2)))))",
            now,
            waits.reply.as_secs_f64()
        );
        let freed = freed.execute(&self.pool).await?.rows_affected();
        sqlx::query!(
            "DELETE FROM awaiting_jobs a USING jobs j WHERE j.id = a.job_id AND j.state NOT IN ('queued', 'delayed', 'awaiting')"
        )
        .execute(&self.pool)
        .await?;
        let forgotten = now - TimeDelta::days(1);
        sqlx::query!("DELETE FROM phone_requests WHERE asked_at < $1", forgotten).execute(&self.pool).await?;
        sqlx::query!("DELETE FROM account_turns WHERE job_id IS NULL AND free_at < $1", forgotten)
            .execute(&self.pool)
            .await?;
        Ok(freed)
    }
}

/// Who wants a turn.
pub(crate) struct Asking {
    channel: ChannelId,
    job: JobId,
    sync: SyncId,
    /// Whether it is for a request to a phone.
    phone: bool,
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
        "INSERT INTO account_turns AS t (account, job_id, free_at, sync_id) VALUES (account_of($1), $2, $3, $4)
         ON CONFLICT (account) DO UPDATE SET job_id = $2, sync_id = $4,
             silences = CASE WHEN t.sync_id IS DISTINCT FROM $4 THEN 0 ELSE t.silences END
         WHERE t.job_id = $2
            OR (t.job_id IS NULL AND t.free_at + make_interval(secs => $5 * (1 + t.jitter)) <= $3
                AND (NOT $6 OR bears_a_request(t.account, $3, $7, $8)))
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

/// Whoever has the turn is about to ask.
pub(crate) async fn note_asked(
    connection: &mut PgConnection,
    asking: &Asking,
    token: Uuid,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!("UPDATE account_turns SET asked_at = $2 WHERE job_id = $1", asking.job, now)
        .execute(&mut *connection)
        .await?;
    if asking.phone {
        sqlx::query!(
            "INSERT INTO phone_requests (token, account, asked_at) VALUES ($1, account_of($2), $3) ON CONFLICT (token) DO NOTHING",
            token,
            asking.channel,
            now
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// It was not asked after all.
pub(crate) async fn note_not_asked(connection: &mut PgConnection, job: JobId, token: Uuid) -> Result<(), Error> {
    sqlx::query!("DELETE FROM phone_requests WHERE token = $1", token).execute(&mut *connection).await?;
    sqlx::query!("UPDATE account_turns SET asked_at = NULL WHERE job_id = $1", job).execute(connection).await?;
    Ok(())
}

pub(crate) async fn give_back(connection: &mut PgConnection, jobs: &[JobId]) -> Result<(), Error> {
    if !jobs.is_empty() {
        sqlx::query!(
            "UPDATE account_turns SET job_id = NULL, asked_at = NULL, free_at = $2, jitter = random() WHERE job_id = ANY($1)",
            jobs,
            clock::now()
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The request of whoever has the turn is over: something came of it, or nothing.
pub(crate) async fn note_answer(connection: &mut PgConnection, job: JobId, heard: bool) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE account_turns SET silences = CASE WHEN $2 THEN 0 ELSE silences + 1 END WHERE job_id = $1",
        job,
        heard
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A phone has sent some, and will be asked for more: should it be silent then, that tells nothing.
pub(crate) async fn note_part(connection: &mut PgConnection, job: JobId) -> Result<(), Error> {
    sqlx::query!("UPDATE account_turns SET silences = -1 WHERE job_id = $1", job).execute(connection).await?;
    Ok(())
}
