//! Messages into their table: each once per channel, whichever address, job or webhook brought it first.

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::ChannelId,
    clock,
    contact::ContactId,
    job::JobId,
    message::{Message, Origin},
};
use sqlx::PgConnection;

use crate::{Error, media};

/// Whose a message is, and who brought it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) channel: ChannelId,
    pub(crate) contact: ContactId,
    /// The address that brought it.
    pub(crate) address: &'a str,
    /// None where nobody waited for it.
    pub(crate) job: Option<JobId>,
    pub(crate) origin: Origin,
}

/// Messages as columns.
#[derive(Default)]
pub(crate) struct Rows<'m> {
    channels: Vec<ChannelId>,
    ids: Vec<&'m str>,
    contacts: Vec<ContactId>,
    addresses: Vec<&'m str>,
    from_me: Vec<bool>,
    sent_at: Vec<DateTime<Utc>>,
    kinds: Vec<&'static str>,
    texts: Vec<Option<&'m str>>,
    statuses: Vec<Option<&'m str>>,
    payloads: Vec<&'m str>,
    jobs: Vec<Option<JobId>>,
    origins: Vec<&'static str>,
    media: media::Rows<'m>,
}

/// How many messages of a contact, brought by one job, were not there before.
pub(crate) struct Stored {
    pub(crate) job: Option<JobId>,
    pub(crate) contact: ContactId,
    pub(crate) messages: i32,
}

impl<'m> Rows<'m> {
    pub(crate) fn push(&mut self, place: Place<'m>, message: &'m Message) {
        self.channels.push(place.channel);
        self.ids.push(&message.id);
        self.contacts.push(place.contact);
        self.addresses.push(place.address);
        self.from_me.push(message.from_me);
        self.sent_at.push(message.sent_at);
        self.kinds.push(message.kind.as_str());
        self.texts.push(message.text.as_deref());
        self.statuses.push(message.status.as_deref());
        self.payloads.push(message.payload.get());
        self.jobs.push(place.job);
        self.origins.push(place.origin.as_str());
        if let Some(media) = &message.media {
            self.media.push(place.channel, &message.id, message.sent_at, media);
        }
    }

    /// Stores those that are not there yet, and counts these; and what is known of the files of all.
    pub(crate) async fn insert(self, connection: &mut PgConnection) -> Result<Vec<Stored>, Error> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let stored = sqlx::query_as!(
            Stored,
            r#"WITH stored AS (INSERT INTO messages (channel_id, message_id, contact_id, address, from_me, sent_at, kind, text, status, payload, job_id, origin, stored_at)
               SELECT u.channel, u.id, u.contact, u.address, u.from_me, u.sent_at, u.kind, u.text, u.status, u.payload::json, u.job, u.origin, $13
               FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::timestamptz[], $7::text[], $8::text[],
                           $9::text[], $10::text[], $11::bigint[], $12::text[])
                    AS u(channel, id, contact, address, from_me, sent_at, kind, text, status, payload, job, origin)
               ORDER BY u.channel, u.id
               ON CONFLICT (channel_id, message_id) DO NOTHING
               RETURNING job_id, contact_id)
               SELECT job_id AS job, contact_id AS "contact!", count(*)::integer AS "messages!" FROM stored GROUP BY job_id, contact_id"#,
            &self.channels,
            &self.ids as _,
            &self.contacts,
            &self.addresses as _,
            &self.from_me,
            &self.sent_at,
            &self.kinds as _,
            &self.texts as _,
            &self.statuses as _,
            &self.payloads as _,
            &self.jobs as _,
            &self.origins as _,
            clock::now()
        );
        let stored = stored.fetch_all(&mut *connection).await?;
        self.media.insert(connection).await?;
        Ok(stored)
    }
}

/// What a message is, that came without its content before; one that did not come before is stored if it was asked for.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    place: Place<'_>,
    message: &Message,
    asked_for: bool,
) -> Result<(), Error> {
    let updated = sqlx::query!(
        "UPDATE messages SET kind = $3, text = coalesce($4, text), payload = $5::text::json WHERE channel_id = $1 AND message_id = $2",
        place.channel,
        message.id,
        message.kind.as_str(),
        message.text,
        message.payload.get()
    );
    if updated.execute(&mut *connection).await?.rows_affected() > 0 {
        let mut file = media::Rows::default();
        if let Some(media) = &message.media {
            file.push(place.channel, &message.id, message.sent_at, media);
        }
        return file.insert(connection).await;
    }
    if !asked_for {
        return Ok(());
    }
    let mut rows = Rows::default();
    rows.push(place, message);
    rows.insert(connection).await?;
    Ok(())
}
