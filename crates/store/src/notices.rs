//! The outbox to the queue: written with the change it tells of, delivered after the commit.
//!
//! A notice's row says which channel and which sync; what the queue is told of them is read when the notice is read, so
//! a late delivery tells the newest state. The caller's lock on the sync makes the numbers of its notices gapless and
//! in commit order.

use chrono::{DateTime, Utc};
use serde_json::{Value, value::RawValue};
use sincro_core::{
    channel::ChannelId,
    clock,
    limit::Limit,
    notice::{ChannelRule, Entry, LaneNotice, LaneState, Notice, NoticeId},
    sync::{SyncId, SyncKind, SyncState},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{Error, Store, channels, limits};

/// A notice with all it tells. Without a notice, of a lane that is to be put back, `id` is 0.
pub(crate) struct NoticeRow {
    pub(crate) id: i64,
    pub(crate) channel_id: Uuid,
    pub(crate) server: String,
    pub(crate) version: i64,
    pub(crate) rate_per_second: f64,
    pub(crate) burst: i32,
    pub(crate) concurrency: i32,
    pub(crate) paused_by: Option<String>,
    pub(crate) reason: Option<String>,
    /// The rules that could hold for the channel.
    pub(crate) rules: Value,
    pub(crate) rules_version: i64,
    pub(crate) sync_id: Option<Uuid>,
    pub(crate) seq: Option<i64>,
    pub(crate) opens: bool,
    /// Read when it is needed: as a tree of values it would take many times its length.
    pub(crate) jobs: Json<Box<RawValue>>,
    pub(crate) sync_kind: Option<String>,
    pub(crate) sync_state: Option<String>,
}

/// Some notices of the outbox.
#[derive(Debug, Default)]
pub struct NoticePage {
    /// Those that can be read, in the order in which each sync needs them.
    pub notices: Vec<Notice>,
    /// The last one that was looked at, readable or not; none when there was none.
    pub last: Option<NoticeId>,
}

/// One place for the columns: `notice_rows!("notices", "WHERE n.id = $1", id)`. In place of the table, a query whose rows are like it.
macro_rules! notice_rows {
    ($source:literal, $tail:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            NoticeRow,
            r#"SELECT n.id AS "id!", n.channel_id AS "channel_id!", c.server, c.version, c.rate_per_second, c.burst, c.concurrency, c.paused_by, c.reason,
                      (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM limit_rules r
                       WHERE r.matches IN (c.server, c.provider || '/*', c.id::text)) AS "rules!",
                      (SELECT coalesce(max(l.id), 0) FROM limit_changes l WHERE l.source = 'rule') AS "rules_version!",
                      n.sync_id AS "sync_id?", n.seq AS "seq?", n.opens AS "opens!", n.jobs AS "jobs!: Json<Box<RawValue>>",
                      s.kind AS "sync_kind?", s.state AS "sync_state?"
               FROM "# + $source + r#" n JOIN channels c ON c.id = n.channel_id LEFT JOIN syncs s ON s.id = n.sync_id "# + $tail
            $(, $arg)*
        )
    };
}

pub(crate) use notice_rows;

impl TryFrom<NoticeRow> for Notice {
    type Error = Error;

    fn try_from(row: NoticeRow) -> Result<Self, Error> {
        let resolved = limits::resolved(row.rules, &row.server, row.channel_id)?;
        let own = Limit {
            rate_per_second: row.rate_per_second,
            burst: row.burst.unsigned_abs(),
            concurrency: row.concurrency.unsigned_abs(),
        };
        let channel = ChannelRule {
            id: row.channel_id,
            server: row.server,
            version: row.version,
            limit: resolved.channel.unwrap_or_else(|| own.into()),
            paused: channels::pause(row.paused_by.as_deref(), row.reason)?,
            server_limit: resolved.server,
            server_version: row.rules_version,
        };
        let lane = match (row.sync_id, row.seq, row.sync_kind, row.sync_state) {
            (Some(sync), Some(seq), Some(kind), Some(state)) => Some(LaneNotice {
                sync,
                seq,
                opens: row.opens,
                urgent: kind.parse().is_ok_and(SyncKind::is_urgent),
                state: lane_state(state.parse().map_err(Error::unreadable)?),
                jobs: serde_json::from_str(row.jobs.get()).map_err(Error::unreadable)?,
            }),
            _ => None,
        };
        Ok(Self { id: row.id, channel, lane })
    }
}

