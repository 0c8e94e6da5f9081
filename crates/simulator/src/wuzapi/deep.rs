//! Asking the phone for older messages of a chat: what the gateway makes of the parameters, what the phone answers, and the
//! rows that are there afterwards.
//!
//! The trap of the real one is kept: a parameter that is missing or cannot be read is taken from the last live message of
//! any chat, and whatever was asked is remembered in its place.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{Query, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    calls::no_session,
    envelope,
    news::{self, Answer},
};
use crate::{
    archive::{Archive, Stored},
    gate::Pretence,
    hooks::{emit, event::Event},
    messages::{self, Message, Origin},
    people::Person,
    server::{Channel, Server},
};

const USUAL_COUNT: usize = 50;

/// What the gateway remembers of requests to the phone.
#[derive(Debug, Default)]
pub(crate) struct Deep {
    anchor: Option<Anchor>,
    /// What came of them, by the address it came under, the last inserted first.
    added: HashMap<String, Vec<Message>>,
    known: BTreeSet<String>,
}

/// The message that older ones are asked for by.
#[derive(Debug, Clone, Default)]
struct Anchor {
    chat: String,
    id: String,
    from_me: bool,
    at_ms: i64,
}

impl Deep {
    /// The rows that came of requests, the last inserted first.
    pub(super) fn rows(&self, address: &str) -> Vec<Stored> {
        let added = self.added.get(address).map(Vec::as_slice).unwrap_or_default();
        let first_row = 1_u64 << 40;
        added
            .iter()
            .zip((0..added.len() as u64).rev())
            .map(|(message, nth)| Stored {
                row: first_row + nth,
                message: message.clone(),
                readable_at: message.sent_at,
            })
            .collect()
    }

    /// Inserts what only the phone held. A message is inserted once, whatever it comes under.
    fn insert(&mut self, address: &str, messages: &[Message], now: DateTime<Utc>) {
        for message in messages.iter().filter(|message| messages::is_older(message)) {
            if self.known.insert(message.id.clone()) {
                let row = Message { stored_at: now, ..message.clone() };
                self.added.entry(address.to_owned()).or_default().insert(0, row);
            }
        }
    }
}

pub(super) async fn request(
    State(server): State<Arc<Server>>,
    Extension(channel): Extension<Arc<Channel>>,
    Extension(pretence): Extension<Pretence>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    if !pretence.session {
        return no_session();
    }
    let count = asked.get("count").and_then(|count| count.parse().ok()).unwrap_or(USUAL_COUNT);
    let remembered = remembered(&channel).await;
    let anchor = Anchor {
        chat: asked.get("chat_jid").filter(|chat| !chat.is_empty()).cloned().unwrap_or(remembered.chat),
        id: asked.get("oldest_msg_id").filter(|id| !id.is_empty()).cloned().unwrap_or(remembered.id),
        from_me: read(&asked, "oldest_msg_from_me").unwrap_or(remembered.from_me),
        at_ms: read(&asked, "oldest_msg_timestamp").unwrap_or(remembered.at_ms),
    };
    channel.deep.with(|deep| deep.anchor = Some(anchor.clone()));
    let answer = envelope::ok(&json!({
        "details": "History sync request Sent",
        "timestamp": server.now().timestamp(),
        "count": count,
        "chat_jid": anchor.chat,
        "oldest_msg_id": anchor.id,
        "oldest_msg_from_me": anchor.from_me,
        "oldest_msg_timestamp": anchor.at_ms,
    }));
    let fault = server.hook_faults.of_request(channel.number, news::HISTORY);
    let (telling, told) = (Arc::clone(&server), Arc::clone(&channel));
    let events = std::iter::once_with(move || before(&telling, &told, &anchor, count)).flatten();
    emit::answer(&server, &channel, fault, events, |_, _| {});
    answer
}

/// What stands in for parameters that are missing.
async fn remembered(channel: &Arc<Channel>) -> Anchor {
    if let Some(anchor) = channel.deep.with(|deep| deep.anchor.clone()) {
        return anchor;
    }
    let channel = Arc::clone(channel);
    // To look at every message of everybody takes long; whoever calls meanwhile must not be timed late for it.
    let looking = tokio::task::spawn_blocking(move || last_live(&channel.archive));
    looking.await.ok().flatten().unwrap_or_default()
}

fn read<T: std::str::FromStr>(asked: &HashMap<String, String>, name: &str) -> Option<T> {
    asked.get(name)?.parse().ok()
}

/// What the phone answers with, which the gateway inserts and tells. It does not answer for a message that is not in the chat.
fn before(server: &Server, channel: &Channel, anchor: &Anchor, count: usize) -> Option<Event> {
    let readings = server.wuzapi.with(|readings| *readings);
    let person = channel.archive.person(&anchor.chat)?;
    let thread = channel.archive.thread(&person);
    let at = thread.iter().position(|message| message.id == anchor.id && message.from_me == anchor.from_me)?;
    let mut messages = thread[at.saturating_sub(count)..at].to_vec();
    messages.reverse();
    let answer = Answer {
        person: &person,
        asked: &anchor.chat,
        messages: &messages,
        more: at > count,
        revealed: channel.archive.hidden_phone(&person).filter(|_| readings.reveals_phones),
    };
    channel.deep.with(|deep| deep.insert(answer.address(readings), &messages, server.now()));
    Some(answer.event(channel, readings))
}

/// The last message that came in while the gateway was connected, of whomever.
fn last_live(archive: &Archive) -> Option<Anchor> {
    let live = |person: Person| {
        let mut stored = archive.stored(&person).into_iter();
        let last = stored.rfind(|message| message.origin == Origin::Live)?;
        let chat = if last.in_phone_chat { person.phone_jid } else { person.lid };
        Some((last, chat?))
    };
    let (last, chat) = archive.draw_people().filter_map(live).max_by_key(|(message, _)| message.sent_at)?;
    Some(Anchor { chat, id: last.id, from_me: last.from_me, at_ms: last.sent_at.timestamp_millis() })
}
