//! What the gateway tells: the history of one chat in pieces, and what becomes of the session.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::message;
use crate::{
    account, dice,
    hooks::event::Event,
    messages::Message,
    people::Person,
    server::{Channel, Server},
};

/// The event that brings history.
pub(super) const HISTORY: &str = "message_history_sync";
/// Events that no filter keeps out.
pub(super) const OF_SESSION: [&str; 4] = ["logged_in", "logged_out", "login_error", FINISHED];
/// All that the phone sends at pairing is there.
pub(super) const FINISHED: &str = "initial_sync_finished";
/// The most messages of one event.
const PIECE: usize = 500;

/// News of the session.
pub(super) fn of_session(server: &Server, channel: &Channel, name: &'static str, data: &Value) -> Event {
    Event::new(name, envelope(server, channel, name, data))
}

/// Everything of a person that is told at once, in pieces. None of persons whose phone is not known.
pub(super) fn chat(server: &Server, channel: &Channel, person: &Person) -> Vec<Event> {
    let told = account::told_of(&channel.archive, person, usize::MAX);
    let messages: Vec<Message> = told.into_iter().map(|(message, _)| message).collect();
    messages.chunks(PIECE).filter_map(|piece| history(server, channel, person, piece, false)).collect()
}

/// Some messages of a chat.
pub(super) fn history(
    server: &Server,
    channel: &Channel,
    person: &Person,
    messages: &[Message],
    nameless: bool,
) -> Option<Event> {
    let chat = person.phone_jid.as_deref()?;
    let written: Vec<Value> = messages.iter().map(|known| message::written(person, chat, known)).collect();
    let data = json!({ "chatId": if nameless { "" } else { chat }, "messages": written });
    Some(Event::history(HISTORY, envelope(server, channel, HISTORY, &data)))
}

fn envelope(server: &Server, channel: &Channel, name: &str, data: &Value) -> Value {
    let now = server.now();
    let unique = dice::scramble(server.clock.now_us() ^ dice::scramble(server.next_unique()));
    json!({
        "eventId": format!("evt_{}_{unique:016x}", now.timestamp_millis()),
        "instanceId": server.contract.name_of(channel),
        "eventType": name,
        "receivedAt": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "eventData": data,
    })
}
