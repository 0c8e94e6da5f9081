//! Jobs that wait for a delivery, a turn or a time: written down, looked at, and let go on.
//!
//! Such a job is at no worker and in no queue. What a delivery brings is added by `ingest`; here is decided, by the pure rule
//! [`Awaited::look`], whether the wait is over. A job holds the turn of its channel from before its request until it is over.

use chrono::{DateTime, Utc};
use sincro_core::{
    awaiting::{Awaited, Awaits, Completion, Delivered, Look, Waits},
    channel::ChannelId,
    clock,
    job::{Ending, JobId, JobKind, JobState, Outcome, SkipReason},
    notice::{Entry, Notice},
    provider::{Capabilities, Provider},
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Missing, Store, accounts, channels, notices,
    settle::{
        Settlement,
        write::{self, JobChange},
    },
    syncs,
};

/// Longer than a notice is on its way, as a rule.
const TO_THE_HEAD: chrono::TimeDelta = chrono::TimeDelta::milliseconds(200);
/// How soon a delivery is looked at again whose channel has webhooks that nobody has read.
const UNREAD: chrono::TimeDelta = chrono::TimeDelta::milliseconds(500);
/// As a rule a webhook is read before that.
const READ_WITHIN: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// A webhook that has not come to its end by then is not waited for.
const ARRIVES_WITHIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

/// Jobs that are ended together because a phone is silent.
const SPARED_AT_ONCE: i64 = 1_000;

/// A job whose wait may be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: JobId,
    /// Its channel.
    pub channel: ChannelId,
    /// The kind of gateway.
    pub provider: Provider,
}

/// What a look came to.
#[derive(Debug, Default)]
pub struct Looked {
    /// The state in which the job ended, if it did.
    pub ended: Option<JobState>,
    /// What the queue must hear.
    pub notices: Vec<Notice>,
}

/// A waiting job, as far as its end needs it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: JobId,
    pub(crate) sync: SyncId,
    pub(crate) channel: ChannelId,
    pub(crate) kind: JobKind,
    pub(crate) step: serde_json::Value,
    pub(crate) steps_done: i32,
    pub(crate) attempts: i32,
}

impl Store {
    /// Jobs that have to be looked at by now, those that wait longest first.
    pub async fn due_to_look_at(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<Due>, Error> {
        let rows = sqlx::query!(
            "SELECT a.job_id, a.channel_id, c.provider FROM awaiting_jobs a JOIN channels c ON c.id = a.channel_id
             WHERE a.look_at <= $1 ORDER BY a.look_at LIMIT $2",
            now,
            limit
        );
        let due = rows.fetch_all(&self.pool).await?.into_iter().filter_map(|row| {
            // A newer version may know it, and runs beside this one.
            let provider = row.provider.parse().ok()?;
            Some(Due { job: row.job_id, channel: row.channel_id, provider })
        });
        Ok(due.collect())
    }

    /// Looks at a job: it waits on, goes on, or is over.
    pub async fn look_at(
        &self,
        due: Due,
        waits: &Waits,
        capabilities: Capabilities,
        max_attempts: u32,
        now: DateTime<Utc>,
    ) -> Result<Looked, Error> {
        let mut tx = self.pool.begin().await?;
        match channels::lock(&mut tx, due.channel).await {
            Err(Error::NotFound(Missing::Channel)) => return Ok(Looked::default()),
            locked => locked?,
        }
        let Some((waiting, awaited)) = lock(&mut tx, due.job).await? else {
            tx.commit().await?;
            return Ok(Looked::default());
        };
        let mut looked = Looked::default();
        let look = match awaited.awaits {
            // What ends it may lie unread.
            Awaits::Delivery
                if now < awaited.until + ARRIVES_WITHIN && is_unread(&mut tx, due.channel, now).await? =>
            {
                Look::Later(now + UNREAD)
            }
            Awaits::InitialSync if is_initially_synced(&mut tx, due.channel).await? => Look::GoOn,
            _ => awaited.look(waits, now),
        };
        match look {
            Look::Later(at) => look_later(&mut tx, due.job, at).await?,
            Look::GoOn => {
                if awaited.heard_at.is_some() {
                    // The silence that follows on what a phone had tells nothing.
                    note_silences(&mut tx, due.channel, -1).await?;
                }
                looked.notices.push(go_on(&mut tx, &waiting).await?);
            }
            Look::Over(ending) => {
                if waiting.kind == JobKind::Account {
                    if awaited.rule != Completion::Answer {
                        accounts::note_silence(&mut tx, &waiting).await?;
                    }
                    looked.notices.extend(accounts::top_up(&mut tx, &waiting, capabilities, max_attempts).await?);
                }
                looked.notices.extend(end(&mut tx, &waiting, &ending, awaited.heard_at.is_some()).await?);
                looked.ended = Some(write::state_of(&ending));
            }
        }
        tx.commit().await?;
        Ok(looked)
    }

    /// Leaves a job alone for a while that cannot be looked at.
    pub async fn look_later(&self, job: JobId, at: DateTime<Utc>) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        look_later(&mut connection, job, at).await
    }

