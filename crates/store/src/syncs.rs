//! Creating and reading syncs.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    channel::{ChannelId, Feature},
    clock,
    contact::Contact,
    job::{JobId, Step},
    notice::{Notice, spans},
    plan::account_step,
    provider::Capabilities,
    sync::{JobCounts, MessageCounts, SyncId, SyncKind, SyncState, SyncStatus},
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    Conflict, Error, Missing, Store,
    access::{self, Idempotency},
    channels, contacts, jobs, notices,
    outlooks::OpenSync,
    plan,
};

/// Contacts that are written at once.
const PIECE: usize = 2_000;

/// A sync to be created.
#[derive(Debug)]
pub struct NewSync {
    /// The channel.
    pub channel: ChannelId,
    /// The whole channel or one contact.
    pub kind: SyncKind,
    /// Messages per address, 1 to 100.
    pub messages_wanted: u32,
    /// Whom to ask; none stands for everybody.
    pub contacts: Option<Vec<Contact>>,
    /// The only step there is, where it consists of one job: a message to bring back, a look at the set-up.
    pub only: Option<Step>,
    /// Whether phones are asked for what the gateway does not hold.
    pub deep: bool,
    /// Messages that are older than so many days are left out.
    pub window_days: Option<u16>,
    /// What the channel's provider offers.
    pub capabilities: Capabilities,
    /// Attempts per job.
    pub max_attempts: u32,
    /// The request, when it carried an `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
}

impl NewSync {
    /// Whether the gateway's contact list has to be read before its jobs can be written.
    fn needs_a_plan(&self) -> bool {
        self.only.is_none() && self.contacts.is_none() && self.capabilities.contact_list
    }
}

/// A sync that exists now, or existed already.
#[derive(Debug)]
pub struct CreatedSync {
    /// Its id.
    pub id: SyncId,
    /// The [`SyncStatus`] that answered the first request, as JSON.
    pub answer: serde_json::Value,
    /// What the queue must hear; none when an earlier answer was repeated.
    pub notice: Option<Notice>,
}

/// Which syncs to list.
#[derive(Debug, Default, Clone)]
pub struct SyncFilter {
    /// Only of this channel.
    pub channel: Option<ChannelId>,
    /// Only in this state.
    pub state: Option<SyncState>,
    /// Only those created before this one, which must exist.
    pub before: Option<SyncId>,
}

struct SyncRow {
    id: Uuid,
    channel_id: Uuid,
    kind: String,
    state: String,
    revision: i64,
    jobs_total: i64,
    jobs_queued: i64,
    jobs_delayed: i64,
    jobs_awaiting: i64,
    jobs_succeeded: i64,
    jobs_empty: i64,
    jobs_skipped: i64,
    jobs_failed: i64,
    jobs_cancelled: i64,
    messages_fetched: i64,
    messages_stored: i64,
    messages_duplicate: i64,
    messages_left_out: i64,
    window_days: Option<i16>,
    delivery: Option<String>,
    percent: Option<i16>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// One place for the columns: `sync_rows!("WHERE id = $1", id)`.
macro_rules! sync_rows {
    ($tail:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            SyncRow,
            "SELECT id, channel_id, kind, state, revision, jobs_total, jobs_queued, jobs_delayed, jobs_awaiting, jobs_succeeded,
                    jobs_empty, jobs_skipped, jobs_failed, jobs_cancelled, messages_fetched, messages_stored, messages_duplicate,
                    messages_left_out, window_days, delivery, percent, error, created_at, started_at, finished_at FROM syncs " + $tail
            $(, $arg)*
        )
    };
}

impl TryFrom<SyncRow> for SyncStatus {
    type Error = Error;

    fn try_from(row: SyncRow) -> Result<Self, Error> {
        let jobs = JobCounts {
            total: row.jobs_total,
            queued: row.jobs_queued,
            running: 0,
            delayed: row.jobs_delayed,
            awaiting: row.jobs_awaiting,
            succeeded: row.jobs_succeeded,
            empty: row.jobs_empty,
            skipped: row.jobs_skipped,
            failed: row.jobs_failed,
            cancelled: row.jobs_cancelled,
        };
        let state: SyncState = row.state.parse().map_err(Error::unreadable)?;
        let delivered = row.percent.filter(|_| jobs.awaiting > 0).map_or(0.0, |percent| f64::from(percent) / 100.0);
        #[expect(clippy::cast_precision_loss, reason = "a share of jobs, for people")]
        let progress = match jobs.total {
            0 => f64::from(u8::from(state.is_terminal())),
            total => (jobs.settled() as f64 + delivered) / total as f64,
        };
        Ok(Self {
            id: row.id,
            channel_id: row.channel_id,
            kind: row.kind.parse().map_err(Error::unreadable)?,
            state,
            revision: row.revision,
            jobs,
            messages: MessageCounts {
                fetched: row.messages_fetched,
                stored: row.messages_stored,
                duplicate: row.messages_duplicate,
                left_out: row.messages_left_out,
            },
            window_days: row.window_days.and_then(|days| u16::try_from(days).ok()),
            delivery: row.delivery.filter(|_| jobs.awaiting > 0),
            progress,
            eta_seconds: None,
            limited_by: None,
            next_at: None,
            error: row.error,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        })
    }
}

