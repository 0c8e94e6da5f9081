//! Jobs that a webhook may be for: which of them a piece is meant for, and what it adds to them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sincro_core::{
    awaiting::{Awaits, Delivered},
    channel::ChannelId,
    clock,
    contact::ContactId,
    hook::{Batch, Source},
    job::{JobId, JobKind, Step},
    message::Message,
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{Error, contacts, syncs};

/// A job that may be meant.
pub(super) struct Waiter {
    pub(super) job: JobId,
    pub(super) sync: SyncId,
    pub(super) kind: JobKind,
    pub(super) contact: Option<ContactId>,
    /// The message that is to be restored, unless it has come.
    pub(super) message: Option<String>,
    pub(super) since: DateTime<Utc>,
    pub(super) window_from: Option<DateTime<Utc>>,
    pub(super) awaits: Awaits,
    pub(super) delivered: Delivered,
    pub(super) gains: Gains,
    pub(super) heard: bool,
    /// Something is to be written down that is no part of its delivery.
    pub(super) noted: bool,
}

/// What a piece adds to a job.
#[derive(Default)]
pub(super) struct Gains {
    pub(super) fetched: i32,
    pub(super) stored: i32,
    pub(super) left_out: i32,
    pub(super) credits: BTreeMap<ContactId, Credit>,
}

#[derive(Default, Clone, Copy)]
pub(super) struct Credit {
    pub(super) fetched: i32,
    pub(super) stored: i32,
    pub(super) left_out: i32,
}

/// The channel's jobs that something may be for, locked behind their syncs.
pub(super) async fn find(connection: &mut PgConnection, channel: ChannelId) -> Result<Vec<Waiter>, Error> {
    let syncs = sqlx::query_scalar!(
        "SELECT s.id FROM syncs s WHERE s.id IN (
             SELECT j.sync_id FROM awaiting_jobs a JOIN jobs j ON j.id = a.job_id
             WHERE a.channel_id = $1 AND (a.awaits <> 'turn' OR j.kind = 'restore'))
         ORDER BY s.id FOR NO KEY UPDATE",
        channel
    );
    if syncs.fetch_all(&mut *connection).await?.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"SELECT j.id, j.sync_id, j.kind, coalesce(c.merged_into, j.contact_id) AS contact_id, coalesce(j.step, 'null') AS "step!",
                  j.fetched, a.since, a.awaits, a.delivered AS "delivered: Json<Delivered>", s.created_at, s.window_days
           FROM awaiting_jobs a JOIN jobs j ON j.id = a.job_id JOIN syncs s ON s.id = j.sync_id LEFT JOIN contacts c ON c.id = j.contact_id
           WHERE a.channel_id = $1 AND (a.awaits <> 'turn' OR j.kind = 'restore') AND j.state IN ('queued', 'delayed', 'awaiting')
           ORDER BY j.id FOR NO KEY UPDATE OF j"#,
        channel
    );
    let waiters = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(Waiter {
            job: row.id,
            sync: row.sync_id,
            kind: row.kind.parse().map_err(Error::unreadable)?,
            contact: row.contact_id,
            message: match serde_json::from_value(row.step) {
                Ok(Step::Restore { message_id, .. }) if row.fetched == 0 => Some(message_id),
                _ => None,
            },
            since: row.since,
            window_from: syncs::window_from(row.created_at, row.window_days),
            awaits: row.awaits.parse().map_err(Error::unreadable)?,
            delivered: row.delivered.0,
            gains: Gains::default(),
            heard: false,
            noted: false,
        })
    });
    waiters.collect()
}

/// A piece may have joined the very person that a job is about with another record.
pub(super) async fn resolve(connection: &mut PgConnection, waiters: &mut [Waiter]) -> Result<(), Error> {
    let ids: Vec<ContactId> = waiters.iter().filter_map(|waiter| waiter.contact).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let survivors = contacts::survivors(connection, &ids).await?;
    for contact in waiters.iter_mut().filter_map(|waiter| waiter.contact.as_mut()) {
        *contact = survivors.get(contact).copied().unwrap_or(*contact);
    }
    Ok(())
}

/// Whose answer a batch is: that of the request for its chat, else that of the request for everything.
pub(super) fn meant(waiters: &[Waiter], batch: &Batch, contact: ContactId) -> Option<usize> {
    let waits = |waiter: &&Waiter| waiter.awaits == Awaits::Delivery;
    let place = |found: &Waiter| waiters.iter().position(|waiter| waiter.job == found.job);
    let of_chat = waiters.iter().filter(waits).find(|waiter| waiter.contact == Some(contact));
    let of_all = waiters.iter().filter(waits).find(|waiter| waiter.kind == JobKind::Account);
    match batch.source {
        Source::OnDemand => of_chat.and_then(place),
        Source::History => of_chat.or(of_all).and_then(place),
        Source::Unasked | Source::Live | Source::LateAsset => None,
    }
}

