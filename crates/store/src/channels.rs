//! Channels and their sealed credentials.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};
use sincro_core::{
    channel::{Channel, ChannelId, Connection, Feature, Pause, server_key},
    clock,
    limit::Limit,
    notice::Notice,
    provider::Provider,
};
use sqlx::PgConnection;
use url::Url;
use uuid::Uuid;

use crate::{Conflict, Error, Missing, Store, cooldowns, limits, notices, secret};

/// What a gateway wants to see.
#[derive(Debug)]
pub struct NewCredentials {
    /// A JSON object in the provider's words.
    pub text: SecretString,
    /// What in it says which account at the gateway is meant; none where it does not say.
    pub account: Option<SecretString>,
}

/// A channel to be created.
#[derive(Debug)]
pub struct NewChannel {
    /// The operator's name for it.
    pub name: String,
    /// The kind of gateway.
    pub provider: Provider,
    /// The gateway's root.
    pub base_url: Url,
    /// Its credentials.
    pub credentials: NewCredentials,
    /// What it is entitled to.
    pub features: BTreeSet<Feature>,
    /// How fast its gateway may be called.
    pub limit: Limit,
}

/// What to change; none leaves a thing as it is.
#[derive(Debug, Default)]
pub struct ChannelChange {
    /// A new name.
    pub name: Option<String>,
    /// Another gateway address.
    pub base_url: Option<Url>,
    /// Other credentials.
    pub credentials: Option<NewCredentials>,
    /// Other entitlements.
    pub features: Option<BTreeSet<Feature>>,
    /// Another limit, or parts of one.
    pub limit: LimitChange,
}

/// The parts of a limit to change; none leaves a part as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitChange {
    /// Another rate.
    pub rate_per_second: Option<f64>,
    /// Another burst.
    pub burst: Option<u32>,
    /// Another concurrency.
    pub concurrency: Option<u32>,
}

struct ChannelRow {
    id: Uuid,
    name: String,
    provider: String,
    base_url: String,
    features: Vec<String>,
    rate_per_second: f64,
    burst: i32,
    concurrency: i32,
    paused_by: Option<String>,
    reason: Option<String>,
    hook_token: String,
    version: i64,
    created_at: chrono::DateTime<chrono::Utc>,
    /// Sealed.
    credentials: Vec<u8>,
}

/// One place for the columns: `channel_rows!("WHERE id = $1", id)`.
macro_rules! channel_rows {
    ($tail:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            ChannelRow,
            "SELECT id, name, provider, base_url, features, rate_per_second, burst, concurrency, paused_by, reason,
                    hook_token, version, created_at, credentials FROM channels " + $tail
            $(, $arg)*
        )
    };
}

impl TryFrom<ChannelRow> for Channel {
    type Error = Error;

    fn try_from(row: ChannelRow) -> Result<Self, Error> {
        Ok(Self {
            id: row.id,
            name: row.name,
            provider: row.provider.parse().map_err(Error::unreadable)?,
            base_url: row.base_url.parse().map_err(Error::unreadable)?,
            features: row
                .features
                .iter()
                .map(|word| word.parse())
                .collect::<Result<_, _>>()
                .map_err(Error::unreadable)?,
            limit: Limit {
                rate_per_second: row.rate_per_second,
                burst: row.burst.unsigned_abs(),
                concurrency: row.concurrency.unsigned_abs(),
            },
            paused: pause(row.paused_by.as_deref(), row.reason)?,
            hook_token: row.hook_token,
            version: row.version,
            created_at: row.created_at,
        })
    }
}

