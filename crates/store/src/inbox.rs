//! Webhooks as they came.
//!
//! A small one is one row and one part, in one transaction. The parts of a large one are committed as they arrive, so that
//! nobody holds a connection while a gateway sends slowly, and the last commit is a small one however long the body is.

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::{ChannelId, Connection},
    clock,
    provider::Provider,
};

use crate::{Error, Missing, Store};

/// A row of the inbox.
pub type InboxId = i64;

/// A webhook, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The channel whose address it came to.
    pub channel: ChannelId,
    /// What the gateway says that it is.
    pub content_type: String,
    /// Whether a signature or a secret shows where it comes from.
    pub verified: bool,
}

impl Store {
    /// The channel that a webhook's address belongs to, with its credentials opened.
    pub async fn connection_of_hook(&self, provider: Provider, hook_token: &str) -> Result<Connection, Error> {
        let id = sqlx::query_scalar!(
            "SELECT id FROM channels WHERE hook_token = $1 AND provider = $2",
            hook_token,
            provider.as_str()
        );
        let id = id.fetch_optional(&self.pool).await?.ok_or(Error::NotFound(Missing::Channel))?;
        self.connection(id).await
    }

    /// Keeps a webhook that is there as a whole.
    pub async fn keep_hook(&self, arrival: &Arrival, body: &[u8]) -> Result<InboxId, Error> {
        let id = sqlx::query_scalar!(
            r#"WITH kept AS (
                 INSERT INTO inbox (channel_id, state, content_type, verified, bytes, received_at)
                 VALUES ($1, 'unread', $2, $3, $4, $5) RETURNING id)
               INSERT INTO inbox_parts (inbox_id, part, body) SELECT id, 0, $6 FROM kept RETURNING inbox_id"#,
            arrival.channel,
            arrival.content_type,
            arrival.verified,
            length(body),
            clock::now(),
            body
        );
        Ok(id.fetch_one(&self.pool).await?)
    }

    /// Begins to keep one whose bytes are still coming. Until [`Store::end_hook`] nobody reads it.
    pub async fn begin_hook(&self, channel: ChannelId, content_type: &str) -> Result<InboxId, Error> {
        let id = sqlx::query_scalar!(
            "INSERT INTO inbox (channel_id, state, content_type, verified, received_at)
             VALUES ($1, 'arriving', $2, false, $3) RETURNING id",
            channel,
            content_type,
            clock::now()
        );
        Ok(id.fetch_one(&self.pool).await?)
    }

    /// Keeps its next bytes.
    pub async fn add_to_hook(&self, id: InboxId, part: i32, bytes: &[u8]) -> Result<(), Error> {
        sqlx::query!("INSERT INTO inbox_parts (inbox_id, part, body) VALUES ($1, $2, $3)", id, part, bytes)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// It is there as a whole.
    pub async fn end_hook(&self, id: InboxId, bytes: i64, verified: bool) -> Result<(), Error> {
        let ended = sqlx::query!(
            "UPDATE inbox SET state = 'unread', bytes = $2, verified = $3 WHERE id = $1 AND state = 'arriving'",
            id,
            bytes,
            verified
        );
        if ended.execute(&self.pool).await?.rows_affected() == 0 {
            // Its channel was deleted, or it took so long that it counted as broken off.
            return Err(Error::NotFound(Missing::Channel));
        }
        Ok(())
    }

    /// Forgets webhooks that began to arrive before then and never ended: whoever kept them died.
    pub async fn forget_broken_hooks(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let gone = sqlx::query!("DELETE FROM inbox WHERE state = 'arriving' AND received_at < $1", before);
        Ok(gone.execute(&self.pool).await?.rows_affected())
    }

    /// It is not what it should be, or broke off: nothing of it stays.
    pub async fn drop_hook(&self, id: InboxId) -> Result<(), Error> {
        sqlx::query!("DELETE FROM inbox WHERE id = $1 AND state = 'arriving'", id).execute(&self.pool).await?;
        Ok(())
    }
}

fn length(body: &[u8]) -> i64 {
    i64::try_from(body.len()).unwrap_or(i64::MAX)
}
