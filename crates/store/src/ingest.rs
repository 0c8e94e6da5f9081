//! What webhooks tell, into the ledger: messages, persons, progress, facts.
//!
//! A webhook is read in pieces, each in a transaction that notes how far the reading is: whoever reads it again after a crash
//! stores nothing twice and counts nothing twice. What no job waits for is stored all the same, and credited to none.
//!
//! The way of a piece: lock the channel -> lock those of its jobs that wait -> persons -> whose messages these are -> messages -> counters.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::{Awaits, Delivered},
    channel::ChannelId,
    clock,
    contact::{Contact, ContactId, unify},
    drill::{Point, reach},
    hook::{Batch, Event, Source},
    job::{JobId, JobKind, Step},
    message::{Message, Origin, Pairing},
    sync::SyncId,
};
use sqlx::{PgConnection, types::Json};

use crate::{
    Error, Missing, Store, channels, contacts,
    inbox::InboxId,
    messages::{self, Place, Rows},
    requests,
};

/// A message that was asked for may come by webhook so long after it was given up.
const WANTED_BACK: TimeDelta = TimeDelta::days(1);
/// A gateway tells times to the second, by a clock of its own.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(2);

/// What a piece came to.
#[derive(Debug, Default)]
pub struct Ingested {
    /// Somebody else reads this webhook, or has read it: stop.
    pub overtaken: bool,
}

/// A job that may be meant.
struct Waiter {
    job: JobId,
    sync: SyncId,
    kind: JobKind,
    contact: Option<ContactId>,
    /// The message that is to be restored.
    message: Option<String>,
    since: DateTime<Utc>,
    window_from: Option<DateTime<Utc>>,
    awaits: Awaits,
    delivered: Delivered,
    gains: Gains,
    heard: bool,
    /// Something is to be written down that is no part of its delivery.
    noted: bool,
}

/// What a piece adds to a job.
#[derive(Default)]
struct Gains {
    fetched: i32,
    stored: i32,
    left_out: i32,
    credits: BTreeMap<ContactId, Credit>,
}

#[derive(Default, Clone, Copy)]
struct Credit {
    fetched: i32,
    stored: i32,
    left_out: i32,
}

impl Store {
    /// Stores one piece of a webhook: the `piece`th, from 0. Whoever reads it has it for a `lease` more.
    pub async fn ingest(
        &self,
        inbox: InboxId,
        channel: ChannelId,
        piece: i32,
        events: &[Event],
        lease: TimeDelta,
    ) -> Result<Ingested, Error> {
        let mut tx = self.pool.begin().await?;
        match channels::lock(&mut tx, channel).await {
            Err(Error::NotFound(Missing::Channel)) => return Ok(Ingested { overtaken: true }),
            locked => locked?,
        }
        let advanced = sqlx::query!(
            "UPDATE inbox SET pieces_done = $2 + 1, taken_until = $3 WHERE id = $1 AND pieces_done = $2 AND state = 'unread'",
            inbox,
            piece,
            clock::now() + lease
        );
        if advanced.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Ingested { overtaken: true });
        }
        let mut waiters = waiters(&mut tx, channel).await?;
        let people = people(&mut tx, channel, events).await?;
        resolve(&mut tx, &mut waiters).await?;
        store_messages(&mut tx, channel, events, &people, &mut waiters).await?;
        note(&mut tx, channel, events, &mut waiters).await?;
        write_gains(&mut tx, &waiters).await?;
        reach(Point::Ingesting).await;
        tx.commit().await?;
        Ok(Ingested { overtaken: false })
    }
}

