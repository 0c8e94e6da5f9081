//! What the queue needs when it was emptied: a new epoch, and the open jobs of every lane.
//!
//! One process restores a shard at a time, under an advisory lock that its connection holds. The epoch is
//! committed before anything is read; a result of the earlier life that is being recorded just then ends a job that is
//! queued once more, and whoever claims it finds it over.

use sincro_core::{
    channel::ChannelId,
    clock,
    notice::{ChannelRule, Entry, LaneNotice, Notice, add_fresh},
    sync::SyncId,
};
use sqlx::{Connection as _, PgConnection};

use crate::{Error, Store, channels, limits, notices::lane_state};

/// The first half of the advisory lock's name: "sincro restores".
const RESTORE_LOCK: i32 = 0x51C0;

/// The right to restore one shard; dropped, it lets the next one try.
#[derive(Debug)]
pub struct Restoration {
    pub(crate) connection: PgConnection,
    namespace: String,
    shard: i32,
}

impl Store {
    /// Takes the right to restore a shard, unless somebody else is at it.
    pub async fn lock_restoration(&self, namespace: &str, shard: u16) -> Result<Option<Restoration>, Error> {
        let mut connection = self.pool.acquire().await?;
        let free = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock($1, hashtext($2)) AS "free!""#,
            RESTORE_LOCK,
            format!("{namespace}/{shard}")
        )
        .fetch_one(&mut *connection)
        .await?;
        // The lock belongs to this connection, which must not serve anybody else from now on.
        Ok(free.then(|| Restoration {
            connection: connection.detach(),
            namespace: namespace.to_owned(),
            shard: i32::from(shard),
        }))
    }
}

impl Restoration {
    /// Begins a new life of the shard: results that were claimed before no longer count.
    pub async fn begin_epoch(&mut self) -> Result<i64, Error> {
        let epoch = sqlx::query_scalar!(
            "INSERT INTO queue_epochs (namespace, shard, epoch, started_at) VALUES ($1, $2, nextval('queue_epoch_numbers'), $3)
             ON CONFLICT (namespace, shard) DO UPDATE SET epoch = excluded.epoch, started_at = excluded.started_at
             RETURNING epoch",
            self.namespace,
            self.shard,
            clock::now()
        );
        Ok(epoch.fetch_one(&mut self.connection).await?)
    }

    /// The open syncs, each with its provider server: the queue knows which servers are a shard's.
    pub async fn open_lanes(&mut self) -> Result<Vec<(SyncId, String)>, Error> {
        let rows = sqlx::query!(
            "SELECT s.id, c.server FROM syncs s JOIN channels c ON c.id = s.channel_id
             WHERE s.finished_at IS NULL ORDER BY s.created_at, s.id"
        );
        Ok(rows.fetch_all(&mut self.connection).await?.into_iter().map(|row| (row.id, row.server)).collect())
    }

    /// One lane with all its open jobs, as of one moment; none when it closed meanwhile.
    pub async fn lane(&mut self, sync: SyncId) -> Result<Option<Notice>, Error> {
        let mut tx = self.connection.begin().await?;
        sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *tx).await?;
        let row = sqlx::query!(
            "SELECT channel_id, kind, state, lane_seq FROM syncs WHERE id = $1 AND finished_at IS NULL",
            sync
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let channel = rule(&mut tx, row.channel_id).await?;
        let jobs = open_entries(&mut tx, sync).await?;
        tx.commit().await?;
        let lane = LaneNotice {
            sync,
            seq: row.lane_seq,
            opens: true,
            urgent: row.kind == "contact",
            state: lane_state(row.state.parse().map_err(Error::unreadable)?),
            jobs,
        };
        Ok(Some(Notice { id: 0, channel, lane: Some(lane) }))
    }

    /// Ends the restoration and frees the shard's lock.
    pub async fn end(mut self) -> Result<(), Error> {
        // Said aloud, because the server hears of a closed connection a little later.
        sqlx::query!(
            r#"SELECT pg_advisory_unlock($1, hashtext($2)) AS "was_held!""#,
            RESTORE_LOCK,
            format!("{}/{}", self.namespace, self.shard)
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(self.connection.close().await?)
    }
}

/// The rule of a channel as of the transaction's moment.
async fn rule(connection: &mut PgConnection, id: ChannelId) -> Result<ChannelRule, Error> {
    let channel = channels::find(connection, id).await?;
    let server = channel.server();
    let row = sqlx::query!(
        r#"SELECT (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM limit_rules r WHERE r.matches IN ($1, $2 || '/*', $3)) AS "rules!",
                  (SELECT coalesce(max(l.id), 0) FROM limit_changes l WHERE l.source = 'rule') AS "version!""#,
        server,
        channel.provider.as_str(),
        id.to_string()
    )
    .fetch_one(connection)
    .await?;
    let resolved = limits::resolved(row.rules, &server, id)?;
    Ok(ChannelRule::of(&channel, resolved, row.version))
}

/// The open jobs of a sync: never attempted ones in spans, the others with their attempts and times.
async fn open_entries(connection: &mut PgConnection, sync: SyncId) -> Result<Vec<Entry>, Error> {
    let rows = sqlx::query!(
        "SELECT id, attempts, next_at FROM jobs WHERE sync_id = $1 AND state IN ('queued', 'delayed') ORDER BY id",
        sync
    );
    let mut entries: Vec<Entry> = Vec::new();
    for row in rows.fetch_all(connection).await? {
        match (row.attempts, row.next_at) {
            (0, None) => add_fresh(&mut entries, row.id),
            (attempts, due) => {
                let due_ms = due.map_or(0, |due| due.timestamp_millis());
                entries.push(Entry::Tried { job: row.id, attempts, due_ms });
            }
        }
    }
    Ok(entries)
}
