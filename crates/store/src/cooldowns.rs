//! Rests that gateways asked for, kept so that a queue that was emptied goes on resting. Their ends are reckoned by the clock of
//! the database alone: the clocks of workers may be wrong.

use std::time::Duration;

use sincro_core::{channel::ChannelId, limit::KeptCooldown};
use sqlx::PgConnection;

use crate::{Error, Store, restore::RestoreLock};

impl Store {
    /// Writes down that a server or a channel rests. An end that is later already stays; a channel that is gone rests no more.
    pub async fn note_cooldown(&self, kept: &KeptCooldown) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO cooldowns (key, server, channel_id, until, reason, noted_at)
             SELECT coalesce($2::uuid::text, $1), $1, $2, now() + make_interval(secs => $3), $4, now()
             WHERE $2 IS NULL OR EXISTS (SELECT 1 FROM channels WHERE id = $2 FOR KEY SHARE)
             ON CONFLICT (key) DO UPDATE SET server = excluded.server, until = excluded.until, reason = excluded.reason,
                                             noted_at = excluded.noted_at
             WHERE cooldowns.until < excluded.until",
            kept.server,
            kept.channel as _,
            kept.left.as_secs_f64(),
            kept.reason
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl RestoreLock {
    /// The rests that are not over, of all servers: the queue knows which are a shard's.
    pub async fn cooldowns(&mut self) -> Result<Vec<KeptCooldown>, Error> {
        let rows = sqlx::query!(
            r#"SELECT server, channel_id, extract(epoch FROM until - now())::double precision AS "left!", reason
               FROM cooldowns WHERE until > now() ORDER BY key"#
        );
        let kept = rows.fetch_all(&mut self.connection).await?.into_iter().map(|row| {
            let left = Duration::try_from_secs_f64(row.left).map_err(Error::unreadable)?;
            Ok(KeptCooldown { server: row.server, channel: row.channel_id, left, reason: row.reason })
        });
        kept.collect()
    }
}

/// A channel that moves to another server leaves its rest behind.
pub(crate) async fn forget(connection: &mut PgConnection, channel: ChannelId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM cooldowns WHERE channel_id = $1", channel).execute(connection).await?;
    Ok(())
}
