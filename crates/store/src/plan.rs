//! Contacts -> jobs, one page of the contact list at a time.
//!
//! A page's contacts, its jobs, the plan job's next step and the notice to the queue are one transaction. Reading the
//! same page twice adds nothing: contacts and jobs are unique by what they stand for.

use sincro_core::{
    channel::ChannelId,
    clock,
    contact::unify,
    drill::{Point, reach},
    gateway::ContactsPage,
    job::{Job, JobId, JobState, Step},
    notice::{Notice, spans},
    plan::jobs_of,
    provider::Capabilities,
    sync::SyncId,
};
use sqlx::PgConnection;

use crate::{
    Error, Store, channels,
    contacts::{self, Person},
    notices,
    settle::{Fence, Recorded, fence_one},
    syncs,
};

/// What became of a page.
#[derive(Debug)]
pub struct PlannedPage {
    /// What became of the plan job.
    pub recorded: Recorded,
    /// What the queue must hear.
    pub notices: Vec<Notice>,
}

impl Store {
    /// Writes a page of contacts and their jobs, under the plan job's fence.
    pub async fn plan_page(
        &self,
        job: &Job,
        fence: Fence,
        page: ContactsPage,
        capabilities: Capabilities,
        max_attempts: u32,
    ) -> Result<PlannedPage, Error> {
        let ContactsPage { contacts, pairings, next, .. } = page;
        let listed = unify(contacts, &pairings);
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        syncs::lock(&mut tx, job.sync).await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(PlannedPage { recorded: refused, notices: Vec::new() });
        }
        let persons = contacts::upsert(&mut tx, job.channel, &listed).await?;
        let jobs = insert_jobs(&mut tx, job.sync, job.channel, &persons, capabilities, max_attempts).await?;
        let recorded = advance(&mut tx, job, fence, next).await?;
        let mut notices = vec![notices::write_lane(&mut tx, job.sync, false, &spans(&jobs)).await?];
        notices.extend(syncs::close_finished(&mut tx, &[job.sync]).await?);
        reach(Point::Planning).await;
        tx.commit().await?;
        Ok(PlannedPage { recorded, notices })
    }
}

/// Moves the plan job on: to the next page, or to its end, which starts the sync.
async fn advance(
    connection: &mut PgConnection,
    job: &Job,
    fence: Fence,
    next: Option<String>,
) -> Result<Recorded, Error> {
    let now = clock::now();
    let last = next.is_none();
    let step = next.map(|cursor| Step::Contacts { cursor: Some(cursor) });
    let state = if last { JobState::Succeeded } else { JobState::Queued };
    sqlx::query!(
        "UPDATE jobs SET state = $2, step = $3, steps_done = steps_done + 1, attempts = CASE WHEN $4 THEN $5 ELSE attempts END,
                next_at = NULL, reason = NULL, last_error = NULL, settled_at = $6 WHERE id = $1",
        job.id,
        state.as_str(),
        step.map(serde_json::to_value).transpose().map_err(Error::unreadable)?,
        last,
        fence.attempt,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE syncs SET planned = $2, started_at = coalesce(started_at, $3), error = NULL, revision = revision + 1,
                state = CASE WHEN $2 AND state = 'planning' THEN 'running' ELSE state END
         WHERE id = $1",
        job.sync,
        last,
        now
    )
    .execute(connection)
    .await?;
    Ok(if last { Recorded::Ended } else { Recorded::Next })
}

/// Writes the plan job of a sync whose contacts the gateway lists.
pub(crate) async fn insert_plan_job(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: ChannelId,
    max_attempts: u32,
) -> Result<JobId, Error> {
    let step = serde_json::to_value(Step::Contacts { cursor: None }).map_err(Error::unreadable)?;
    let id = sqlx::query_scalar!(
        "INSERT INTO jobs (sync_id, channel_id, kind, state, step, attempt_limit, created_at)
         VALUES ($1, $2, 'plan', 'queued', $3, $4, $5) RETURNING id",
        sync,
        channel,
        step,
        max_attempts.cast_signed(),
        clock::now()
    );
    Ok(id.fetch_one(connection).await?)
}

/// Writes the jobs of these persons, counts them in the sync, and returns the ids of those that have a call to make.
pub(crate) async fn insert_jobs(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: ChannelId,
    persons: &[Person],
    capabilities: Capabilities,
    max_attempts: u32,
) -> Result<Vec<JobId>, Error> {
    let mut rows = JobRows::default();
    for person in persons {
        rows.add(person, capabilities)?;
    }
    let inserted = sqlx::query!(
        "INSERT INTO jobs (sync_id, channel_id, contact_id, kind, address_kind, address, state, step, reason, attempt_limit, created_at, settled_at)
         SELECT $1, $2, u.contact, 'history', u.kind, u.address, CASE WHEN u.step IS NULL THEN 'skipped' ELSE 'queued' END,
                u.step, u.reason, $8, $9::timestamptz, CASE WHEN u.step IS NULL THEN $9::timestamptz END
         FROM unnest($3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::text[])
              WITH ORDINALITY AS u(contact, kind, address, step, reason, place)
         ORDER BY u.place
         ON CONFLICT ON CONSTRAINT jobs_one_per_contact_and_address DO NOTHING
         RETURNING id, state",
        sync,
        channel,
        &rows.contacts,
        &rows.kinds as _,
        &rows.addresses as _,
        &rows.steps as _,
        &rows.reasons as _,
        max_attempts.cast_signed(),
        clock::now()
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut open: Vec<JobId> = inserted.iter().filter(|row| row.state == "queued").map(|row| row.id).collect();
    open.sort_unstable();
    count(connection, sync, open.len(), inserted.len() - open.len()).await?;
    Ok(open)
}

async fn count(connection: &mut PgConnection, sync: SyncId, queued: usize, skipped: usize) -> Result<(), Error> {
    let [queued, skipped] = [queued, skipped].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    sqlx::query!(
        "UPDATE syncs SET jobs_total = jobs_total + $2::bigint + $3::bigint, jobs_queued = jobs_queued + $2,
                jobs_skipped = jobs_skipped + $3, revision = revision + 1
         WHERE id = $1",
        sync,
        queued,
        skipped
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Columns of the jobs to be written.
#[derive(Default)]
struct JobRows {
    contacts: Vec<i64>,
    kinds: Vec<&'static str>,
    addresses: Vec<Option<String>>,
    steps: Vec<Option<serde_json::Value>>,
    reasons: Vec<Option<&'static str>>,
}

impl JobRows {
    fn add(&mut self, person: &Person, capabilities: Capabilities) -> Result<(), Error> {
        for job in jobs_of(person.phone.as_ref(), person.lid.as_ref(), capabilities) {
            self.contacts.push(person.id);
            self.kinds.push(job.address_kind.as_str());
            self.addresses.push(job.address.map(String::from));
            let (step, reason) = match job.start {
                Ok(step) => (Some(serde_json::to_value(step).map_err(Error::unreadable)?), None),
                Err(reason) => (None, Some(reason.as_str())),
            };
            self.steps.push(step);
            self.reasons.push(reason);
        }
        Ok(())
    }
}
