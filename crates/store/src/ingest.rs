//! What webhooks tell, into the ledger: messages, persons, progress, facts.
//!
//! A webhook is read in pieces, each in a transaction that notes how far the reading is: whoever reads it again after a crash
//! stores nothing twice and counts nothing twice. What no job waits for is stored all the same, and credited to none.
//!
//! The way of a piece: lock the channel -> lock those of its jobs that wait -> persons -> whose messages these are -> messages -> counters.

mod facts;
mod waiters;

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sincro_core::{
    awaiting::Awaits,
    channel::ChannelId,
    clock,
    contact::{Contact, ContactId, unify},
    drill::{Point, reach},
    hook::{Event, Source},
    job::JobKind,
    message::{Message, Origin, Pairing},
};
use sqlx::PgConnection;

use crate::{
    Error, Missing, Store, channels, contacts,
    inbox::InboxId,
    messages::{self, Place, Rows},
};
use facts::note_facts;
use waiters::{Waiter, meant, perhaps_meant, resolve, restored, write_gains};

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
        let mut waiters = waiters::find(&mut tx, channel).await?;
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
    let known = contacts::upsert(connection, channel, &persons).await?;
    for (person, known) in persons.iter().zip(&known) {
        for address in [person.phone(), person.lid()].into_iter().flatten() {
            people.insert(address.to_string(), known.id);
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
            waiter.gains.stored += stored.messages;
            waiter.delivered.new += u64::try_from(stored.messages).unwrap_or(0);
            waiter.gains.credits.entry(stored.contact).or_default().stored += stored.messages;
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
           WHERE s.channel_id = $1 AND s.kind = 'message' AND (s.created_at > $2 OR s.finished_at IS NULL) AND j.kind = 'restore' AND j.channel_id = $1 AND j.step->>'message_id' = ANY($3::text[])"#,
        channel,
        clock::now() - WANTED_BACK,
        &ids as _
    );
    Ok(wanted.fetch_all(connection).await?.into_iter().collect())
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
