//! Channels that stand still, and how they go on.
//!
//! Who paused a channel decides who lets it go on: what a person or a gateway's final word has stopped, only a person
//! starts; a lost session ends by itself. So the weaker reason never takes the place of the stronger.

use sincro_core::{
    channel::{Channel, ChannelId, ChannelState, Pause, PausedBy},
    job::JobId,
    notice::Notice,
};
use sqlx::PgConnection;

use crate::{
    Error, Missing, Store,
    channels::{find, lock},
    notices,
};

impl Store {
    /// Stops a channel because a person says so, or gives another reason.
    pub async fn pause_channel(&self, id: ChannelId, reason: &str) -> Result<(Channel, Notice), Error> {
        self.steer_channel(id, Some(&Pause::new(PausedBy::Operator, reason))).await
    }

    /// Stops a channel for what was seen of its version `seen`. None when that changes nothing: the channel was changed
    /// since, which was somebody's answer to just that, or it stands still already for a reason as strong.
    /// `job`: whose call has shown it.
    pub async fn pause_channel_at(
        &self,
        id: ChannelId,
        seen: i64,
        pause: &Pause,
        job: Option<JobId>,
    ) -> Result<Option<Notice>, Error> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, id).await?;
        let channel = find(&mut tx, id).await?;
        let stands_still = channel.paused.is_some_and(|already| strength(already.by) >= strength(pause.by));
        if channel.version != seen || stands_still {
            return Ok(None);
        }
        let notice = set_pause(&mut tx, id, Some(pause)).await?;
        if pause.by == PausedBy::Session {
            sqlx::query!("UPDATE channels SET session_lost_for = $2 WHERE id = $1", id, job).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Some(notice))
    }

    /// Whether a channel goes on that stood still because this very job had found its session lost.
    pub async fn has_lost_session(&self, id: ChannelId, job: JobId) -> Result<bool, Error> {
        let found = sqlx::query_scalar!(
            r#"SELECT session_lost_for IS NOT DISTINCT FROM $2 AND state = 'active' AS "again!" FROM channels WHERE id = $1"#,
            id,
            job
        );
        Ok(found.fetch_optional(&self.pool).await?.unwrap_or(false))
    }

    /// Lets a channel go on.
    pub async fn resume_channel(&self, id: ChannelId) -> Result<(Channel, Notice), Error> {
        self.steer_channel(id, None).await
    }

    /// Lets a channel go on whose session is back. None when that is not what it waits for, or there is no such channel.
    pub async fn session_back(&self, id: ChannelId) -> Result<Option<Notice>, Error> {
        let mut tx = self.pool.begin().await?;
        match lock(&mut tx, id).await {
            Err(Error::NotFound(Missing::Channel)) => return Ok(None),
            locked => locked?,
        }
        if find(&mut tx, id).await?.paused.is_none_or(|pause| pause.by != PausedBy::Session) {
            return Ok(None);
        }
        let notice = set_pause(&mut tx, id, None).await?;
        tx.commit().await?;
        Ok(Some(notice))
    }

    async fn steer_channel(&self, id: ChannelId, pause: Option<&Pause>) -> Result<(Channel, Notice), Error> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, id).await?;
        let notice = set_pause(&mut tx, id, pause).await?;
        let channel = find(&mut tx, id).await?;
        tx.commit().await?;
        Ok((channel, notice))
    }
}

const fn strength(by: PausedBy) -> u8 {
    match by {
        PausedBy::Session => 0,
        PausedBy::Gateway => 1,
        PausedBy::Operator => 2,
    }
}

async fn set_pause(connection: &mut PgConnection, id: ChannelId, pause: Option<&Pause>) -> Result<Notice, Error> {
    let state = if pause.is_some() { ChannelState::Paused } else { ChannelState::Active };
    sqlx::query!(
        "UPDATE channels SET state = $2, reason = $3, paused_by = $4, version = version + 1 WHERE id = $1",
        id,
        state.as_str(),
        pause.map(|pause| pause.reason.as_str()),
        pause.map(|pause| pause.by.as_str())
    )
    .execute(&mut *connection)
    .await?;
    notices::write_channel(connection, id).await
}