/// The channel's jobs that something may be for, locked behind their syncs.
async fn waiters(connection: &mut PgConnection, channel: ChannelId) -> Result<Vec<Waiter>, Error> {
    let syncs = sqlx::query_scalar!(
        "SELECT s.id FROM syncs s WHERE s.id IN (
             SELECT j.sync_id FROM awaiting_jobs a JOIN jobs j ON j.id = a.job_id WHERE a.channel_id = $1 AND a.awaits <> 'turn')
         ORDER BY s.id FOR NO KEY UPDATE",
        channel
    );
    if syncs.fetch_all(&mut *connection).await?.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"SELECT j.id, j.sync_id, j.kind, coalesce(c.merged_into, j.contact_id) AS contact_id, coalesce(j.step, 'null') AS "step!",
                  a.since, a.awaits, a.delivered AS "delivered: Json<Delivered>", s.created_at, s.window_days
           FROM awaiting_jobs a JOIN jobs j ON j.id = a.job_id JOIN syncs s ON s.id = j.sync_id LEFT JOIN contacts c ON c.id = j.contact_id
           WHERE a.channel_id = $1 AND a.awaits <> 'turn' AND j.state IN ('queued', 'delayed', 'awaiting')
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
                Ok(Step::Restore { message_id, .. }) => Some(message_id),
                _ => None,
            },
            since: row.since,
            window_from: crate::syncs::window_from(row.created_at, row.window_days),
            awaits: row.awaits.parse().map_err(Error::unreadable)?,
            delivered: row.delivered.0,
            gains: Gains::default(),
            heard: false,
            noted: false,
        })
    });
    waiters.collect()
}

/// Persons by any of their addresses, after everything that the piece says of them.
type People = HashMap<String, ContactId>;

async fn people(connection: &mut PgConnection, channel: ChannelId, events: &[Event]) -> Result<People, Error> {
    let mut named: Vec<Contact> = Vec::new();
    let mut pairings: Vec<Pairing> = Vec::new();
    for event in events {
        match event {
            Event::Messages(batch) => named.push(batch.chat.clone()),
            Event::Contacts(contacts) => named.extend(contacts.iter().cloned()),
            Event::Pairings(pairs) => pairings.extend(pairs.iter().cloned()),
            _ => {}
        }
    }
    let mut people = People::new();
    let persons = unify(named.clone(), &pairings);
    let ids = contacts::upsert(connection, channel, &persons).await?;
    for (person, id) in persons.iter().zip(&ids) {
        for address in [person.phone(), person.lid()].into_iter().flatten() {
            people.insert(address.to_string(), *id);
        }
    }
    if !pairings.is_empty() {
        contacts::pair(connection, channel, &pairings).await?;
    }
    // Pairing may have joined some of them meanwhile.
    let all: Vec<ContactId> = people.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let survivors = contacts::survivors(connection, &all).await?;
    for id in people.values_mut() {
        *id = survivors.get(id).copied().unwrap_or(*id);
    }
    Ok(people)
}