/// Whether jobs of a sync in that state may be claimed.
pub(crate) const fn lane_state(state: SyncState) -> LaneState {
    match state {
        SyncState::Planning | SyncState::Running => LaneState::Open,
        SyncState::Paused => LaneState::Paused,
        SyncState::Completed | SyncState::CompletedWithFailures | SyncState::Cancelled | SyncState::Failed => {
            LaneState::Closed
        }
    }
}

impl Store {
    /// Notices behind `after` that were written before `before` and not delivered, but for those of the servers `without`. One
    /// that cannot be read is left out, and stays.
    pub async fn undelivered_notices(
        &self,
        before: DateTime<Utc>,
        after: NoticeId,
        without: &[String],
        limit: i64,
    ) -> Result<NoticePage, Error> {
        let rows = notice_rows!(
            "notices",
            "WHERE n.created_at < $1 AND n.id > $2 AND c.server <> ALL ($3) ORDER BY n.id LIMIT $4",
            before,
            after,
            without,
            limit
        );
        let rows = rows.fetch_all(&self.pool).await?;
        let last = rows.last().map(|row| row.id);
        let readable = rows.into_iter().filter_map(|row| {
            let id = row.id;
            let unreadable = |error: &Error| tracing::error!(notice = id, %error, "a notice is not delivered");
            Notice::try_from(row).inspect_err(unreadable).ok()
        });
        Ok(NoticePage { notices: readable.collect(), last })
    }

    /// Forgets notices the queue has applied.
    pub async fn forget_notices(&self, delivered: &[NoticeId]) -> Result<(), Error> {
        if !delivered.is_empty() {
            sqlx::query!("DELETE FROM notices WHERE id = ANY($1)", delivered).execute(&self.pool).await?;
        }
        Ok(())
    }
}

/// Writes a notice about a channel's rules.
pub(crate) async fn write_channel(connection: &mut PgConnection, channel: ChannelId) -> Result<Notice, Error> {
    let id = sqlx::query_scalar!(
        "INSERT INTO notices (channel_id, created_at) VALUES ($1, $2) RETURNING id",
        channel,
        clock::now()
    )
    .fetch_one(&mut *connection)
    .await?;
    read(connection, id).await
}

/// Writes a notice about the rules of each of these channels.
pub(crate) async fn write_channels(
    connection: &mut PgConnection,
    channels: &[ChannelId],
) -> Result<Vec<Notice>, Error> {
    let ids = sqlx::query_scalar!(
        "INSERT INTO notices (channel_id, created_at) SELECT UNNEST($1::uuid[]), $2 RETURNING id",
        channels,
        clock::now()
    )
    .fetch_all(&mut *connection)
    .await?;
    let rows = notice_rows!("notices", "WHERE n.id = ANY($1) ORDER BY n.id", &ids).fetch_all(connection).await?;
    rows.into_iter().map(Notice::try_from).collect()
}

/// Writes the next notice of a sync, whose row the caller has locked, with new jobs or with its new state alone.
pub(crate) async fn write_lane(
    connection: &mut PgConnection,
    sync: SyncId,
    opens: bool,
    jobs: &[Entry],
) -> Result<Notice, Error> {
    let id = sqlx::query_scalar!(
        "WITH numbered AS (UPDATE syncs SET lane_seq = lane_seq + 1 WHERE id = $1 RETURNING channel_id, lane_seq)
         INSERT INTO notices (channel_id, sync_id, seq, opens, jobs, created_at)
         SELECT channel_id, $1, lane_seq, $2, $3, $4 FROM numbered RETURNING id",
        sync,
        opens,
        Json(jobs) as _,
        clock::now()
    )
    .fetch_one(&mut *connection)
    .await?;
    read(connection, id).await
}

async fn read(connection: &mut PgConnection, id: NoticeId) -> Result<Notice, Error> {
    notice_rows!("notices", "WHERE n.id = $1", id).fetch_one(connection).await?.try_into()
}
