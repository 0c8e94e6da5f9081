//! Looks at a channel's set-up: what they found, and what they need to remember between two calls.

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use sincro_core::{
    channel::ChannelId,
    check::{Finding, joined},
    clock,
    gateway::Kept,
    job::{Ending, Job, Outcome, Step},
    notice::Notice,
    sync::{SyncId, SyncStatus},
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Missing, Store, channels, notices,
    settle::{Fence, Recorded, Settlement, fence_one, settle_one},
    syncs,
};

/// What one look came to.
#[derive(Debug)]
pub struct Look {
    /// What was found; each takes the place of an earlier finding about the same thing.
    pub findings: Vec<Finding>,
    /// What is looked at next; none at the end.
    pub next: Option<Step>,
    /// Receivers that the next step has to send along.
    pub kept: Option<Kept>,
    /// A secret that the gateway has made, and the field of the credentials that it belongs into.
    pub secret: Option<(&'static str, SecretString)>,
}

/// The last look at a channel.
#[derive(Debug)]
pub struct Check {
    /// The look itself: where it is.
    pub sync: SyncStatus,
    /// What it has found so far.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Records what a look came to, and goes on to the next or ends the job.
    pub async fn settle_look(&self, job: &Job, fence: Fence, look: &Look) -> Result<(Recorded, Vec<Notice>), Error> {
        let sealed = match &look.kept {
            Some(kept) => Some(self.secret_key()?.seal(job.channel, &kept.0)?),
            None => None,
        };
        let mut tx = self.pool.begin().await?;
        channels::lock(&mut tx, job.channel).await?;
        syncs::lock(&mut tx, job.sync).await?;
        let before = match fence_one(&mut tx, fence).await? {
            Ok(state) => state,
            Err(refused) => return Ok((refused, Vec::new())),
        };
        let earlier = findings(&mut tx, job.sync).await?.unwrap_or_default();
        sqlx::query!(
            "INSERT INTO channel_checks (sync_id, channel_id, findings, receivers) VALUES ($1, $2, $3, $4)
             ON CONFLICT (sync_id) DO UPDATE SET findings = excluded.findings, receivers = excluded.receivers",
            job.sync,
            job.channel,
            Json(joined(earlier, &look.findings)) as _,
            sealed
        )
        .execute(&mut *tx)
        .await?;
        let mut notices = Vec::new();
        if let Some((field, secret)) = &look.secret {
            notices.push(self.keep_secret(&mut tx, job.channel, field, secret).await?);
        }
        let (recorded, outcome) = match &look.next {
            Some(next) => (Recorded::Next, Outcome::Next(next.clone())),
            None => (Recorded::Ended, Outcome::Ended(Ending::Succeeded)),
        };
        let settlement = Settlement::bare(job, fence, outcome);
        notices.extend(settle_one(&mut tx, &settlement, before, (0, 0)).await?);
        tx.commit().await?;
        Ok((recorded, notices))
    }

    /// Adds a secret to a channel's credentials.
    async fn keep_secret(
        &self,
        connection: &mut PgConnection,
        channel: ChannelId,
        field: &str,
        secret: &SecretString,
    ) -> Result<Notice, Error> {
        let sealed = sqlx::query_scalar!("SELECT credentials FROM channels WHERE id = $1", channel);
        let opened = self.secret_key()?.open(channel, &sealed.fetch_one(&mut *connection).await?)?;
        // Errors of serde quote what they read.
        let unreadable = |_| Error::unreadable("credentials that are no JSON object");
        let mut credentials: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(opened.expose_secret()).map_err(unreadable)?;
        credentials.insert(field.to_owned(), secret.expose_secret().into());
        let text = SecretString::from(serde_json::to_string(&credentials).map_err(unreadable)?);
        sqlx::query!(
            "UPDATE channels SET credentials = $2, version = version + 1 WHERE id = $1",
            channel,
            self.secret_key()?.seal(channel, text.expose_secret())?
        )
        .execute(&mut *connection)
        .await?;
        notices::write_channel(connection, channel).await
    }

    /// Receivers that a look has to send along with its registration.
    pub async fn kept_receivers(&self, job: &Job) -> Result<Option<Kept>, Error> {
        let row = sqlx::query_scalar!("SELECT receivers FROM channel_checks WHERE sync_id = $1", job.sync);
        let Some(sealed) = row.fetch_optional(&self.pool).await?.flatten() else { return Ok(None) };
        let opened = self.secret_key()?.open(job.channel, &sealed)?;
        Ok(Some(Kept(opened.expose_secret().to_owned())))
    }

    /// The last look at a channel; none while nobody looked.
    pub async fn last_check(&self, channel: ChannelId) -> Result<Option<Check>, Error> {
        self.channel(channel).await?;
        let id = sqlx::query_scalar!(
            "SELECT id FROM syncs WHERE channel_id = $1 AND kind = 'check' ORDER BY created_at DESC, id DESC LIMIT 1",
            channel
        );
        let Some(id) = id.fetch_optional(&self.pool).await? else { return Ok(None) };
        // The state first: findings of a look that is over are all there.
        let sync = match self.sync(id).await {
            Err(Error::NotFound(Missing::Sync)) => return Ok(None),
            sync => sync?,
        };
        let mut connection = self.pool.acquire().await?;
        let findings = findings(&mut connection, id).await?.unwrap_or_default();
        Ok(Some(Check { sync, findings }))
    }

    /// How far the database's clock is ahead of ours, as far as the way there lets it be told.
    pub async fn clock_ahead(&self) -> Result<TimeDelta, Error> {
        let before = clock::now();
        let there = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(&self.pool).await?;
        Ok(there - (before + (clock::now() - before) / 2))
    }
}

async fn findings(connection: &mut PgConnection, sync: SyncId) -> Result<Option<Vec<Finding>>, Error> {
    let row = sqlx::query_scalar!(
        r#"SELECT findings AS "findings: Json<Vec<Finding>>" FROM channel_checks WHERE sync_id = $1"#,
        sync
    );
    Ok(row.fetch_optional(connection).await?.map(|Json(findings)| findings))
}
