//! Outcomes: messages, job states, counters and receipts of many jobs in one transaction.
//!
//! The way of a batch: lock what it touches -> ask the fence which of its results still count -> learn LIDs -> store
//! messages -> write the jobs -> add up the syncs -> close those that are done. A result whose fence fails changes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sincro_core::{
    address::Address,
    contact::ContactId,
    drill::{Point, reach},
    job::{Ending, Job, JobId, JobKind, JobState, Outcome, PARTIAL, SkipReason},
    message::Message,
    notice::Notice,
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Store,
    awaiting::{self, Waiting},
    channels,
    contacts::{self, Learned},
    media, syncs,
};

pub(crate) mod write;

use write::JobChange;

/// What a result must still be true to in order to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The attempt it was claimed as: higher than any settled one.
    pub attempt: i32,
    /// The steps that were done when it was loaded: still the same.
    pub steps_done: i32,
    /// The life of the queue it was claimed in: still going on.
    pub epoch: i64,
}

/// One execution's result.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The job as it was loaded.
    pub job: Job,
    /// What the result depends on.
    pub fence: Fence,
    /// What it came to.
    pub outcome: Outcome,
    /// The chat that was read, when one was.
    pub address: Option<Address>,
    /// What was in it.
    pub messages: Vec<Message>,
    /// How much of it was left out, being older than the sync's window.
    pub left_out: u32,
    /// The LID that was learned for the job's contact.
    pub learned: Option<Address>,
}

impl Settlement {
    /// A result that brings no messages.
    #[must_use]
    pub fn bare(job: &Job, fence: Fence, outcome: Outcome) -> Self {
        Self { job: job.clone(), fence, outcome, address: None, messages: Vec::new(), left_out: 0, learned: None }
    }
}

/// What the ledger made of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The job is over.
    Ended,
    /// The job goes on with its next step.
    Next,
    /// There is nothing to call now.
    Awaiting,
    /// The job's next attempt is due then.
    Delayed {
        /// When.
        due: DateTime<Utc>,
    },
    /// Nothing was written: the job was over already (cancelled, or finished by somebody else).
    Over,
    /// Nothing was written: a later attempt, a later step or another life of the queue has the job.
    Overtaken,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Settled {
    /// One per settlement, in the same order.
    pub recorded: Vec<Recorded>,
    /// What the queue must hear.
    pub notices: Vec<Notice>,
}

impl Store {
    /// Records a batch in one transaction. On an error nothing of it is written.
    pub async fn settle(&self, batch: &[Settlement]) -> Result<Settled, Error> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, batch).await?;
        let verdicts = fence(&mut tx, &batch.iter().map(|s| s.fence).collect::<Vec<_>>()).await?;
        let passed: Vec<(&Settlement, JobState)> =
            batch.iter().zip(&verdicts).filter_map(|(s, verdict)| Some((s, *verdict.as_ref().ok()?))).collect();
        let asked_elsewhere = learn(&mut tx, &passed).await?;
        let stored = write::messages(&mut tx, &passed).await?;
        let changes = passed
            .iter()
            .map(|(settlement, before)| JobChange::of(settlement, *before, &asked_elsewhere, &stored))
            .collect::<Result<Vec<_>, _>>()?;
        write::jobs(&mut tx, &changes).await?;
        awaiting::settled(&mut tx, &passed).await?;
        media::note_failures(&mut tx, &passed).await?;
        let touched = write::syncs(&mut tx, &changes).await?;
        let notices = syncs::close_finished(&mut tx, &touched).await?;
        reach(Point::Settling).await;
        tx.commit().await?;
        let mut written = changes.iter().map(JobChange::recorded);
        let recorded = verdicts.into_iter().filter_map(|verdict| verdict.err().or_else(|| written.next())).collect();
        Ok(Settled { recorded, notices })
    }
}