/// A piece may have joined the very person that a job is about with another record.
async fn resolve(connection: &mut PgConnection, waiters: &mut [Waiter]) -> Result<(), Error> {
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

fn address_of(chat: &Contact) -> Option<&str> {
    chat.phone().or(chat.lid()).map(sincro_core::address::Address::as_str)
}

async fn store_messages(
    connection: &mut PgConnection,
    channel: ChannelId,
    events: &[Event],
    people: &People,
    waiters: &mut [Waiter],
) -> Result<(), Error> {
    let wanted = wanted_back(connection, channel, events).await?;
    let mut rows = Rows::default();
    let mut late: Vec<(Place<'_>, &Message)> = Vec::new();
    for event in events {
        let Event::Messages(batch) = event else { continue };
        let Some(address) = address_of(&batch.chat) else { continue };
        let Some(contact) = people.get(address).copied() else { continue };
        let meant = meant(waiters, batch, contact);
        if let Some(waiter) = meant.map(|meant| &mut waiters[meant]) {
            waiter.heard = true;
            waiter.delivered.events += 1;
            waiter.delivered.exhausted |= batch.exhausted;
        }
        if meant.is_none()
            && let Some(waiter) = perhaps_meant(waiters, batch)
        {
            waiter.delivered.unmapped += 1;
            waiter.noted = true;
        }
        for message in &batch.messages {
            let restored = restored(waiters, batch, message);
            let waiter = restored.or(meant).map(|waiter| &mut waiters[waiter]);
            let is_restored = restored.is_some() || wanted.contains(&message.id);
            let origin = if is_restored { Origin::Restored } else { origin(batch.source) };
            let job = waiter.as_ref().map(|waiter| waiter.job);
            if let Some(waiter) = waiter
                && !waiter.takes(contact, message)
            {
                continue;
            }
            let place = Place { channel, contact, address, job, origin };
            if batch.source == Source::LateAsset {
                late.push((place, message));
            } else {
                rows.push(place, message);
            }
        }
    }
    for stored in rows.insert(connection).await? {
        if let Some(waiter) = waiters.iter_mut().find(|waiter| Some(waiter.job) == stored.job) {
            waiter.gains.stored += 1;
            waiter.delivered.new += 1;
            waiter.gains.credits.entry(stored.contact).or_default().stored += 1;
        }
    }
    late.sort_by(|one, other| one.1.id.cmp(&other.1.id));
    let window_from = if late.is_empty() { None } else { last_window(connection, channel).await? };
    for (place, message) in late {
        let asked_for = window_from.is_none_or(|from| message.sent_at >= from);
        messages::complete(connection, place, message, asked_for).await?;
    }
    Ok(())
}

/// From when on the last channel sync wanted messages: what comes late may come when it is over.
async fn last_window(connection: &mut PgConnection, channel: ChannelId) -> Result<Option<DateTime<Utc>>, Error> {
    let last = sqlx::query!(
        "SELECT created_at, window_days FROM syncs WHERE channel_id = $1 AND kind = 'channel' ORDER BY created_at DESC LIMIT 1",
        channel
    );
    let last = last.fetch_optional(connection).await?;
    Ok(last.and_then(|sync| crate::syncs::window_from(sync.created_at, sync.window_days)))
}

const fn origin(source: Source) -> Origin {
    match source {
        Source::Live => Origin::Live,
        Source::History | Source::OnDemand | Source::Unasked | Source::LateAsset => Origin::History,
    }
}

/// Whose answer a batch is: that of the request for its chat, else that of the request for everything.
fn meant(waiters: &[Waiter], batch: &Batch, contact: ContactId) -> Option<usize> {
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
fn perhaps_meant<'w>(waiters: &'w mut [Waiter], batch: &Batch) -> Option<&'w mut Waiter> {
    let is_alone = batch.chat.phone().is_some() != batch.chat.lid().is_some();
    if batch.source != Source::OnDemand || !is_alone {
        return None;
    }
    waiters.iter_mut().find(|waiter| waiter.awaits == Awaits::Delivery && waiter.kind == JobKind::History)
}

/// Which of the new messages somebody wanted back within the last day: they are not new, though nobody waits for them any more.
async fn wanted_back(
    connection: &mut PgConnection,
    channel: ChannelId,
    events: &[Event],
) -> Result<HashSet<String>, Error> {
    let live = events.iter().filter_map(|event| match event {
        Event::Messages(batch) if batch.source == Source::Live => Some(&batch.messages),
        _ => None,
    });
    let ids: Vec<&str> = live.flatten().map(|message| message.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let wanted = sqlx::query_scalar!(
        r#"SELECT DISTINCT j.step->>'message_id' AS "id!" FROM syncs s JOIN jobs j ON j.sync_id = s.id
           WHERE s.channel_id = $1 AND s.kind = 'message' AND s.created_at > $2 AND j.kind = 'restore' AND j.step->>'message_id' = ANY($3::text[])"#,
        channel,
        clock::now() - WANTED_BACK,
        &ids as _
    );
    Ok(wanted.fetch_all(connection).await?.into_iter().collect())
}

/// The job that brings this very message back.
fn restored(waiters: &[Waiter], batch: &Batch, message: &Message) -> Option<usize> {
    (batch.source == Source::Live)
        .then(|| waiters.iter().position(|waiter| waiter.message.as_deref() == Some(message.id.as_str())))?
}

impl Waiter {
    /// Counts a message; false where it is older than was asked for.
    fn takes(&mut self, contact: ContactId, message: &Message) -> bool {
        let credit = self.gains.credits.entry(contact).or_default();
        self.heard = true;
        if self.window_from.is_some_and(|from| message.sent_at < from) {
            credit.left_out += 1;
            self.gains.left_out += 1;
            return false;
        }
        credit.fetched += 1;
        self.gains.fetched += 1;
        self.delivered.messages += 1;
        true
    }
}

/// Everything but messages, persons and the session.
async fn note(
    connection: &mut PgConnection,
    channel: ChannelId,
    events: &[Event],
    waiters: &mut [Waiter],
) -> Result<(), Error> {
    let now = clock::now();
    let (mut paired, mut initial) = (None, None);
    for event in events {
        let account =
            waiters.iter_mut().find(|waiter| waiter.kind == JobKind::Account && waiter.awaits == Awaits::Delivery);
        match (event, account) {
            (Event::Progress(progress), Some(job)) => {
                job.heard = true;
                job.delivered.events += 1;
                job.delivered.note(progress);
            }
            (Event::Complete(at), Some(job)) if at.is_none_or(|at| at >= job.since - CLOCKS_DIFFER) => {
                job.heard = true;
                job.delivered.events += 1;
                job.delivered.complete = true;
            }
            (Event::Declined(failure), Some(job)) => {
                job.heard = true;
                job.delivered.declined = Some(failure.clone());
            }
            (Event::Paired(at), _) => paired = paired.max(Some(at.unwrap_or(now))),
            (Event::InitialSync(at), _) => initial = initial.max(Some(at.unwrap_or(now))),
            _ => {}
        }
    }
    note_facts(connection, channel, now, paired, initial).await
}

/// What is known of a channel from now on. Of pairings and first syncs the newest counts, by the gateway's clock: they may be told in any
/// order, and twice. A first sync from before a pairing was another pairing's.
async fn note_facts(
    connection: &mut PgConnection,
    channel: ChannelId,
    now: DateTime<Utc>,
    paired: Option<DateTime<Utc>>,
    initial: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let known = sqlx::query!("SELECT onboarded_at, initial_sync_at FROM channel_facts WHERE channel_id = $1", channel);
    let known = known.fetch_optional(&mut *connection).await?;
    let (onboarded, synced) = known.map_or((None, None), |row| (row.onboarded_at, row.initial_sync_at));
    let anew = paired.filter(|at| onboarded.is_none_or(|known| *at > known));
    if anew.is_some() {
        requests::put_aside(connection, channel, now).await?;
    }
    let onboarded = anew.or(onboarded);
    let synced = initial.max(synced).filter(|at| onboarded.is_none_or(|paired| *at >= paired));
    sqlx::query!(
        "INSERT INTO channel_facts (channel_id, heard_at, onboarded_at, initial_sync_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (channel_id) DO UPDATE SET heard_at = excluded.heard_at, onboarded_at = excluded.onboarded_at,
             initial_sync_at = excluded.initial_sync_at",
        channel,
        now,
        onboarded,
        synced
    )
    .execute(&mut *connection)
    .await?;
    if synced.is_some() {
        // Whoever waits for it has nothing to wait for any more.
        sqlx::query!(
            "UPDATE awaiting_jobs SET look_at = $2 WHERE channel_id = $1 AND awaits = 'initial sync'",
            channel,
            now
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Adds up what the piece brought.
async fn write_gains(connection: &mut PgConnection, waiters: &[Waiter]) -> Result<(), Error> {
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
            "UPDATE awaiting_jobs SET heard_at = $2, look_at = CASE WHEN awaits = 'turn' THEN look_at ELSE $2 END, delivered = $3, told = $4 WHERE job_id = $1",
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
