//! What webhooks tell of the channel itself: when its number was paired, and when the gateway's first sync was over.

use chrono::{DateTime, Utc};
use sincro_core::channel::ChannelId;
use sqlx::PgConnection;

use crate::{Error, requests};

/// What is known of a channel from now on. Of pairings and first syncs the newest counts, by the gateway's clock: they may be told in any
/// order, and twice. A first sync from before a pairing was another pairing's.
pub(super) async fn note_facts(
    connection: &mut PgConnection,
    channel: ChannelId,
    now: DateTime<Utc>,
    paired: Option<DateTime<Utc>>,
    initial: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let known = sqlx::query!("SELECT onboarded_at, initial_sync_at FROM channel_facts WHERE channel_id = $1", channel);
    let known = known.fetch_optional(&mut *connection).await?;
    let (onboarded, synced) = known.map_or((None, None), |row| (row.onboarded_at, row.initial_sync_at));
    let anew = paired.filter(|at| onboarded.is_none_or(|known| *at > known));
    if anew.is_some() {
        requests::put_aside(connection, channel, now).await?;
    }
    let onboarded = anew.or(onboarded);
    let synced = initial.max(synced).filter(|at| onboarded.is_none_or(|paired| *at >= paired));
    sqlx::query!(
        "INSERT INTO channel_facts (channel_id, heard_at, onboarded_at, initial_sync_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (channel_id) DO UPDATE SET heard_at = excluded.heard_at, onboarded_at = excluded.onboarded_at,
             initial_sync_at = excluded.initial_sync_at",
        channel,
        now,
        onboarded,
        synced
    )
    .execute(&mut *connection)
    .await?;
    if synced.is_some() {
        // Whoever waits for it has nothing to wait for any more.
        sqlx::query!(
            "UPDATE awaiting_jobs SET look_at = $2 WHERE channel_id = $1 AND awaits = 'initial sync'",
            channel,
            now
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}
