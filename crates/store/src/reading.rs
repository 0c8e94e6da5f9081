//! What was stored, and the account of it.

use chrono::{DateTime, Utc};
use sincro_core::{
    address::Address,
    channel::ChannelId,
    job::JobId,
    media::StoredMedia,
    message::StoredMessage,
    receipt::{Receipt, ReceiptLine},
    sync::SyncId,
};

use crate::{Error, Missing, Store};

impl Store {
    /// Messages in the order in which they were sent, after the one named ([`Missing::Message`] where there is none); of one person under both addresses, or of
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
        let after_at = match after {
            Some(after) => Some(self.sent_at(channel, after).await?),
            None => None,
        };
        let rows = sqlx::query!(
            r#"SELECT m.message_id, m.contact_id, m.address, m.from_me, m.sent_at, m.kind, m.text, m.status, m.origin, m.payload,
                      f.state AS "media_state?", f.mime, f.bytes, f.stored_bytes, f.file_name, f.stored_at, f.location, f.sha256, f.reason
             FROM messages m LEFT JOIN media f ON f.channel_id = m.channel_id AND f.message_id = m.message_id
             WHERE m.channel_id = $1 AND ($2::bigint IS NULL OR m.contact_id = $2)
               AND ($3::text IS NULL OR (m.sent_at, m.message_id) > ($4, $3))
             ORDER BY m.sent_at, m.message_id LIMIT $5"#,
            channel,
            contact as _,
            after as _,
            after_at as _,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let messages = rows.into_iter().map(|row| {
            let media = match row.media_state {
                None => None,
                Some(state) => Some(StoredMedia {
                    state: state.parse().map_err(Error::unreadable)?,
                    mime: row.mime,
                    bytes: row.stored_bytes.or(row.bytes),
                    file_name: row.file_name,
                    stored_at: row.stored_at,
                    location: row.location,
                    sha256: row.sha256,
                    reason: row.reason,
                }),
            };
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
                media,
                payload: row.payload,
            })
        });
        messages.collect()
    }

    /// When a message of the channel was sent.
    async fn sent_at(&self, channel: ChannelId, message: &str) -> Result<DateTime<Utc>, Error> {
        let sent_at = sqlx::query_scalar!(
            "SELECT sent_at FROM messages WHERE channel_id = $1 AND message_id = $2",
            channel,
            message
        );
        sent_at.fetch_optional(&self.pool).await?.ok_or(Error::NotFound(Missing::Message))
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
        let pruned = sqlx::query!("SELECT pruned_at, contacts_pruned FROM syncs WHERE id = $1", sync);
        let pruned = pruned.fetch_optional(&self.pool).await?.ok_or(Error::NotFound(Missing::Sync))?;
        let contacts = match pruned.contacts_pruned {
            Some(contacts) => contacts,
            None => self.contacts_asked(sync).await?,
        };
        if let Some(at) = pruned.pruned_at {
            // Some lines may be left for a moment; they would not add up.
            let (jobs, messages) = (status.jobs, status.messages);
            return Ok(Receipt {
                sync_id: sync,
                contacts,
                jobs,
                messages,
                pruned_at: Some(at),
                lines: Vec::new(),
                next: None,
            });
        }
        let rows = sqlx::query!(
            r#"SELECT line_id AS "line_id!", contact_id, contact_name, address_kind, address, expected AS "expected!", fetched AS "fetched!",
                      stored AS "stored!", duplicate AS "duplicate!", outcome AS "outcome!", reason, last_error, left_out AS "left_out!"
               FROM contact_receipts WHERE sync_id = $1 AND line_id > $2 ORDER BY line_id LIMIT $3"#,
            sync,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let full = i64::try_from(rows.len()).is_ok_and(|n| n == limit);
        let next = rows.last().map(|row| row.line_id).filter(|_| full);
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
                left_out: row.left_out.into(),
                outcome: row.outcome.parse().map_err(Error::unreadable)?,
                reason: row.reason,
                last_error: row.last_error,
            })
        });
        let lines = lines.collect::<Result<_, Error>>()?;
        let (jobs, messages) = (status.jobs, status.messages);
        Ok(Receipt { sync_id: sync, contacts, jobs, messages, pruned_at: None, lines, next })
    }

    /// How many persons a sync asks, or asked.
    async fn contacts_asked(&self, sync: SyncId) -> Result<i64, Error> {
        let contacts = sqlx::query_scalar!(
            r#"SELECT count(DISTINCT coalesce(c.merged_into, c.id)) AS "n!"
               FROM (SELECT j.contact_id FROM jobs j WHERE j.sync_id = $1
                     UNION SELECT r.contact_id FROM credits r JOIN jobs j ON j.id = r.job_id WHERE j.sync_id = $1) a
               JOIN contacts c ON c.id = a.contact_id"#,
            sync
        );
        Ok(contacts.fetch_one(&self.pool).await?)
    }
}
