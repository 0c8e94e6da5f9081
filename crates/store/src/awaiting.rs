//! Jobs that wait for a delivery, a turn or a time: written down, looked at, and let go on.
//!
//! Such a job is at no worker and in no queue. What a delivery brings is added by `ingest`; here is decided, by the pure rule
//! [`Awaited::look`], whether the wait is over.

use chrono::{DateTime, Utc};
use sincro_core::{
    awaiting::{Awaited, Awaits, Completion, Delivered, Look, Waits},
    channel::ChannelId,
    clock,
    job::{Ending, JobId, JobKind, JobState, Outcome},
    notice::{Entry, Notice},
    provider::{Capabilities, Provider},
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Missing, Store,
    accounts::Concluding,
    channels, notices,
    settle::{
        Settlement,
        write::{self, JobChange},
    },
    syncs, turns,
};

/// Longer than a notice is on its way, as a rule.
const TO_THE_HEAD: chrono::TimeDelta = chrono::TimeDelta::milliseconds(200);
/// How soon a delivery is looked at again whose channel has webhooks that nobody has read.
const UNREAD: chrono::TimeDelta = chrono::TimeDelta::milliseconds(500);
/// As a rule a webhook is read before that.
const READ_WITHIN: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// A webhook that has not come to its end by then is not waited for.
const ARRIVES_WITHIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

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
    concluding: Option<Concluding>,
}

