//! The writes of a settlement: messages, jobs, syncs; each one statement for the whole batch.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sincro_core::{
    clock,
    contact::ContactId,
    job::{JobId, JobState, Step},
    message::Origin,
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use super::Settlement;
use crate::{
    Error,
    messages::{self, Stored},
};

/// What changes on one job.
pub(crate) struct JobChange {
    pub(super) job: JobId,
    pub(super) sync: SyncId,
    /// Whether the sync's counters know this job; the plan job is not counted.
    pub(super) counted: bool,
    pub(super) before: JobState,
    pub(super) after: JobState,
    /// What comes next, where that is something else.
    pub(super) step: Option<Json<Step>>,
    pub(super) steps_done: i32,
    pub(super) attempts: i32,
    pub(super) due: Option<DateTime<Utc>>,
    pub(super) reason: Option<String>,
    pub(super) error: Option<String>,
    pub(super) address: Option<String>,
    pub(super) fetched: i32,
    pub(super) stored: i32,
    pub(super) left_out: i32,
}

impl JobChange {
    /// The same of a job that brings something else than messages.
    pub(crate) const fn counting(mut self, fetched: i32, stored: i32) -> Self {
        (self.fetched, self.stored) = (fetched, stored);
        self
    }
}

/// Stores the batch's messages, each once per channel, and says how many new ones each job brought.
pub(super) async fn messages(
    connection: &mut PgConnection,
    passed: &[(&Settlement, JobState)],
) -> Result<HashMap<JobId, i32>, Error> {
    let survivors = survivors(connection, passed).await?;
    let mut rows = messages::Rows::default();
    for (settlement, _) in passed {
        let (Some(contact), Some(address)) = (settlement.job.contact, &settlement.address) else { continue };
        let place = messages::Place {
            channel: settlement.job.channel,
            contact: survivors.get(&contact).copied().unwrap_or(contact),
            address: address.as_str(),
            job: Some(settlement.job.id),
            origin: Origin::History,
        };
        for message in &settlement.messages {
            rows.push(place, message);
        }
    }
    let mut per_job = HashMap::new();
    for Stored { job, messages, .. } in rows.insert(connection).await? {
        if let Some(job) = job {
            *per_job.entry(job).or_insert(0) += messages;
        }
    }
    Ok(per_job)
}

/// For each contact of the batch, the person it is by now. Shares a lock with it, so that it stays that person
/// until the messages are in.
async fn survivors(
    connection: &mut PgConnection,
    passed: &[(&Settlement, JobState)],
) -> Result<HashMap<ContactId, ContactId>, Error> {
    let mut ids: Vec<ContactId> =
        passed.iter().filter(|(s, _)| !s.messages.is_empty()).filter_map(|(s, _)| s.job.contact).collect();
    ids.sort_unstable();
    let rows = sqlx::query!(
        r#"SELECT id, coalesce(merged_into, id) AS "survivor!" FROM contacts WHERE id = ANY($1) ORDER BY id FOR KEY SHARE"#,
        &ids
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.id, row.survivor)).collect())
}

