//! A contact list, written down piece by piece while it is read, so that nobody has to hold it whole.
//!
//! The way of a list: begin -> each piece: its persons are upserted and their ids kept -> end, which moves the plan job to
//! planning what is kept ([`crate::plan`]). Only then are jobs written, so that records of one person in different pieces are
//! one person by then, in whatever order they came. Pieces are kept under the attempt that read them: should two workers
//! read at once, the one that ends first decides, and their answers do not mix.

use sincro_core::{
    channel::ChannelId,
    contact::unify,
    gateway::ContactsPiece,
    job::{Job, Listed, Step},
    message::Pairing,
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Store, channels, contacts,
    settle::{Fence, Recorded, fence_one},
    syncs,
};

impl Store {
    /// Forgets what an earlier try under the same attempt has kept. `Err` inside says why the plan job's fence fails.
    pub async fn begin_listing(&self, job: &Job, fence: Fence) -> Result<Result<(), Recorded>, Error> {
        let mut tx = self.pool.begin().await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(Err(refused));
        }
        sqlx::query!("DELETE FROM listed_pages WHERE sync_id = $1 AND attempt = $2", job.sync, fence.attempt)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Keeps one piece; `place` counts them from 0.
    pub async fn keep_piece(
        &self,
        job: &Job,
        fence: Fence,
        place: i32,
        piece: &ContactsPiece,
    ) -> Result<Result<(), Recorded>, Error> {
        let ContactsPiece { contacts, pairings } = piece;
        // Within a piece the first name of a person counts, as it would in a list that is read whole.
        let listed = unify(contacts.clone(), &[]);
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(Err(refused));
        }
        let persons = contacts::upsert(&mut tx, job.channel, &listed).await?;
        let ids: Vec<_> = persons.iter().map(|person| person.id).collect();
        sqlx::query!(
            "INSERT INTO listed_pages (sync_id, attempt, place, contacts, pairings) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (sync_id, attempt, place) DO UPDATE SET contacts = excluded.contacts, pairings = excluded.pairings",
            job.sync,
            fence.attempt,
            place,
            &ids,
            (!pairings.is_empty()).then_some(Json(pairings)) as _
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// The page of the gateway is kept whole: whoever claims the plan job from now on plans it, and this is the step it is at.
    pub async fn end_listing(
        &self,
        job: &Job,
        fence: Fence,
        next: Option<String>,
    ) -> Result<Result<Step, Recorded>, Error> {
        let cursor = match &job.step {
            Step::Contacts { cursor, .. } => cursor.clone(),
            _ => None,
        };
        let step = Step::Contacts { cursor, listed: Some(Listed { next }) };
        let mut tx = self.pool.begin().await?;
        syncs::lock(&mut tx, job.sync).await?;
        if let Err(refused) = fence_one(&mut tx, fence).await? {
            return Ok(Err(refused));
        }
        sqlx::query!("DELETE FROM listed_pages WHERE sync_id = $1 AND attempt <> $2", job.sync, fence.attempt)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "UPDATE jobs SET state = 'queued', step = $2, steps_done = steps_done + 1, next_at = NULL, reason = NULL,
                    last_error = NULL
             WHERE id = $1",
            job.id,
            serde_json::to_value(&step).map_err(Error::unreadable)?
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE syncs SET error = NULL, revision = revision + 1 WHERE id = $1", job.sync)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Ok(step))
    }

    /// Forgets pieces that nobody will plan: their sync was planned by an older version, or is over for good.
    pub async fn forget_listings(&self) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM listed_pages l USING syncs s
             WHERE s.id = l.sync_id AND (s.state IN ('completed', 'completed_with_failures', 'cancelled') OR s.pruned_at IS NOT NULL
                                         OR s.state = 'running' AND s.planned)"
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}

/// A piece that is taken up to be planned.
pub(crate) struct Piece {
    attempt: i32,
    place: i32,
    /// In the order of the list.
    pub(crate) contacts: Vec<i64>,
    /// Joined before anything is planned.
    pub(crate) pairings: Option<Vec<Pairing>>,
}

/// The next piece: those with pairings first, so that all persons are joined before the first job is written.
pub(crate) async fn next(connection: &mut PgConnection, sync: SyncId) -> Result<Option<Piece>, Error> {
    let row = sqlx::query!(
        "SELECT attempt, place, contacts, pairings FROM listed_pages WHERE sync_id = $1
         ORDER BY pairings IS NULL, attempt, place LIMIT 1",
        sync
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let pairings = row.pairings.map(serde_json::from_value).transpose().map_err(Error::unreadable)?;
    Ok(Some(Piece { attempt: row.attempt, place: row.place, contacts: row.contacts, pairings }))
}

/// Joins who belongs together by the pairings of a piece.
pub(crate) async fn pair(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: ChannelId,
    piece: &Piece,
) -> Result<(), Error> {
    contacts::pair(connection, channel, piece.pairings.as_deref().unwrap_or_default()).await?;
    sqlx::query!(
        "UPDATE listed_pages SET pairings = NULL WHERE sync_id = $1 AND attempt = $2 AND place = $3",
        sync,
        piece.attempt,
        piece.place
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The piece's jobs are written. Whether there is another one.
pub(crate) async fn drop_piece(connection: &mut PgConnection, sync: SyncId, piece: &Piece) -> Result<bool, Error> {
    sqlx::query!(
        "DELETE FROM listed_pages WHERE sync_id = $1 AND attempt = $2 AND place = $3",
        sync,
        piece.attempt,
        piece.place
    )
    .execute(&mut *connection)
    .await?;
    let more = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM listed_pages WHERE sync_id = $1) AS "more!""#, sync);
    Ok(more.fetch_one(connection).await?)
}