/// A waiting job, as far as its end needs it.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: JobId,
    pub(crate) sync: SyncId,
    pub(crate) channel: ChannelId,
    pub(crate) kind: JobKind,
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
        let mut looked = self.look_once(due, waits, now, false).await?;
        if let Some(concluding) = looked.concluding.take() {
            let notices = self.conclude(concluding, capabilities, max_attempts).await?;
            looked = self.look_once(due, waits, now, true).await?;
            looked.notices.splice(0..0, notices);
        }
        Ok(looked)
    }

    /// A job for a whole number is not over before it is concluded; that takes transactions of its own.
    async fn look_once(&self, due: Due, waits: &Waits, now: DateTime<Utc>, concluded: bool) -> Result<Looked, Error> {
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
            Look::GoOn if awaited.awaits == Awaits::Delivery => {
                turns::note_part(&mut tx, due.job).await?;
                turns::give_back(&mut tx, &[due.job]).await?;
                await_turn(&mut tx, &waiting, &awaited, waits, now).await?;
            }
            Look::GoOn => looked.notices.push(go_on(&mut tx, &waiting).await?),
            Look::Over(_) if waiting.kind == JobKind::Account && !concluded => {
                let delivered = awaited.rule != Completion::Answer;
                looked.concluding = Some(Concluding { job: waiting.id, channel: due.channel, delivered });
            }
            Look::Over(ending) => {
                looked.notices.extend(end(&mut tx, &waiting, &ending, is_heard(&awaited)).await?);
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
}

/// The phone sent some, and is asked for more when it is this job's turn again.
async fn await_turn(
    connection: &mut PgConnection,
    waiting: &Waiting,
    awaited: &Awaited,
    waits: &Waits,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let until =
        chrono::TimeDelta::from_std(waits.longest(awaited.rule)).ok().and_then(|wait| now.checked_add_signed(wait));
    sqlx::query!(
        "UPDATE awaiting_jobs SET awaits = 'turn', since = $2, until = $3, look_at = $3, token = NULL, heard_at = NULL, delivered = $4, told = NULL
         WHERE job_id = $1",
        waiting.id,
        now,
        until.unwrap_or(now),
        Json(Delivered::default()) as _
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("UPDATE syncs SET delivery = $2 WHERE id = $1", waiting.sync, Awaits::Turn.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the phone said anything: it is not silent, whoever it was about.
fn is_heard(awaited: &Awaited) -> bool {
    awaited.heard_at.is_some() || awaited.delivered.unmapped > 0
}

/// What a batch of results changes on what its jobs wait for.
pub(crate) async fn settled(connection: &mut PgConnection, passed: &[(&Settlement, JobState)]) -> Result<(), Error> {
    let (mut over, mut through) = (Vec::new(), Vec::new());
    for (settlement, _) in passed {
        let (job, outcome) = (&settlement.job, &settlement.outcome);
        let waits = if let Outcome::Await(wait) = outcome { Some(wait.awaits) } else { None };
        if waits.is_some() {
            begin(connection, settlement).await?;
        } else if job.step.is_awaited() {
            over.push(job.id);
        }
        // A message that is restored is asked for, and nothing more is under way. Where an attempt failed, others may ask meanwhile.
        let keeps_turn = match outcome {
            Outcome::Next(_) => true,
            _ if job.step.asks_phone() && !job.step.is_awaited() => false,
            _ => waits.is_some() || !job.step.is_awaited(),
        };
        if !keeps_turn {
            through.push(job.id);
        }
    }
    forget(connection, &over).await?;
    turns::give_back(connection, &through).await
}

/// A job waits from now on. What was written down before its request stays: something may have come already.
async fn begin(connection: &mut PgConnection, settlement: &Settlement) -> Result<(), Error> {
    let Outcome::Await(wait) = &settlement.outcome else { return Ok(()) };
    let now = clock::now();
    sqlx::query!(
        "INSERT INTO awaiting_jobs (job_id, channel_id, awaits, rule, since, until, look_at, urgent, delivered)
         VALUES ($1, $2, $3, $4, $5, $6, $5, (SELECT kind <> 'channel' FROM syncs WHERE id = $8), jsonb_build_object('uncertain', $7::boolean))
         ON CONFLICT (job_id) DO UPDATE SET awaits = excluded.awaits, urgent = excluded.urgent, rule = excluded.rule, until = excluded.until,
             look_at = excluded.look_at, delivered = awaiting_jobs.delivered || excluded.delivered,
             since = CASE WHEN awaiting_jobs.awaits = excluded.awaits THEN awaiting_jobs.since ELSE excluded.since END",
        settlement.job.id,
        settlement.job.channel,
        wait.awaits.as_str(),
        wait.rule.as_str(),
        now,
        wait.until,
        wait.uncertain,
        settlement.job.sync
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("UPDATE syncs SET delivery = $2 WHERE id = $1", settlement.job.sync, wait.awaits.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn forget(connection: &mut PgConnection, jobs: &[JobId]) -> Result<(), Error> {
    if !jobs.is_empty() {
        sqlx::query!("DELETE FROM awaiting_jobs WHERE job_id = ANY($1)", jobs).execute(connection).await?;
    }
    Ok(())
}

/// Locks a waiting job behind its sync, and reads it; none when it does not wait any more.
pub(crate) async fn lock(connection: &mut PgConnection, job: JobId) -> Result<Option<(Waiting, Awaited)>, Error> {
    let sync = sqlx::query_scalar!("SELECT sync_id FROM jobs WHERE id = $1", job);
    let Some(sync) = sync.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let messages_wanted =
        sqlx::query_scalar!("SELECT messages_wanted FROM syncs WHERE id = $1 FOR NO KEY UPDATE", sync);
    let wanted = messages_wanted.fetch_one(&mut *connection).await?;
    let row = sqlx::query!(
        r#"SELECT j.channel_id, j.kind, j.steps_done, j.attempts, j.fetched,
                  a.awaits, a.rule, a.since, a.until, a.heard_at, a.delivered AS "delivered: Json<Delivered>",
                  CASE WHEN a.rule = 'reply' THEN (
                    SELECT count(*) FROM (SELECT FROM contacts c JOIN messages m ON m.contact_id = coalesce(c.merged_into, c.id)
                                          WHERE c.id = j.contact_id LIMIT $2) AS k) ELSE 0 END AS "known!"
           FROM jobs j JOIN awaiting_jobs a ON a.job_id = j.id WHERE j.id = $1 AND j.state = 'awaiting' FOR NO KEY UPDATE OF j, a"#,
        job,
        i64::from(wanted)
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
        known: row.known,
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

async fn look_later(connection: &mut PgConnection, job: JobId, at: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!("UPDATE awaiting_jobs SET look_at = $2 WHERE job_id = $1", job, at).execute(connection).await?;
    Ok(())
}

/// The job is queued again, for the step that it waits with.
pub(crate) async fn go_on(connection: &mut PgConnection, waiting: &Waiting) -> Result<Notice, Error> {
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
    if waiting.kind == JobKind::History {
        turns::note_answer(connection, waiting.id, heard).await?;
    }
    turns::give_back(connection, &[waiting.id]).await?;
    syncs::close_finished(connection, &touched).await
}