/// Writes the jobs of the batch.
pub(crate) async fn jobs(connection: &mut PgConnection, changes: &[JobChange]) -> Result<(), Error> {
    let column = |pick: fn(&JobChange) -> i32| changes.iter().map(pick).collect::<Vec<_>>();
    let words = |pick: fn(&JobChange) -> Option<&str>| changes.iter().map(pick).collect::<Vec<_>>();
    let now = clock::now();
    sqlx::query!(
        "UPDATE jobs j SET state = u.state, step = coalesce(u.step, j.step), steps_done = u.steps_done, attempts = u.attempts, next_at = u.due,
                reason = u.reason, last_error = u.error, address = coalesce(u.address, j.address), fetched = j.fetched + u.fetched,
                stored = j.stored + u.stored, duplicate = j.duplicate + u.fetched - u.stored, left_out = j.left_out + u.left_out,
                settled_at = $13, ran_alone = false
         FROM unnest($1::bigint[], $2::text[], $3::jsonb[], $4::integer[], $5::integer[], $6::timestamptz[], $7::text[], $8::text[],
                     $9::text[], $10::integer[], $11::integer[], $12::integer[])
              AS u(id, state, step, steps_done, attempts, due, reason, error, address, fetched, stored, left_out)
         WHERE j.id = u.id",
        &changes.iter().map(|change| change.job).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.after.as_str()).collect::<Vec<_>>() as _,
        &changes.iter().map(|change| change.step.as_ref()).collect::<Vec<_>>() as _,
        &column(|change| change.steps_done),
        &column(|change| change.attempts),
        &changes.iter().map(|change| change.due).collect::<Vec<_>>() as _,
        &words(|change| change.reason.as_deref()) as _,
        &words(|change| change.error.as_deref()) as _,
        &words(|change| change.address.as_deref()) as _,
        &column(|change| change.fetched),
        &column(|change| change.stored),
        &column(|change| change.left_out),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How a batch moves the counters of one sync.
#[derive(Default)]
struct Tally {
    jobs: HashMap<JobState, i64>,
    fetched: i64,
    stored: i64,
    left_out: i64,
    /// What planning came to grief over, if this batch holds its plan job.
    error: Option<String>,
    /// The plan job failed for good: no more jobs will come.
    planning_over: bool,
}

/// Adds the batch up in its syncs; returns those it touched.
pub(crate) async fn syncs(connection: &mut PgConnection, changes: &[JobChange]) -> Result<Vec<SyncId>, Error> {
    let mut tallies: BTreeMap<SyncId, Tally> = BTreeMap::new();
    for change in changes {
        let tally = tallies.entry(change.sync).or_default();
        if change.counted {
            *tally.jobs.entry(change.before).or_default() -= 1;
            *tally.jobs.entry(change.after).or_default() += 1;
            tally.fetched += i64::from(change.fetched);
            tally.stored += i64::from(change.stored);
            tally.left_out += i64::from(change.left_out);
        } else {
            tally.error.clone_from(&change.error);
            tally.planning_over = change.after == JobState::Failed;
        }
    }
    let column = |state: JobState| -> Vec<i64> {
        tallies.values().map(|tally| tally.jobs.get(&state).copied().unwrap_or(0)).collect()
    };
    let ids: Vec<SyncId> = tallies.keys().copied().collect();
    sqlx::query!(
        "UPDATE syncs s SET jobs_queued = jobs_queued + u.queued, jobs_delayed = jobs_delayed + u.delayed,
                jobs_awaiting = jobs_awaiting + u.awaiting, jobs_succeeded = jobs_succeeded + u.succeeded,
                jobs_empty = jobs_empty + u.empty, jobs_skipped = jobs_skipped + u.skipped, jobs_failed = jobs_failed + u.failed,
                messages_fetched = messages_fetched + u.fetched, messages_stored = messages_stored + u.stored,
                messages_duplicate = messages_duplicate + u.fetched - u.stored, messages_left_out = messages_left_out + u.left_out,
                error = coalesce(u.error, s.error), planned = planned OR u.planning_over, revision = revision + 1
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::text[], $12::boolean[], $13::bigint[])
              AS u(id, queued, delayed, awaiting, succeeded, empty, skipped, failed, fetched, stored, error, planning_over, left_out)
         WHERE s.id = u.id",
        &ids,
        &column(JobState::Queued),
        &column(JobState::Delayed),
        &column(JobState::Awaiting),
        &column(JobState::Succeeded),
        &column(JobState::Empty),
        &column(JobState::Skipped),
        &column(JobState::Failed),
        &tallies.values().map(|tally| tally.fetched).collect::<Vec<_>>(),
        &tallies.values().map(|tally| tally.stored).collect::<Vec<_>>(),
        &tallies.values().map(|tally| tally.error.as_deref()).collect::<Vec<_>>() as _,
        &tallies.values().map(|tally| tally.planning_over).collect::<Vec<_>>(),
        &tallies.values().map(|tally| tally.left_out).collect::<Vec<_>>()
    )
    .execute(connection)
    .await?;
    Ok(ids)
}

/// The state in which an ending leaves a job.
pub(crate) fn state_of(ending: &sincro_core::job::Ending) -> JobState {
    super::ended(ending).0
}
