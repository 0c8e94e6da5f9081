//! Webhooks as they came.
//!
//! A small one is one row and one part, in one transaction. The parts of a large one are committed as they arrive, so that
//! nobody holds a connection while a gateway sends slowly, and the last commit is a small one however long the body is.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;
use sincro_core::{channel::ChannelId, clock};

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

/// A webhook that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenHook {
    /// Row id.
    pub id: InboxId,
    /// The channel whose address it came to.
    pub channel: ChannelId,
    /// What the gateway says that it is.
    pub content_type: String,
    /// Its pieces that are stored already.
    pub pieces_done: i32,
    /// How often somebody began to read it, this time included.
    pub attempts: i32,
}

impl Store {
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

    /// Takes the oldest unread webhook that nobody reads, for so long; none when there is none.
    pub async fn take_hook(&self, lease: TimeDelta) -> Result<Option<TakenHook>, Error> {
        let now = clock::now();
        let taken = sqlx::query_as!(
            TakenHook,
            "UPDATE inbox SET taken_until = $2, attempts = attempts + 1
             WHERE id = (SELECT id FROM inbox WHERE state = 'unread' AND (taken_until IS NULL OR taken_until < $1)
                         ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING id, channel_id AS channel, content_type, pieces_done, attempts",
            now,
            now + lease
        );
        Ok(taken.fetch_optional(&self.pool).await?)
    }

    /// Its bytes.
    pub async fn hook_body(&self, id: InboxId) -> Result<Vec<u8>, Error> {
        let mut parts =
            sqlx::query_scalar!("SELECT body FROM inbox_parts WHERE inbox_id = $1 ORDER BY part", id).fetch(&self.pool);
        let mut body = Vec::new();
        while let Some(part) = parts.try_next().await? {
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// It is read: what was in it, by name, and whether some of it was not understood.
    pub async fn hook_read(&self, id: InboxId, events: &BTreeMap<String, u64>, odd: bool) -> Result<(), Error> {
        self.close_hook(id, "read", Some(serde_json::json!(events)), odd, None).await
    }

    /// Nobody understands it. It is kept for people.
    pub async fn hook_unreadable(&self, id: InboxId, error: &str) -> Result<(), Error> {
        self.close_hook(id, "unreadable", None, true, Some(error)).await
    }

    /// It could not be stored now; somebody reads it again after a while. Whether the webhook itself may be at fault.
    pub async fn hook_failed(
        &self,
        id: InboxId,
        error: &str,
        again: DateTime<Utc>,
        at_fault: bool,
    ) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE inbox SET error = $2, taken_until = $3, attempts = attempts - CASE WHEN $4 THEN 0 ELSE 1 END
             WHERE id = $1 AND state = 'unread'",
            id,
            error,
            again,
            at_fault
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn close_hook(
        &self,
        id: InboxId,
        state: &str,
        events: Option<serde_json::Value>,
        odd: bool,
        error: Option<&str>,
    ) -> Result<(), Error> {
        sqlx::query!(
            "UPDATE inbox SET state = $2, events = $3, error = $4, read_at = $5, odd = $6, taken_until = NULL
             WHERE id = $1 AND state = 'unread'",
            id,
            state,
            events,
            error,
            clock::now(),
            odd
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets webhooks that came before then and were read; what nobody understood stays, also a single event.
    pub async fn forget_read_hooks(&self, before: DateTime<Utc>, most: i64) -> Result<u64, Error> {
        let gone = sqlx::query!(
            "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE state = 'read' AND NOT odd AND received_at < $1 ORDER BY received_at LIMIT $2)",
            before,
            most
        );
        Ok(gone.execute(&self.pool).await?.rows_affected())
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
