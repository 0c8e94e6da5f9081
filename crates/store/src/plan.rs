//! Contacts -> jobs, one piece of a contact list at a time.
//!
//! A piece's jobs, the plan job's next step and the notice to the queue are one transaction, and the piece goes with it. A
//! crash goes on with the next piece; planning somebody twice adds nothing, because jobs are unique by what they stand for.

use sincro_core::{
    address::AddressKind,
    channel::ChannelId,
    clock,
    drill::{Point, reach},
    job::{Job, JobId, JobState, Step},
    notice::{Notice, spans},
    plan::{account_step, jobs_of},
    provider::Capabilities,
    sync::SyncId,
};
use sqlx::PgConnection;

use crate::{
    Error, Store, channels,
    contacts::{self, Person},
    jobs, listing, notices,
    settle::{Fence, Recorded, fence_one},
    syncs,
};

/// What became of a piece.
#[derive(Debug)]
pub struct PlannedPiece {
    /// What became of the plan job: [`Recorded::Next`] while there is more to plan or to read.
    pub recorded: Recorded,
    /// The plan job's step from now on; none when it is over.
    pub step: Option<Step>,
    /// What the queue must hear.
    pub notices: Vec<Notice>,
}

impl Store {
    /// Writes the jobs of the next piece of a kept contact list, under the plan job's fence.
    pub async fn plan_piece(
        &self,
        job: &Job,
        fence: Fence,
        capabilities: Capabilities,
        max_attempts: u32,
    ) -> Result<PlannedPiece, Error> {
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        syncs::lock(&mut tx, job.sync).await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(PlannedPiece { recorded: refused, step: None, notices: Vec::new() });
        }
        let mut jobs = Vec::new();
        let more = match listing::next(&mut tx, job.sync).await? {
            None => false,
            Some(piece) if piece.pairings.is_some() => {
                listing::pair(&mut tx, job.sync, job.channel, &piece).await?;
                true
            }
            Some(piece) => {
                let persons = contacts::persons(&mut tx, &piece.contacts).await?;
                jobs = insert_jobs(&mut tx, job.sync, job.channel, &persons, false, capabilities, max_attempts).await?;
                listing::drop_piece(&mut tx, job.sync, &piece).await?
            }
        };
        let step = if more { Some(job.step.clone()) } else { behind(&job.step) };
        advance(&mut tx, job, fence, step.as_ref()).await?;
        if step.is_none()
            && let Some(first) = account_step(capabilities)
        {
            jobs.push(jobs::insert_single(&mut tx, job.sync, job.channel, &first, max_attempts).await?);
        }
        let mut notices = Vec::new();
        if !jobs.is_empty() || step.is_none() {
            notices.push(notices::write_lane(&mut tx, job.sync, false, &spans(&jobs)).await?);
        }
        notices.extend(syncs::close_finished(&mut tx, &[job.sync]).await?);
        reach(Point::Planning).await;
        tx.commit().await?;
        let recorded = if step.is_some() { Recorded::Next } else { Recorded::Ended };
        Ok(PlannedPiece { recorded, step, notices })
    }
}

/// What follows on a page of the gateway that is planned: its next page, if it has one.
fn behind(step: &Step) -> Option<Step> {
    match step {
        Step::Contacts { listed: Some(listed), .. } => {
            listed.next.clone().map(|cursor| Step::Contacts { cursor: Some(cursor), listed: None })
        }
        _ => None,
    }
}

/// Moves the plan job on: to its next step, or to its end, which starts the sync.
async fn advance(connection: &mut PgConnection, job: &Job, fence: Fence, step: Option<&Step>) -> Result<(), Error> {
    let now = clock::now();
    let last = step.is_none();
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
    Ok(())
}

/// Writes the plan job of a sync whose contacts the gateway lists.
pub(crate) async fn insert_plan_job(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: ChannelId,
    max_attempts: u32,
) -> Result<JobId, Error> {
    let step = serde_json::to_value(Step::Contacts { cursor: None, listed: None }).map_err(Error::unreadable)?;
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
    named: bool,
    capabilities: Capabilities,
    max_attempts: u32,
) -> Result<Vec<JobId>, Error> {
    let mut rows = JobRows::default();
    for person in persons {
        rows.add(person, named, capabilities)?;
    }
    let inserted = sqlx::query!(
        r#"INSERT INTO jobs (sync_id, channel_id, contact_id, kind, address_kind, address, state, step, reason, attempt_limit, created_at, settled_at)
         SELECT $1, $2, u.contact, 'history', u.kind, u.address, CASE WHEN u.step IS NULL THEN 'skipped' ELSE 'queued' END,
                u.step::jsonb, u.reason, $8, $9::timestamptz, CASE WHEN u.step IS NULL THEN $9::timestamptz END
         FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
              WITH ORDINALITY AS u(contact, kind, address, step, reason, place)
         ORDER BY u.place
         ON CONFLICT ON CONSTRAINT jobs_one_per_contact_and_address DO NOTHING
         RETURNING id, state = 'queued' AS "queued!""#,
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
    let mut open: Vec<JobId> = inserted.iter().filter(|row| row.queued).map(|row| row.id).collect();
    open.sort_unstable();
    count(connection, sync, open.len(), inserted.len() - open.len()).await?;
    Ok(open)
}

pub(crate) async fn count(
    connection: &mut PgConnection,
    sync: SyncId,
    queued: usize,
    skipped: usize,
) -> Result<(), Error> {
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
    /// As JSON.
    steps: Vec<Option<String>>,
    reasons: Vec<Option<&'static str>>,
}

impl JobRows {
    fn add(&mut self, person: &Person, named: bool, capabilities: Capabilities) -> Result<(), Error> {
        let (phone, lid) = match &person.addresses {
            Ok((phone, lid)) => (phone.as_ref(), lid.as_ref()),
            Err(garbage) => {
                self.add_unreadable(person.id, garbage);
                return Ok(());
            }
        };
        for job in jobs_of(phone, lid, named, capabilities) {
            let (step, reason) = match job.start {
                Ok(step) => (Some(serde_json::to_string(&step).map_err(Error::unreadable)?), None),
                Err(reason) => (None, Some(reason.as_str())),
            };
            self.push(person.id, job.address_kind, job.address.map(String::from), step, reason);
        }
        Ok(())
    }

    /// Jobs that fail as unreadable when they are claimed, so that the receipt names whom it is about and retries work once
    /// the row is mended by hand.
    fn add_unreadable(&mut self, contact: i64, garbage: &str) {
        for &kind in AddressKind::ALL {
            let step = serde_json::json!({"do": "history", "address": garbage, "cursor": null});
            self.push(contact, kind, Some(garbage.to_owned()), Some(step.to_string()), None);
        }
    }

    fn push(
        &mut self,
        contact: i64,
        kind: AddressKind,
        address: Option<String>,
        step: Option<String>,
        reason: Option<&'static str>,
    ) {
        self.contacts.push(contact);
        self.kinds.push(kind.as_str());
        self.addresses.push(address);
        self.steps.push(step);
        self.reasons.push(reason);
    }
}
