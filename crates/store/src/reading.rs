//! What was stored, and the account of it.

use sincro_core::{
    address::Address,
    channel::ChannelId,
    job::JobId,
    message::StoredMessage,
    receipt::{Receipt, ReceiptLine},
    sync::SyncId,
};

use crate::{Error, Missing, Store};

impl Store {
    /// Messages in the order in which they were sent, after the one named; of one person under both addresses, or of
    /// the whole channel.
    pub async fn messages(
        &self,
        channel: ChannelId,
        address: Option<&Address>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<StoredMessage>, Error> {
        self.channel(channel).await?;
        let contact = match address {
            Some(address) => Some(self.contact_of(channel, address).await?),
            None => None,
        };
        let rows = sqlx::query!(
            "SELECT message_id, contact_id, address, from_me, sent_at, kind, text, status, origin, payload
             FROM messages
             WHERE channel_id = $1 AND ($2::bigint IS NULL OR contact_id = $2)
               AND ($3::text IS NULL OR (sent_at, message_id) >
                    (SELECT m.sent_at, m.message_id FROM messages m WHERE m.channel_id = $1 AND m.message_id = $3))
             ORDER BY sent_at, message_id LIMIT $4",
            channel,
            contact as _,
            after as _,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let messages = rows.into_iter().map(|row| {
            Ok(StoredMessage {
                message_id: row.message_id,
                contact_id: row.contact_id,
                address: row.address,
                from_me: row.from_me,
                sent_at: row.sent_at,
                kind: row.kind.parse().map_err(Error::unreadable)?,
                text: row.text,
                status: row.status,
                origin: row.origin.parse().map_err(Error::unreadable)?,
                payload: row.payload,
            })
        });
        messages.collect()
    }

    async fn contact_of(&self, channel: ChannelId, address: &Address) -> Result<i64, Error> {
        let contact = sqlx::query_scalar!(
            "SELECT id FROM contacts WHERE channel_id = $1 AND (phone_jid = $2 OR lid = $2)",
            channel,
            address.as_str()
        );
        contact.fetch_optional(&self.pool).await?.ok_or(Error::NotFound(Missing::Contact))
    }

    /// The account of a sync: its totals, and a page of its lines.
    pub async fn receipt(&self, sync: SyncId, after: JobId, limit: i64) -> Result<Receipt, Error> {
        let status = self.sync(sync).await?;
        let contacts = sqlx::query_scalar!(
            r#"SELECT count(DISTINCT contact_id) AS "n!" FROM contact_receipts WHERE sync_id = $1"#,
            sync
        )
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query!(
            r#"SELECT job_id AS "job_id!", contact_id, contact_name, address_kind, address, expected AS "expected!", fetched AS "fetched!",
                      stored AS "stored!", duplicate AS "duplicate!", outcome AS "outcome!", reason, last_error
               FROM contact_receipts WHERE sync_id = $1 AND job_id > $2 ORDER BY job_id LIMIT $3"#,
            sync,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let full = i64::try_from(rows.len()).is_ok_and(|n| n == limit);
        let next = rows.last().map(|row| row.job_id).filter(|_| full);
        let lines = rows.into_iter().map(|row| {
            Ok(ReceiptLine {
                contact_id: row.contact_id,
                name: row.contact_name,
                address_kind: row.address_kind.map(|kind| kind.parse()).transpose().map_err(Error::unreadable)?,
                address: row.address,
                expected: row.expected.into(),
                fetched: row.fetched.into(),
                stored: row.stored.into(),
                duplicate: row.duplicate.into(),
                outcome: row.outcome.parse().map_err(Error::unreadable)?,
                reason: row.reason,
                last_error: row.last_error,
            })
        });
        let lines = lines.collect::<Result<_, Error>>()?;
        Ok(Receipt { sync_id: sync, contacts, jobs: status.jobs, messages: status.messages, lines, next })
    }
}