impl Store {
    /// Creates a sync: with contacts its jobs are planned in the same transaction, else a plan job is.
    pub async fn create_sync(&self, new: NewSync) -> Result<CreatedSync, Error> {
        let mut tx = self.pool.begin().await?;
        if let Some(request) = &new.idempotency
            && let Some(answer) = access::recall(&mut tx, request).await?
        {
            let id = answer["id"].as_str().and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| Error::unreadable("a remembered answer without an id"))?;
            return Ok(CreatedSync { id, answer, notice: None });
        }
        channels::lock(&mut tx, new.channel).await?;
        refuse_unless_it_may_begin(&mut tx, new.channel, new.kind).await?;
        let id = Uuid::now_v7();
        insert(&mut tx, id, &new).await?;
        let jobs = match (&new.only, &new.contacts) {
            (Some(step), _) => vec![jobs::insert_single(&mut tx, id, new.channel, step, new.max_attempts).await?],
            (None, Some(list)) => plan_at_once(&mut tx, id, &new, list).await?,
            (None, None) if new.needs_a_plan() => {
                vec![plan::insert_plan_job(&mut tx, id, new.channel, new.max_attempts).await?]
            }
            (None, None) => match account_step(new.capabilities) {
                Some(first) => vec![jobs::insert_single(&mut tx, id, new.channel, &first, new.max_attempts).await?],
                None => Vec::new(),
            },
        };
        let notice = notices::write_lane(&mut tx, id, true, &spans(&jobs)).await?;
        let answer = serde_json::to_value(find(&mut tx, id).await?).map_err(Error::unreadable)?;
        if let Some(request) = &new.idempotency {
            access::remember(&mut tx, request, id, &answer).await?;
        }
        tx.commit().await?;
        Ok(CreatedSync { id, answer, notice: Some(notice) })
    }

    /// One sync, as far as the ledger knows.
    pub async fn sync(&self, id: SyncId) -> Result<SyncStatus, Error> {
        let row = sync_rows!("WHERE id = $1", id).fetch_optional(&self.pool).await?;
        row.ok_or(Error::NotFound(Missing::Sync))?.try_into()
    }

    /// Syncs, newest first. [`Missing::Sync`] is the one that the filter goes on behind.
    pub async fn syncs(&self, filter: &SyncFilter, limit: i64) -> Result<Vec<SyncStatus>, Error> {
        let before = match filter.before {
            Some(before) => Some(self.sync(before).await?.created_at),
            None => None,
        };
        let rows = sync_rows!(
            "WHERE ($1::uuid IS NULL OR channel_id = $1) AND ($2::text IS NULL OR state = $2)
               AND ($3::uuid IS NULL OR (created_at, id) < ($4, $3))
             ORDER BY created_at DESC, id DESC LIMIT $5",
            filter.channel as _,
            filter.state.map(SyncState::as_str) as _,
            filter.before as _,
            before as _,
            limit
        );
        rows.fetch_all(&self.pool).await?.into_iter().map(SyncStatus::try_from).collect()
    }
}

/// Some kinds need a feature, and of some one can be open at a time.
async fn refuse_unless_it_may_begin(
    connection: &mut PgConnection,
    channel: ChannelId,
    kind: SyncKind,
) -> Result<(), Error> {
    if !kind.is_alone() {
        return Ok(());
    }
    let found = channels::find(connection, channel).await?;
    if kind == SyncKind::Channel && !found.features.contains(&Feature::ImportMessages) {
        return Err(Conflict::FeatureMissing.into());
    }
    if let Some(running) = open_sync(connection, channel, kind).await? {
        return Err(Conflict::SyncRunning(running).into());
    }
    match found.paused {
        // Nobody would look before somebody resumes it.
        Some(_) if kind == SyncKind::Check => Err(Conflict::ChannelPaused.into()),
        _ => Ok(()),
    }
}