impl Store {
    /// Creates a channel. The queue hears of it with its first sync.
    pub async fn create_channel(&self, new: NewChannel) -> Result<Channel, Error> {
        let id = Uuid::now_v7();
        let (sealed, account) = self.kept(id, new.provider, &new.credentials)?;
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "INSERT INTO channels (id, name, provider, base_url, server, credentials, account, features, rate_per_second, burst,
                                   concurrency, hook_token, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            id,
            new.name,
            new.provider.as_str(),
            new.base_url.as_str(),
            server_key(new.provider, &new.base_url),
            sealed,
            account,
            &feature_words(&new.features),
            new.limit.rate_per_second,
            new.limit.burst.cast_signed(),
            new.limit.concurrency.cast_signed(),
            secret::random_token()?,
            clock::now()
        )
        .execute(&mut *tx)
        .await?;
        let channel = find(&mut tx, id).await?;
        tx.commit().await?;
        Ok(channel)
    }

    /// One channel.
    pub async fn channel(&self, id: ChannelId) -> Result<Channel, Error> {
        let row = channel_rows!("WHERE id = $1", id).fetch_optional(&self.pool).await?;
        row.ok_or(Error::NotFound(Missing::Channel))?.try_into()
    }

    /// Channels by id, oldest first, after the one named.
    pub async fn channels(&self, after: Option<ChannelId>, limit: i64) -> Result<Vec<Channel>, Error> {
        let after = after.unwrap_or(Uuid::nil());
        let rows = channel_rows!("WHERE id > $1 ORDER BY id LIMIT $2", after, limit).fetch_all(&self.pool).await?;
        rows.into_iter().map(Channel::try_from).collect()
    }

    /// A channel with its credentials opened, both of the same version.
    pub async fn connection(&self, id: ChannelId) -> Result<Connection, Error> {
        let row = channel_rows!("WHERE id = $1", id).fetch_optional(&self.pool).await?;
        self.opened(row)
    }

    /// The channel that a webhook's address belongs to, with its credentials opened.
    pub async fn connection_of_hook(&self, provider: Provider, hook_token: &str) -> Result<Connection, Error> {
        let row = channel_rows!("WHERE hook_token = $1 AND provider = $2", hook_token, provider.as_str());
        self.opened(row.fetch_optional(&self.pool).await?)
    }

    /// One statement has seen both, so they are of one version.
    fn opened(&self, row: Option<ChannelRow>) -> Result<Connection, Error> {
        let row = row.ok_or(Error::NotFound(Missing::Channel))?;
        let credentials = self.secret_key()?.open(row.id, &row.credentials)?;
        Ok(Connection { channel: row.try_into()?, credentials })
    }

    /// What is kept of credentials: sealed, and the account as a hash.
    fn kept(
        &self,
        id: ChannelId,
        provider: Provider,
        new: &NewCredentials,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
        let key = self.secret_key()?;
        let account = new.account.as_ref().map(|account| key.hash(provider.as_str(), account));
        Ok((key.seal(id, new.text.expose_secret())?, account))
    }

    /// Changes a channel; the queue must hear the notice. Moving it to another server is refused while a sync is open.
    /// `by` is kept as who changed its limit, if that changes.
    pub async fn change_channel(
        &self,
        id: ChannelId,
        change: ChannelChange,
        by: &str,
    ) -> Result<(Channel, Notice), Error> {
        let features = change.features.as_ref().map(feature_words);
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, id).await?;
        let before = find(&mut tx, id).await?;
        let kept = change.credentials.as_ref().map(|new| self.kept(id, before.provider, new)).transpose()?;
        let (sealed, account) = kept.unzip();
        let server = change.base_url.as_ref().map(|url| server_key(before.provider, url));
        if server.as_ref().is_some_and(|server| *server != before.server()) {
            // The jobs of an open sync wait in the shard of the server they were planned for.
            refuse_while_open(&mut tx, id).await?;
            cooldowns::forget(&mut tx, id).await?;
        }
        sqlx::query!(
            "UPDATE channels SET name = coalesce($2, name), base_url = coalesce($3, base_url), server = coalesce($4, server),
                    credentials = coalesce($5, credentials), account = CASE WHEN $5::bytea IS NULL THEN account ELSE $10 END, features = coalesce($6, features),
                    rate_per_second = coalesce($7, rate_per_second), burst = coalesce($8, burst),
                    concurrency = coalesce($9, concurrency), version = version + 1
             WHERE id = $1",
            id,
            change.name,
            change.base_url.as_ref().map(Url::as_str),
            server,
            sealed,
            features.as_deref(),
            change.limit.rate_per_second,
            change.limit.burst.map(u32::cast_signed),
            change.limit.concurrency.map(u32::cast_signed),
            account.flatten(),
        )
        .execute(&mut *tx)
        .await?;
        let notice = notices::write_channel(&mut tx, id).await?;
        let channel = find(&mut tx, id).await?;
        limits::record_own(&mut tx, id, by, before.limit, channel.limit).await?;
        tx.commit().await?;
        Ok((channel, notice))
    }

    /// Removes a channel with all it brought, and the rule about its limit: `by` is kept as who took that away. Refused
    /// while a sync of it is open.
    pub async fn delete_channel(&self, id: ChannelId, by: &str) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        limits::lock_rules(&mut tx).await?;
        lock(&mut tx, id).await?;
        refuse_while_open(&mut tx, id).await?;
        limits::withdraw(&mut tx, id, by).await?;
        sqlx::query!("DELETE FROM messages WHERE channel_id = $1", id).execute(&mut *tx).await?;
        sqlx::query!("DELETE FROM jobs WHERE sync_id IN (SELECT id FROM syncs WHERE channel_id = $1)", id)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("DELETE FROM channels WHERE id = $1", id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn refuse_while_open(connection: &mut PgConnection, id: ChannelId) -> Result<(), Error> {
    let open = sqlx::query_scalar!("SELECT id FROM syncs WHERE channel_id = $1 AND finished_at IS NULL LIMIT 1", id);
    match open.fetch_optional(connection).await? {
        Some(sync) => Err(Conflict::SyncOpen(sync).into()),
        None => Ok(()),
    }
}

/// Takes the channel's lock: changes to it and to its contacts happen one after the other.
pub(crate) async fn lock(connection: &mut PgConnection, id: ChannelId) -> Result<(), Error> {
    sqlx::query_scalar!("SELECT id FROM channels WHERE id = $1 FOR NO KEY UPDATE", id)
        .fetch_optional(connection)
        .await?
        .map(|_| ())
        .ok_or(Error::NotFound(Missing::Channel))
}

pub(crate) async fn find(connection: &mut PgConnection, id: ChannelId) -> Result<Channel, Error> {
    let row = channel_rows!("WHERE id = $1", id).fetch_optional(connection).await?;
    row.ok_or(Error::NotFound(Missing::Channel))?.try_into()
}

/// What the columns say of a pause.
pub(crate) fn pause(by: Option<&str>, reason: Option<String>) -> Result<Option<Pause>, Error> {
    by.map(|by| Ok(Pause::new(by.parse().map_err(Error::unreadable)?, reason.unwrap_or_default()))).transpose()
}

fn feature_words(features: &BTreeSet<Feature>) -> Vec<String> {
    features.iter().map(ToString::to_string).collect()
}