    /// Gives every channel's free turn to the next job that waits for it: urgent ones first, then the oldest. A turn rests for
    /// `spacing` after it became free.
    pub async fn give_turns(&self, spacing: chrono::TimeDelta, now: DateTime<Utc>) -> Result<Vec<Notice>, Error> {
        let next = sqlx::query!(
            r#"SELECT DISTINCT ON (a.channel_id) a.channel_id, a.job_id FROM awaiting_jobs a
               JOIN jobs j ON j.id = a.job_id JOIN syncs s ON s.id = j.sync_id LEFT JOIN turns t ON t.channel_id = a.channel_id
               WHERE a.awaits = 'turn' AND j.state = 'awaiting' AND s.state <> 'paused' AND (t.channel_id IS NULL OR (t.job_id IS NULL AND t.free_at <= $1))
               ORDER BY a.channel_id, s.kind = 'channel', a.job_id"#,
            now - spacing
        );
        let mut given = Vec::new();
        for row in next.fetch_all(&self.pool).await? {
            let mut tx = self.pool.begin().await?;
            if let Some((waiting, awaited)) = lock(&mut tx, row.job_id).await?
                && awaited.awaits == Awaits::Turn
                && take_turn(&mut tx, row.channel_id, row.job_id, waiting.sync, now - spacing).await?
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
            r#"SELECT j.id, j.sync_id FROM turns t JOIN awaiting_jobs a ON a.channel_id = t.channel_id AND a.awaits = 'turn'
               JOIN jobs j ON j.id = a.job_id AND j.state = 'awaiting' AND j.sync_id = t.sync_id
               JOIN syncs s ON s.id = j.sync_id AND s.kind = 'channel'
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
            "UPDATE turns t SET job_id = NULL, free_at = $1
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
        Ok(freed.execute(&self.pool).await?.rows_affected())
    }
}

/// Takes a channel's turn for a job, or finds that it has it already.
pub(crate) async fn take_turn(
    connection: &mut PgConnection,
    channel: ChannelId,
    job: JobId,
    sync: SyncId,
    free_since: DateTime<Utc>,
) -> Result<bool, Error> {
    let taken = sqlx::query_scalar!(
        "INSERT INTO turns (channel_id, job_id, free_at, sync_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (channel_id) DO UPDATE SET job_id = $2, sync_id = $4,
             silences = CASE WHEN turns.sync_id IS DISTINCT FROM $4 THEN 0 ELSE turns.silences END
         WHERE turns.job_id = $2 OR (turns.job_id IS NULL AND turns.free_at <= $3)
         RETURNING job_id",
        channel,
        job,
        free_since,
        sync
    );
    Ok(taken.fetch_optional(connection).await?.is_some())
}

/// What a batch of results changes on what its jobs wait for.
pub(crate) async fn settled(connection: &mut PgConnection, passed: &[(&Settlement, JobState)]) -> Result<(), Error> {
    let (mut over, mut ended) = (Vec::new(), Vec::new());
    for (settlement, _) in passed {
        match &settlement.outcome {
            Outcome::Await(_) => begin(connection, settlement).await?,
            _ if !settlement.job.step.is_awaited() => {}
            Outcome::Ended(_) => {
                over.push(settlement.job.id);
                ended.push(settlement.job.id);
            }
            Outcome::Retry { .. } => {
                // Others may ask meanwhile.
                over.push(settlement.job.id);
                ended.push(settlement.job.id);
            }
            Outcome::Next(_) => over.push(settlement.job.id),
        }
    }
    forget(connection, &over).await?;
    give_back(connection, &ended).await
}

/// A job waits from now on. What was written down before its request stays: something may have come already.
async fn begin(connection: &mut PgConnection, settlement: &Settlement) -> Result<(), Error> {
    let Outcome::Await(wait) = &settlement.outcome else { return Ok(()) };
    let now = clock::now();
    sqlx::query!(
        "INSERT INTO awaiting_jobs (job_id, channel_id, awaits, rule, since, until, look_at, delivered)
         VALUES ($1, $2, $3, $4, $5, $6, $5, jsonb_build_object('uncertain', $7::boolean))
         ON CONFLICT (job_id) DO UPDATE SET awaits = excluded.awaits, rule = excluded.rule, until = excluded.until,
             look_at = excluded.look_at, delivered = awaiting_jobs.delivered || excluded.delivered,
             since = CASE WHEN awaiting_jobs.awaits = excluded.awaits THEN awaiting_jobs.since ELSE excluded.since END",
        settlement.job.id,
        settlement.job.channel,
        wait.awaits.as_str(),
        wait.rule.as_str(),
        now,
        wait.until,
        wait.uncertain
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("UPDATE syncs SET delivery = $2 WHERE id = $1", settlement.job.sync, wait.awaits.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn forget(connection: &mut PgConnection, jobs: &[JobId]) -> Result<(), Error> {
    if !jobs.is_empty() {
        sqlx::query!("DELETE FROM awaiting_jobs WHERE job_id = ANY($1)", jobs).execute(connection).await?;
    }
    Ok(())
}

async fn give_back(connection: &mut PgConnection, jobs: &[JobId]) -> Result<(), Error> {
    if !jobs.is_empty() {
        sqlx::query!("UPDATE turns SET job_id = NULL, free_at = $2 WHERE job_id = ANY($1)", jobs, clock::now())
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Locks a waiting job behind its sync, and reads it; none when it does not wait any more.
async fn lock(connection: &mut PgConnection, job: JobId) -> Result<Option<(Waiting, Awaited)>, Error> {
    let sync = sqlx::query_scalar!("SELECT sync_id FROM jobs WHERE id = $1", job);
    let Some(sync) = sync.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let messages_wanted =
        sqlx::query_scalar!("SELECT messages_wanted FROM syncs WHERE id = $1 FOR NO KEY UPDATE", sync);
    let wanted = messages_wanted.fetch_one(&mut *connection).await?;
    let row = sqlx::query!(
        r#"SELECT j.channel_id, j.kind, coalesce(j.step, 'null') AS "step!", j.steps_done, j.attempts, j.fetched,
                  a.awaits, a.rule, a.since, a.until, a.heard_at, a.delivered AS "delivered: Json<Delivered>"
           FROM jobs j JOIN awaiting_jobs a ON a.job_id = j.id WHERE j.id = $1 AND j.state = 'awaiting' FOR NO KEY UPDATE OF j, a"#,
        job
    );
    let Some(row) = row.fetch_optional(&mut *connection).await? else {
        // At a worker, whose result decides; or over, and nobody waits any more.
        look_later(connection, job, clock::now() + chrono::TimeDelta::seconds(5)).await?;
        return Ok(None);
    };
    let waiting = Waiting {
        id: job,
        sync,
        channel: row.channel_id,
        kind: row.kind.parse().map_err(Error::unreadable)?,
        step: row.step,
        steps_done: row.steps_done,
        attempts: row.attempts,
    };
    let awaited = Awaited {
        awaits: row.awaits.parse().map_err(Error::unreadable)?,
        rule: row.rule.parse().map_err(Error::unreadable)?,
        since: row.since,
        until: row.until,
        heard_at: row.heard_at,
        delivered: row.delivered.0,
        fetched: row.fetched.into(),
        wanted: wanted.into(),
    };
    Ok(Some((waiting, awaited)))
}

/// Whether webhooks of a channel have waited to be read, or are coming. One that stopped coming is not waited for, nor is one that has
/// just come: to a busy number there is always one.
async fn is_unread(connection: &mut PgConnection, channel: ChannelId, now: DateTime<Utc>) -> Result<bool, Error> {
    let unread = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM inbox WHERE channel_id = $1
               AND ((state = 'unread' AND received_at < $3) OR (state = 'arriving' AND received_at > $2))) AS "unread!""#,
        channel,
        now - ARRIVES_WITHIN,
        now - READ_WITHIN
    );
    Ok(unread.fetch_one(connection).await?)
}

async fn is_initially_synced(connection: &mut PgConnection, channel: ChannelId) -> Result<bool, Error> {
    let synced = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM channel_facts WHERE channel_id = $1 AND initial_sync_at IS NOT NULL) AS "synced!""#,
        channel
    );
    Ok(synced.fetch_one(connection).await?)
}

async fn silences(connection: &mut PgConnection, channel: ChannelId) -> Result<i32, Error> {
    let silences = sqlx::query_scalar!("SELECT silences FROM turns WHERE channel_id = $1", channel);
    Ok(silences.fetch_optional(connection).await?.unwrap_or(0))
}

async fn note_silences(connection: &mut PgConnection, channel: ChannelId, silences: i32) -> Result<(), Error> {
    sqlx::query!("UPDATE turns SET silences = $2 WHERE channel_id = $1", channel, silences).execute(connection).await?;
    Ok(())
}

async fn look_later(connection: &mut PgConnection, job: JobId, at: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!("UPDATE awaiting_jobs SET look_at = $2 WHERE job_id = $1", job, at).execute(connection).await?;
    Ok(())
}

/// The job is queued again, for the step that it waits with.
async fn go_on(connection: &mut PgConnection, waiting: &Waiting) -> Result<Notice, Error> {
    sqlx::query!("UPDATE jobs SET state = 'queued' WHERE id = $1", waiting.id).execute(&mut *connection).await?;
    if waiting.kind == JobKind::Restore {
        // A webhook may still be faster than the next look.
        look_later(connection, waiting.id, clock::now() + ARRIVES_WITHIN).await?;
    } else {
        forget(connection, &[waiting.id]).await?;
    }
    sqlx::query!(
        "UPDATE syncs SET jobs_awaiting = jobs_awaiting - 1, jobs_queued = jobs_queued + 1, revision = revision + 1 WHERE id = $1",
        waiting.sync
    )
    .execute(&mut *connection)
    .await?;
    // What was delayed comes to stand at the head of its lane: others wait for the turn that this one has.
    let due_ms = (clock::now() + TO_THE_HEAD).timestamp_millis();
    let entry = Entry::Tried { job: waiting.id, attempts: waiting.attempts, due_ms };
    notices::write_lane(connection, waiting.sync, false, &[entry]).await
}

async fn end(
    connection: &mut PgConnection,
    waiting: &Waiting,
    ending: &Ending,
    heard: bool,
) -> Result<Vec<Notice>, Error> {
    let change = [JobChange::over(waiting, ending)];
    write::jobs(connection, &change).await?;
    let touched = write::syncs(connection, &change).await?;
    forget(connection, &[waiting.id]).await?;
    give_back(connection, &[waiting.id]).await?;
    if waiting.kind == JobKind::History {
        let silences = if heard { 0 } else { silences(connection, waiting.channel).await? + 1 };
        note_silences(connection, waiting.channel, silences).await?;
    }
    syncs::close_finished(connection, &touched).await
}
