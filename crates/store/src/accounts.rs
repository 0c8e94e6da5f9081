//! Jobs for a whole number: what they leave on the receipt, and what follows on them.

use sincro_core::{
    clock,
    contact::ContactId,
    job::{JobId, Step},
    notice::{Notice, spans},
    provider::Capabilities,
    sync::SyncId,
};
use sqlx::PgConnection;

use crate::{Error, awaiting::Waiting, notices, plan};

/// Persons that are written about at once.
const PIECE: i64 = 2_000;

/// Writes the job that asks for everything.
pub(crate) async fn insert_job(
    connection: &mut PgConnection,
    sync: SyncId,
    channel: uuid::Uuid,
    step: &Step,
    max_attempts: u32,
) -> Result<JobId, Error> {
    let id = sqlx::query_scalar!(
        "INSERT INTO jobs (sync_id, channel_id, kind, state, step, attempt_limit, created_at)
         VALUES ($1, $2, 'account', 'queued', $3, $4, $5) RETURNING id",
        sync,
        channel,
        serde_json::to_value(step).map_err(Error::unreadable)?,
        max_attempts.cast_signed(),
        clock::now()
    );
    let id = id.fetch_one(&mut *connection).await?;
    plan::count(connection, sync, 1, 0).await?;
    Ok(id)
}

/// A line for each contact that a delivery brought nothing of.
pub(crate) async fn note_silence(connection: &mut PgConnection, job: &Waiting) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO credits (job_id, contact_id) SELECT $1, c.id FROM contacts c
         WHERE c.channel_id = $2 AND c.merged_into IS NULL
           AND NOT EXISTS (SELECT 1 FROM credits r JOIN contacts k ON k.id = r.contact_id
                           WHERE r.job_id = $1 AND coalesce(k.merged_into, k.id) = c.id)
         ORDER BY c.id ON CONFLICT DO NOTHING",
        job.id,
        job.channel
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Where phones can be asked for more: a job for each contact that has fewer messages than were wanted and one to begin from.
pub(crate) async fn top_up(
    connection: &mut PgConnection,
    job: &Waiting,
    capabilities: Capabilities,
    max_attempts: u32,
) -> Result<Vec<Notice>, Error> {
    if !capabilities.top_up {
        return Ok(Vec::new());
    }
    let (mut after, mut written) = (0, Vec::new());
    loop {
        let persons = short_of_messages(connection, job, after).await?;
        let Some(last) = persons.last().copied() else { return Ok(written) };
        after = last;
        let persons = crate::contacts::persons(connection, &persons).await?;
        let jobs =
            plan::insert_jobs(connection, job.sync, job.channel, &persons, true, capabilities, max_attempts).await?;
        written.push(notices::write_lane(connection, job.sync, false, &spans(&jobs)).await?);
    }
}

/// Those who have some messages and fewer than were wanted. Of whom some were left out as too old, there is nothing to be had that is
/// not older still.
async fn short_of_messages(
    connection: &mut PgConnection,
    job: &Waiting,
    after: ContactId,
) -> Result<Vec<ContactId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT c.id FROM contacts c
         CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT 1 FROM messages m WHERE m.contact_id = c.id LIMIT 100) few) have
         WHERE c.channel_id = $1 AND c.merged_into IS NULL AND c.id > $3
           AND NOT EXISTS (SELECT 1 FROM credits r WHERE r.job_id = $5 AND r.contact_id = c.id AND r.left_out > 0)
           AND have.n BETWEEN 1 AND (SELECT messages_wanted - 1 FROM syncs WHERE id = $2)
         ORDER BY c.id LIMIT $4",
        job.channel,
        job.sync,
        after,
        PIECE,
        job.id
    );
    Ok(ids.fetch_all(connection).await?)
}
