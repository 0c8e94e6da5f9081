//! Jobs for a whole number: what they leave on the receipt, and what follows on them.

use sincro_core::{
    channel::ChannelId,
    contact::ContactId,
    job::JobId,
    notice::{Notice, spans},
    provider::Capabilities,
};
use sqlx::PgConnection;

use crate::{
    Error, Store,
    awaiting::{self, Waiting},
    channels, contacts, notices, plan,
};

/// Persons that are written about at once.
const PIECE: i64 = 2_000;

/// A job for a whole number that is about to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concluding {
    pub(crate) job: JobId,
    pub(crate) channel: ChannelId,
    /// Whether there was a delivery at all.
    pub(crate) delivered: bool,
}

impl Store {
    /// What such a job leaves: a line for each contact that the delivery brought nothing of, and, where phones can be asked for more, a
    /// job for each of those with fewer messages than were wanted and one to begin from. Piece by piece; repeating it changes nothing.
    pub(crate) async fn conclude(
        &self,
        concluding: Concluding,
        capabilities: Capabilities,
        max_attempts: u32,
    ) -> Result<Vec<Notice>, Error> {
        let Concluding { job, channel, delivered } = concluding;
        let (mut after, mut written) = (0, Vec::new());
        loop {
            let mut tx = self.pool.begin().await?;
            channels::lock(&mut tx, channel).await?;
            // Cancelled meanwhile, or concluded by somebody else.
            let Some((waiting, _)) = awaiting::lock(&mut tx, job).await? else { return Ok(written) };
            let piece = next_contacts(&mut tx, channel, after).await?;
            let Some(last) = piece.last() else { return Ok(written) };
            after = *last;
            if delivered {
                note_silence(&mut tx, job, &piece).await?;
            }
            if capabilities.top_up {
                let short = short_of_messages(&mut tx, &waiting, &piece).await?;
                let persons = contacts::persons(&mut tx, &short).await?;
                let sync = waiting.sync;
                let jobs =
                    plan::insert_jobs(&mut tx, sync, channel, &persons, true, capabilities, max_attempts).await?;
                if !jobs.is_empty() {
                    written.push(notices::write_lane(&mut tx, sync, false, &spans(&jobs)).await?);
                }
            }
            tx.commit().await?;
        }
    }
}

async fn next_contacts(
    connection: &mut PgConnection,
    channel: ChannelId,
    after: ContactId,
) -> Result<Vec<ContactId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM contacts WHERE channel_id = $1 AND merged_into IS NULL AND id > $2 ORDER BY id LIMIT $3",
        channel,
        after,
        PIECE
    );
    Ok(ids.fetch_all(connection).await?)
}

async fn note_silence(connection: &mut PgConnection, job: JobId, piece: &[ContactId]) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO credits (job_id, contact_id) SELECT $1, u.id FROM unnest($2::bigint[]) AS u(id)
         WHERE NOT EXISTS (SELECT 1 FROM credits r WHERE r.job_id = $1 AND r.contact_id = u.id)
           AND NOT EXISTS (SELECT 1 FROM contacts k JOIN credits r ON r.job_id = $1 AND r.contact_id = k.id WHERE k.merged_into = u.id)
         ORDER BY u.id ON CONFLICT DO NOTHING",
        job,
        piece
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those who have some messages and fewer than were wanted. Of whom some were left out as too old, there is nothing to be had that is
/// not older still.
async fn short_of_messages(
    connection: &mut PgConnection,
    job: &Waiting,
    piece: &[ContactId],
) -> Result<Vec<ContactId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT u.id AS "id!" FROM unnest($1::bigint[]) AS u(id)
           CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT 1 FROM messages m WHERE m.contact_id = u.id LIMIT 100) few) have
           WHERE NOT EXISTS (SELECT 1 FROM credits r WHERE r.job_id = $2 AND r.contact_id = u.id AND r.left_out > 0)
             AND have.n BETWEEN 1 AND (SELECT messages_wanted - 1 FROM syncs WHERE id = $3)
           ORDER BY u.id"#,
        piece,
        job.id,
        job.sync
    );
    Ok(ids.fetch_all(connection).await?)
}