/// The one request that is under way to a phone, where an answer comes under an address that stands alone: it may be that person's other
/// one. Nothing is credited by that, as it may also be late.
pub(super) fn perhaps_meant<'w>(waiters: &'w mut [Waiter], batch: &Batch) -> Option<&'w mut Waiter> {
    let is_alone = batch.chat.phone().is_some() != batch.chat.lid().is_some();
    if batch.source != Source::OnDemand || !is_alone {
        return None;
    }
    waiters.iter_mut().find(|waiter| waiter.awaits == Awaits::Delivery && waiter.kind == JobKind::History)
}

/// The job that brings this very message back.
pub(super) fn restored(waiters: &[Waiter], batch: &Batch, message: &Message) -> Option<usize> {
    (batch.source == Source::Live)
        .then(|| waiters.iter().position(|waiter| waiter.message.as_deref() == Some(message.id.as_str())))?
}

impl Waiter {
    /// Counts a message; false where it is older than was asked for.
    pub(super) fn takes(&mut self, contact: ContactId, message: &Message) -> bool {
        let credit = self.gains.credits.entry(contact).or_default();
        self.heard = true;
        if self.window_from.is_some_and(|from| message.sent_at < from) {
            credit.left_out += 1;
            self.gains.left_out += 1;
            return false;
        }
        credit.fetched += 1;
        self.message = None;
        self.gains.fetched += 1;
        self.delivered.messages += 1;
        true
    }
}

/// Adds up what the piece brought.
pub(super) async fn write_gains(connection: &mut PgConnection, waiters: &[Waiter]) -> Result<(), Error> {
    let now = clock::now();
    for waiter in waiters.iter().filter(|waiter| waiter.noted && !waiter.heard) {
        sqlx::query!(
            "UPDATE awaiting_jobs SET delivered = $2 WHERE job_id = $1",
            waiter.job,
            Json(&waiter.delivered) as _
        )
        .execute(&mut *connection)
        .await?;
    }
    for waiter in waiters.iter().filter(|waiter| waiter.heard) {
        let Gains { fetched, stored, left_out, credits } = &waiter.gains;
        sqlx::query!(
            "UPDATE jobs SET fetched = fetched + $2, stored = stored + $3, duplicate = duplicate + $2 - $3, left_out = left_out + $4 WHERE id = $1",
            waiter.job,
            fetched,
            stored,
            left_out
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "UPDATE syncs SET messages_fetched = messages_fetched + $2::integer, messages_stored = messages_stored + $3::integer,
                    messages_duplicate = messages_duplicate + $2::integer - $3::integer, messages_left_out = messages_left_out + $4::integer,
                    delivery = coalesce('delivery: ' || $5, delivery), percent = coalesce($6, percent), revision = revision + 1 WHERE id = $1",
            waiter.sync,
            fetched,
            stored,
            left_out,
            waiter.delivered.told(),
            waiter.delivered.percent.and_then(|percent| i16::try_from(percent.min(100)).ok())
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "UPDATE awaiting_jobs SET heard_at = $2, look_at = $2, delivered = $3, told = $4 WHERE job_id = $1",
            waiter.job,
            now,
            Json(&waiter.delivered) as _,
            waiter.delivered.told()
        )
        .execute(&mut *connection)
        .await?;
        match waiter.kind {
            JobKind::Account => write_credits(connection, waiter.job, credits).await?,
            JobKind::Restore => {
                // Whose message it is, nobody knew before.
                let contact = credits.keys().next();
                sqlx::query!(
                    "UPDATE jobs SET contact_id = coalesce($2, contact_id) WHERE id = $1",
                    waiter.job,
                    contact as _
                )
                .execute(&mut *connection)
                .await?;
            }
            JobKind::Plan | JobKind::History | JobKind::Check | JobKind::Media => {}
        }
    }
    Ok(())
}

async fn write_credits(
    connection: &mut PgConnection,
    job: JobId,
    credits: &BTreeMap<ContactId, Credit>,
) -> Result<(), Error> {
    let column = |pick: fn(&Credit) -> i32| credits.values().map(pick).collect::<Vec<_>>();
    sqlx::query!(
        "INSERT INTO credits (job_id, contact_id, fetched, stored, left_out)
         SELECT $1, u.contact, u.fetched, u.stored, u.left_out
         FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::integer[]) AS u(contact, fetched, stored, left_out) ORDER BY u.contact
         ON CONFLICT ON CONSTRAINT credits_one_per_contact DO UPDATE
         SET fetched = credits.fetched + excluded.fetched, stored = credits.stored + excluded.stored,
             left_out = credits.left_out + excluded.left_out",
        job,
        &credits.keys().copied().collect::<Vec<_>>(),
        &column(|credit| credit.fetched),
        &column(|credit| credit.stored),
        &column(|credit| credit.left_out)
    )
    .execute(connection)
    .await?;
    Ok(())
}