/// Channels whose contacts may change, then syncs, each in the order of their ids.
async fn lock(connection: &mut PgConnection, batch: &[Settlement]) -> Result<(), Error> {
    let learning: BTreeSet<_> = batch.iter().filter(|s| s.learned.is_some()).map(|s| s.job.channel).collect();
    for channel in learning {
        channels::lock(connection, channel).await?;
    }
    let ids: Vec<SyncId> = batch.iter().map(|s| s.job.sync).collect::<BTreeSet<_>>().into_iter().collect();
    sqlx::query_scalar!("SELECT id FROM syncs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", &ids)
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// For each fence: the state the job is in now, or why its result does not count. Locks the jobs.
async fn fence(connection: &mut PgConnection, fences: &[Fence]) -> Result<Vec<Result<JobState, Recorded>>, Error> {
    let ids: Vec<_> = fences.iter().map(|fence| fence.job).collect();
    let epochs: Vec<_> = fences.iter().map(|fence| fence.epoch).collect();
    let rows = sqlx::query!(
        "SELECT id, state, attempts, steps_done FROM jobs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let living = sqlx::query_scalar!("SELECT epoch FROM queue_epochs WHERE epoch = ANY($1)", &epochs)
        .fetch_all(connection)
        .await?;
    let mut open = HashMap::with_capacity(rows.len());
    for row in rows {
        let state: JobState = row.state.parse().map_err(Error::unreadable)?;
        if !state.is_terminal() {
            open.insert(row.id, (state, row.attempts, row.steps_done));
        }
    }
    let mut counted = HashSet::with_capacity(fences.len());
    let verdict = |fence: &Fence| match open.get(&fence.job) {
        None => Err(Recorded::Over),
        Some(&(state, attempts, steps_done)) => {
            let holds = fence.attempt > attempts && fence.steps_done == steps_done && living.contains(&fence.epoch);
            // Of two results of one job in a batch the first one counts.
            if holds && counted.insert(fence.job) { Ok(state) } else { Err(Recorded::Overtaken) }
        }
    };
    Ok(fences.iter().map(verdict).collect())
}

/// Writes a single result that passed the fence: on its job, which brought so many things, so many of them new, and on its sync. The queue
/// must hear the notices.
pub(crate) async fn settle_one(
    connection: &mut PgConnection,
    settlement: &Settlement,
    before: JobState,
    (fetched, stored): (i32, i32),
) -> Result<Vec<Notice>, Error> {
    let change = JobChange::of(settlement, before, &BTreeSet::new(), &HashMap::new())?.counting(fetched, stored);
    let change = [change];
    write::jobs(connection, &change).await?;
    let touched = write::syncs(connection, &change).await?;
    syncs::close_finished(connection, &touched).await
}

/// [`fence`] for a single result.
pub(crate) async fn fence_one(connection: &mut PgConnection, one: Fence) -> Result<Result<JobState, Recorded>, Error> {
    Ok(fence(connection, &[one]).await?.pop().unwrap_or(Err(Recorded::Over)))
}

/// Writes learned LIDs down; returns the jobs whose LID another job of the same sync asks already.
async fn learn(connection: &mut PgConnection, passed: &[(&Settlement, JobState)]) -> Result<BTreeSet<JobId>, Error> {
    let mut learners: Vec<(&Settlement, ContactId, &Address)> =
        passed.iter().filter_map(|(s, _)| Some((*s, s.job.contact?, s.learned.as_ref()?))).collect();
    if learners.is_empty() {
        return Ok(BTreeSet::new());
    }
    learners.sort_by_key(|(_, contact, _)| *contact);
    let learned: Vec<_> = learners
        .iter()
        .map(|(s, contact, lid)| Learned { channel: s.job.channel, contact: *contact, lid: lid.to_string() })
        .collect();
    let owners = contacts::learn(connection, &learned).await?;
    let (mut jobs, mut syncs, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (settlement, contact, _) in &learners {
        if let Some(owner) = owners.get(contact) {
            jobs.push(settlement.job.id);
            syncs.push(settlement.job.sync);
            others.push(*owner);
        }
    }
    let asked = sqlx::query_scalar!(
        r#"SELECT u.job AS "job!" FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS u(job, sync, owner)
           JOIN jobs j ON j.sync_id = u.sync AND j.contact_id = u.owner AND j.address_kind = 'lid' AND j.id <> u.job"#,
        &jobs,
        &syncs,
        &others
    );
    Ok(asked.fetch_all(connection).await?.into_iter().collect())
}

/// The state, reason and error that an ending leaves on its job.
fn ended(ending: &Ending) -> (JobState, Option<String>, Option<String>) {
    match ending {
        Ending::Succeeded => (JobState::Succeeded, None, None),
        Ending::Partial(missing) => (JobState::Succeeded, Some(PARTIAL.to_owned()), Some(missing.clone())),
        Ending::Empty => (JobState::Empty, None, None),
        Ending::Nothing(reason, told) => (JobState::Empty, Some(reason.to_string()), told.clone()),
        Ending::Skipped(reason) => (JobState::Skipped, Some(reason.to_string()), None),
        Ending::Failed(failure) => (JobState::Failed, Some(failure.code.clone()), Some(failure.detail.clone())),
    }
}

impl JobChange {
    /// What it changes that a job is over which no worker has.
    pub(crate) fn over(job: &Waiting, ending: &Ending) -> Self {
        let (after, reason, error) = ended(ending);
        Self {
            job: job.id,
            sync: job.sync,
            counted: true,
            before: JobState::Awaiting,
            after,
            step: None,
            steps_done: job.steps_done + 1,
            attempts: job.attempts,
            due: None,
            reason,
            error,
            address: None,
            fetched: 0,
            stored: 0,
            left_out: 0,
        }
    }

    /// What a result that passed the fence changes.
    fn of(
        settlement: &Settlement,
        before: JobState,
        asked_elsewhere: &BTreeSet<JobId>,
        stored: &HashMap<JobId, i32>,
    ) -> Result<Self, Error> {
        let Settlement { job, fence, outcome, address, messages, left_out, learned } = settlement;
        let fetched = i32::try_from(messages.len()).map_err(Error::unreadable)?;
        let stored = stored.get(&job.id).copied().unwrap_or(0);
        let mut change = Self {
            job: job.id,
            sync: job.sync,
            counted: job.kind != JobKind::Plan,
            before,
            after: JobState::Queued,
            // A link to a file is good for one attempt.
            step: (job.kind == JobKind::Media).then(|| Json(job.step.clone())),
            steps_done: job.steps_done,
            attempts: job.attempts,
            due: None,
            reason: None,
            error: None,
            address: learned.as_ref().or(address.as_ref()).map(ToString::to_string),
            fetched,
            stored,
            left_out: i32::try_from(*left_out).unwrap_or(i32::MAX),
        };
        let skipped = Outcome::Ended(Ending::Skipped(SkipReason::AskedByAnotherJob));
        match if asked_elsewhere.contains(&job.id) { &skipped } else { outcome } {
            Outcome::Ended(ending) => {
                (change.after, change.reason, change.error) = ended(ending);
                change.attempts = fence.attempt.min(job.attempt_limit);
                change.steps_done += 1;
            }
            Outcome::Next(step) => {
                change.step = Some(Json(step.clone()));
                change.steps_done += 1;
            }
            Outcome::Await(wait) => {
                change.after = JobState::Awaiting;
                change.step = Some(Json(wait.step.clone()));
                change.steps_done += 1;
            }
            Outcome::Retry { failure, due } => {
                change.after = JobState::Delayed;
                change.attempts = fence.attempt;
                change.due = Some(*due);
                change.reason = Some(failure.code.clone());
                change.error = Some(failure.detail.clone());
            }
        }
        Ok(change)
    }

    fn recorded(&self) -> Recorded {
        match (self.after, self.due) {
            (_, Some(due)) => Recorded::Delayed { due },
            (JobState::Awaiting, None) => Recorded::Awaiting,
            (JobState::Queued, None) => Recorded::Next,
            _ => Recorded::Ended,
        }
    }
}
