//! Media syncs: which files are fetched, the newest first, and one open sync of the kind for each channel.

use sincro_core::{
    channel::ChannelId,
    clock,
    job::JobId,
    media::MediaState,
    notice::{Notice, spans},
    sync::{SyncId, SyncKind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Conflict, Error, Store,
    access::{self, Idempotency},
    channels, notices, plan, syncs,
};

/// A media sync to be created.
#[derive(Debug)]
pub struct NewMediaSync {
    /// The channel.
    pub channel: ChannelId,
    /// At most so many files.
    pub limit: u32,
    /// Files that were larger than a lower limit than this are asked for again.
    pub most_bytes: u64,
    /// Somebody asked for it: then files that failed before, or were asked for by a sync that was cancelled, are fetched as well.
    pub by_request: bool,
    /// Attempts per job.
    pub max_attempts: u32,
    /// The request, when it carried an `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
}

/// A media sync that exists now, or existed already.
#[derive(Debug)]
pub struct CreatedMediaSync {
    /// Its id.
    pub id: SyncId,
    /// The [`sincro_core::sync::SyncStatus`] that answered the first request, as JSON.
    pub answer: serde_json::Value,
    /// What the queue must hear.
    pub notices: Vec<Notice>,
    /// An earlier answer was repeated.
    pub replayed: bool,
}

impl Store {
    /// Creates a media sync with a job for each file. One without files is over at once.
    pub async fn create_media_sync(&self, new: NewMediaSync) -> Result<CreatedMediaSync, Error> {
        let mut tx = self.pool.begin().await?;
        if let Some(request) = &new.idempotency
            && let Some(answer) = access::recall(&mut tx, request).await?
        {
            let id = answer["id"].as_str().and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| Error::unreadable("a remembered answer without an id"))?;
            return Ok(CreatedMediaSync { id, answer, notices: Vec::new(), replayed: true });
        }
        channels::lock(&mut tx, new.channel).await?;
        if let Some(open) = syncs::open_sync(&mut tx, new.channel, SyncKind::Media).await? {
            return Err(Conflict::SyncRunning(open).into());
        }
        let id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO syncs (id, channel_id, kind, state, planned, messages_wanted, created_at, started_at)
             VALUES ($1, $2, 'media', 'running', true, 1, $3, $3)",
            id,
            new.channel,
            clock::now()
        )
        .execute(&mut *tx)
        .await?;
        let jobs = insert_jobs(&mut tx, id, &new).await?;
        let mut notices = vec![notices::write_lane(&mut tx, id, true, &spans(&jobs)).await?];
        notices.extend(syncs::close_finished(&mut tx, &[id]).await?);
        let answer = serde_json::to_value(syncs::find(&mut tx, id).await?).map_err(Error::unreadable)?;
        if let Some(request) = &new.idempotency {
            access::remember(&mut tx, request, id, &answer).await?;
        }
        tx.commit().await?;
        Ok(CreatedMediaSync { id, answer, notices, replayed: false })
    }

    /// Channels that are to have their files fetched by themselves, and have some that nobody has asked for yet; none that is
    /// busy with a channel sync or another media sync, or stands still.
    pub async fn channels_to_fetch_for(&self, limit: i64) -> Result<Vec<ChannelId>, Error> {
        let channels = sqlx::query_scalar!(
            "SELECT c.id FROM channels c
             WHERE 'fetch_media' = ANY(c.features) AND c.state = 'active'
               AND EXISTS (SELECT 1 FROM media m WHERE m.channel_id = c.id AND m.state = 'known' AND m.asked_at IS NULL)
               AND NOT EXISTS (SELECT 1 FROM syncs s WHERE s.channel_id = c.id AND s.kind IN ('channel', 'media') AND s.finished_at IS NULL)
             ORDER BY c.id LIMIT $1",
            limit
        );
        Ok(channels.fetch_all(&self.pool).await?)
    }
}

/// A job for each of the newest files. Ids grow with the age of the message: in their order the queue hands them out.
async fn insert_jobs(connection: &mut PgConnection, sync: SyncId, new: &NewMediaSync) -> Result<Vec<JobId>, Error> {
    let states: Vec<&str> = [MediaState::Known, MediaState::Failed, MediaState::TooLarge]
        .into_iter()
        .filter(|state| new.by_request || *state == MediaState::Known)
        .map(MediaState::as_str)
        .collect();
    let picked = sqlx::query_scalar!(
        "SELECT message_id FROM media
         WHERE channel_id = $1 AND state IN ('known', 'too_large', 'failed') AND state = ANY($2) AND ($3 OR asked_at IS NULL)
           AND (state <> 'too_large' OR limit_bytes < $4 AND coalesce(bytes, 0) <= $4)
         ORDER BY sent_at DESC, message_id LIMIT $5",
        new.channel,
        &states as _,
        new.by_request,
        i64::try_from(new.most_bytes).unwrap_or(i64::MAX),
        i64::from(new.limit)
    )
    .fetch_all(&mut *connection)
    .await?;
    // In the order in which messages are stored, so that nobody waits in a circle.
    sqlx::query!(
        "WITH locked AS (SELECT channel_id, message_id FROM media WHERE channel_id = $1 AND message_id = ANY($2) ORDER BY message_id FOR NO KEY UPDATE)
         UPDATE media m SET asked_at = $3 FROM locked l WHERE m.channel_id = l.channel_id AND m.message_id = l.message_id",
        new.channel,
        &picked,
        clock::now()
    )
    .execute(&mut *connection)
    .await?;
    let mut jobs = sqlx::query_scalar!(
        "INSERT INTO jobs (sync_id, channel_id, contact_id, kind, address, state, step, attempt_limit, created_at)
         SELECT $1, m.channel_id, m.contact_id, 'media', m.address, 'queued',
                jsonb_build_object('do', 'media', 'message_id', m.message_id), $4, $5
         FROM unnest($3::text[]) WITH ORDINALITY AS u(message, place) JOIN messages m ON m.channel_id = $2 AND m.message_id = u.message
         ORDER BY u.place RETURNING id",
        sync,
        new.channel,
        &picked,
        new.max_attempts.cast_signed(),
        clock::now()
    )
    .fetch_all(&mut *connection)
    .await?;
    jobs.sort_unstable();
    plan::count(connection, sync, jobs.len(), 0).await?;
    Ok(jobs)
}