/// Writes the jobs of a list, a piece at a time so that not all of it is in a statement at once, persons before jobs.
async fn plan_at_once(
    connection: &mut PgConnection,
    id: SyncId,
    new: &NewSync,
    list: &[Contact],
) -> Result<Vec<JobId>, Error> {
    let mut pieces = Vec::with_capacity(list.len().div_ceil(PIECE));
    for piece in list.chunks(PIECE) {
        pieces.push(contacts::upsert(connection, new.channel, piece).await?);
    }
    if pieces.len() > 1 {
        // A later one may have joined persons of an earlier one.
        for piece in &mut pieces {
            let ids: Vec<_> = piece.iter().map(|person| person.id).collect();
            *piece = contacts::persons(connection, &ids).await?;
        }
    }
    let mut jobs = Vec::new();
    for persons in &pieces {
        jobs.extend(
            plan::insert_jobs(connection, id, new.channel, persons, true, new.capabilities, new.max_attempts).await?,
        );
    }
    Ok(jobs)
}

async fn insert(connection: &mut PgConnection, id: SyncId, new: &NewSync) -> Result<(), Error> {
    let now = clock::now();
    let planned = !new.needs_a_plan();
    let state = if planned { SyncState::Running } else { SyncState::Planning };
    sqlx::query!(
        "INSERT INTO syncs (id, channel_id, kind, state, planned, messages_wanted, created_at, started_at, deep, window_days)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        new.channel,
        new.kind.as_str(),
        state.as_str(),
        planned,
        new.messages_wanted.cast_signed(),
        now,
        planned.then_some(now),
        new.deep,
        new.window_days.and_then(|days| i16::try_from(days).ok())
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Messages from before then are left out.
pub(crate) fn window_from(created_at: DateTime<Utc>, window_days: Option<i16>) -> Option<DateTime<Utc>> {
    window_days.and_then(|days| created_at.checked_sub_signed(TimeDelta::days(days.into())))
}

/// The channel's open sync of a kind of which there is at most one.
pub(crate) async fn open_sync(
    connection: &mut PgConnection,
    channel: ChannelId,
    kind: SyncKind,
) -> Result<Option<SyncId>, Error> {
    let open = sqlx::query_scalar!(
        "SELECT id FROM syncs WHERE channel_id = $1 AND kind = $2 AND finished_at IS NULL LIMIT 1",
        channel,
        kind.as_str()
    );
    Ok(open.fetch_optional(connection).await?)
}

pub(crate) async fn find(connection: &mut PgConnection, id: SyncId) -> Result<SyncStatus, Error> {
    let row = sync_rows!("WHERE id = $1", id).fetch_optional(connection).await?;
    row.ok_or(Error::NotFound(Missing::Sync))?.try_into()
}

/// Takes the sync's lock and says where it is.
pub(crate) async fn lock(connection: &mut PgConnection, id: SyncId) -> Result<SyncStatus, Error> {
    let row = sync_rows!("WHERE id = $1 FOR NO KEY UPDATE", id).fetch_optional(connection).await?;
    row.ok_or(Error::NotFound(Missing::Sync))?.try_into()
}

/// The oldest of the syncs that are not over, each with its server.
pub(crate) async fn open(pool: &PgPool, limit: i64) -> Result<Vec<OpenSync>, Error> {
    let rows = sync_rows!("WHERE finished_at IS NULL ORDER BY id LIMIT $1", limit).fetch_all(pool).await?;
    let channels: Vec<ChannelId> = rows.iter().map(|row| row.channel_id).collect();
    let servers = sqlx::query!("SELECT id, server FROM channels WHERE id = ANY($1)", &channels).fetch_all(pool).await?;
    let servers: HashMap<ChannelId, String> = servers.into_iter().map(|row| (row.id, row.server)).collect();
    let known = rows.into_iter().filter_map(|row| {
        // A channel can be gone by now, and its syncs with it.
        let server = servers.get(&row.channel_id)?.clone();
        Some(SyncStatus::try_from(row).map(|status| OpenSync { status, server }))
    });
    known.collect()
}

/// Closes the syncs among these whose last job has ended; the queue must hear the notices.
pub(crate) async fn close_finished(connection: &mut PgConnection, ids: &[SyncId]) -> Result<Vec<Notice>, Error> {
    let closed = sqlx::query_scalar!(
        "UPDATE syncs s SET finished_at = $2, revision = revision + 1,
                state = CASE WHEN EXISTS (SELECT 1 FROM jobs j WHERE j.sync_id = s.id AND j.kind = 'plan' AND j.state = 'failed') THEN 'failed'
                             WHEN jobs_failed > 0 THEN 'completed_with_failures' ELSE 'completed' END
         WHERE id = ANY($1) AND planned AND finished_at IS NULL AND jobs_queued + jobs_delayed + jobs_awaiting = 0
         RETURNING id",
        ids,
        clock::now()
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut notices = Vec::with_capacity(closed.len());
    for sync in closed {
        notices.push(notices::write_lane(connection, sync, false, &[]).await?);
    }
    Ok(notices)
}
