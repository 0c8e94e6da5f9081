//! Webhooks that were kept are read: piece by piece into the ledger, each webhook by one worker at a time.
//!
//! One that nobody understands is kept for people. One that cannot be stored now is read again later, behind those that came
//! after it, so that it holds nobody up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use sincro_core::{
    channel::{Connection, Pause, PausedBy},
    clock,
    hook::{Event, SessionChange, Told},
};
use sincro_providers::read_hook;
use sincro_queue::Queue;
use sincro_store::{Error, Missing, Store, inbox::TakenHook};

use crate::{
    deliver::deliver,
    patience::{answered, offered},
    rest,
};

/// Between two looks into an empty inbox.
const IDLE: Duration = Duration::from_millis(300);
/// Whoever reads a webhook has it for so long, from piece to piece.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(60);
/// So often it is tried before it is left to people.
const TRIES: i32 = 10;
/// How long one that could not be stored waits for its next try, at first.
const AGAIN: TimeDelta = TimeDelta::seconds(5);
/// Names of events that are counted in one webhook; what comes under further names is counted together.
const MOST_NAMES: usize = 50;
const LONGEST_NAME: usize = 80;

/// Reads until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue) {
    loop {
        match answered(store.take_hook(LEASE)).await {
            Ok(Some(taken)) => read(&store, &queue, &taken).await,
            Ok(None) => tokio::time::sleep(IDLE).await,
            Err(error) => {
                tracing::warn!(%error, "the inbox could not be looked into; trying again");
                tokio::time::sleep(IDLE * 10).await;
            }
        }
    }
}

async fn read(store: &Store, queue: &Queue, taken: &TakenHook) {
    let (inbox, channel) = (taken.id, taken.channel);
    if taken.attempts > TRIES {
        tracing::error!(inbox, %channel, "nobody who began to read a webhook came to its end; it is kept");
        count("unreadable");
        let told = "nobody who began to read it came to its end: it may end its readers";
        if let Err(error) = store.hook_unreadable(inbox, told).await {
            tracing::warn!(inbox, %error, "what became of a webhook could not be noted; it is looked at again");
        }
        return;
    }
    let outcome = match try_read(store, queue, taken).await {
        Ok(()) | Err(Trouble::Ledger(Error::NotFound(Missing::Channel))) => return,
        Err(Trouble::Unreadable(flaw)) => {
            tracing::warn!(inbox, %channel, flaw, "a webhook is not understood; it is kept");
            count("unreadable");
            store.hook_unreadable(inbox, &flaw).await
        }
        Err(Trouble::Ledger(error)) if is_at_fault(&error) && taken.attempts >= TRIES => {
            tracing::error!(inbox, %channel, %error, "a webhook cannot be stored; it is kept");
            count("unreadable");
            store.hook_unreadable(inbox, &format!("it cannot be stored: {error}")).await
        }
        Err(Trouble::Ledger(error)) => {
            tracing::warn!(inbox, %channel, %error, "a webhook could not be stored; trying again");
            let at_fault = is_at_fault(&error);
            let again = clock::now() + AGAIN * taken.attempts.max(1);
            store.hook_failed(inbox, &error.to_string(), again, at_fault).await
        }
    };
    if let Err(error) = outcome {
        tracing::warn!(inbox, %error, "what became of a webhook could not be noted; it is read again");
    }
}

/// Whether no later try mends it by itself.
fn is_at_fault(error: &Error) -> bool {
    matches!(error, Error::Unreadable(_) | Error::Sealed(_))
}

/// Why a webhook is not read.
enum Trouble {
    Unreadable(String),
    Ledger(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ledger(error)
    }
}

async fn try_read(store: &Store, queue: &Queue, taken: &TakenHook) -> Result<(), Trouble> {
    let connection = Arc::new(answered(store.connection(taken.channel)).await?);
    let body = answered(store.hook_body(taken.id)).await?;
    let mut pieces = read_hook(connection.clone(), taken.content_type.clone(), body);
    let mut names = Names::default();
    for place in 0.. {
        let Some(piece) = pieces.next().await.map_err(Trouble::Unreadable)? else { break };
        names.count(&piece);
        if place < taken.pieces_done {
            continue;
        }
        let events: Vec<Event> = piece.into_iter().map(|told| told.event).collect();
        // First: a piece that is stored is not read again.
        let change =
            events.iter().rev().find_map(|event| if let Event::Session(change) = event { Some(change) } else { None });
        if let Some(change) = change {
            note_session(store, queue, &connection, change.clone()).await?;
        }
        if offered(|| store.ingest(taken.id, taken.channel, place, &events, LEASE)).await?.overtaken {
            return Ok(());
        }
    }
    names.measure(&connection);
    answered(store.hook_read(taken.id, &names.counts, names.unknown > 0)).await?;
    count("read");
    Ok(())
}

/// A session that is gone pauses its channel, as a refused call would; one that is back lets it go on, where it stood still for that.
async fn note_session(
    store: &Store,
    queue: &Queue,
    connection: &Connection,
    change: SessionChange,
) -> Result<(), Error> {
    let (by, reason) = match change {
        SessionChange::Up => {
            if let Some(notice) = answered(store.session_back(connection.channel.id)).await? {
                deliver(store, queue, &[notice]).await;
            }
            return Ok(());
        }
        SessionChange::Lost(reason) => (PausedBy::Session, reason),
        SessionChange::Ended(reason) => (PausedBy::Gateway, reason),
    };
    let channel = &connection.channel;
    let pause = Pause::new(by, format!("webhook: {reason}"));
    rest::pause(store, queue, channel.id, channel.version, &pause, None).await.map(drop)
}

/// What was in a webhook, by the gateway's own names.
#[derive(Default)]
struct Names {
    counts: BTreeMap<String, u64>,
    foreign: u64,
    unknown: u64,
    known: u64,
}

impl Names {
    fn count(&mut self, piece: &[Told]) {
        for Told { name, event } in piece {
            let name: String = match event {
                Event::Foreign(_) => format!("foreign {name}"),
                Event::Unknown => format!("unknown {name}"),
                _ => name.clone(),
            };
            let name = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
            let full = self.counts.len() >= MOST_NAMES && !self.counts.contains_key(&name);
            *self.counts.entry(if full { "others".to_owned() } else { name }).or_default() += 1;
            match event {
                Event::Foreign(_) => self.foreign += 1,
                Event::Unknown => self.unknown += 1,
                _ => self.known += 1,
            }
        }
    }

    fn measure(&self, connection: &Connection) {
        let provider = connection.channel.provider.as_str();
        for (kind, count) in [("known", self.known), ("unknown", self.unknown), ("foreign", self.foreign)] {
            metrics::counter!("sincro_hook_events_total", "provider" => provider, "kind" => kind).increment(count);
        }
        if self.foreign > 0 {
            let channel = connection.channel.id;
            tracing::warn!(%channel, events = self.foreign, "a webhook was about another number; that part of it is kept and not used");
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("sincro_hooks_read_total", "result" => result).increment(1);
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!("sincro_hooks_read_total", "Webhooks that were read from the inbox, by what came of it");
    metrics::describe_counter!(
        "sincro_hook_events_total",
        "Events in webhooks: known, unknown to this version, or foreign (about another number)"
    );
}
