//! What the gateway tells: that history came, how much, and (if it is so read) what; and what becomes of the session.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::readings::Bodies;
use crate::{
    account,
    hooks::event::Event,
    messages::Message,
    people::Person,
    server::{Channel, Server},
    web_message,
};

pub(super) const HISTORY: &str = "history.sync";
pub(super) const COMPLETE: &str = "history.sync_complete";
const OWN_JID: &str = "5511999990000@s.whatsapp.net";
/// How many chats one event is about.
const CHATS: usize = 20;

/// All that a request brings, at most so many messages of each chat.
pub(super) fn history(
    server: &Arc<Server>,
    channel: &Arc<Channel>,
    sync_type: &'static str,
    per_chat: usize,
) -> impl Iterator<Item = Event> + Send + use<> {
    let (server, channel) = (Arc::clone(server), Arc::clone(channel));
    let crowd = channel.archive.crowd() as usize;
    (0..crowd.div_ceil(CHATS)).map(move |piece| {
        let (first, end) = (piece * CHATS, crowd.min((piece + 1) * CHATS));
        let numbers = (first..end).filter_map(|number| u32::try_from(number).ok());
        let chats: Vec<(Person, Vec<Message>)> = numbers
            .map(|number| {
                let person = channel.archive.numbered(number);
                let told = account::told_of(&channel.archive, &person, per_chat);
                (person, told.into_iter().map(|(message, _)| message).collect())
            })
            .collect();
        let data = json!({
            "jid": OWN_JID,
            "sync_type": sync_type,
            "progress": end * 100 / crowd,
            "conversation_count": chats.len(),
        });
        let bodies = server.gdbrns.with(|readings| readings.bodies);
        Event::history(HISTORY, envelope(&server, &channel, HISTORY, &with_bodies(data, bodies, &chats)))
    })
}

fn with_bodies(mut data: Value, bodies: Bodies, chats: &[(Person, Vec<Message>)]) -> Value {
    match bodies {
        Bodies::None => {}
        Bodies::Messages => {
            let of_chat = |(person, messages): &(Person, Vec<Message>)| -> Vec<Value> {
                messages.iter().map(|message| web_message::written(person, address(person), message)).collect()
            };
            data["messages"] = chats.iter().flat_map(of_chat).collect();
        }
        Bodies::Conversations => {
            let of_chat = |(person, messages): &(Person, Vec<Message>)| {
                let wrapped: Vec<Value> = messages
                    .iter()
                    .map(|message| json!({ "message": web_message::written(person, address(person), message) }))
                    .collect();
                let mut conversation = json!({ "ID": address(person), "messages": wrapped });
                if let Some(phone) = &person.phone_jid {
                    conversation["pnJID"] = json!(phone);
                }
                if let Some(lid) = &person.lid {
                    conversation["lidJID"] = json!(lid);
                }
                conversation
            };
            data["conversations"] = chats.iter().map(of_chat).collect();
        }
    }
    data
}

fn address(person: &Person) -> &str {
    person.phone_jid.as_deref().or(person.lid.as_deref()).unwrap_or_default()
}

/// Some history is there in full: that of a pairing as well as that of a request.
pub(super) fn complete(server: &Server, channel: &Channel, sync_type: &str) -> Event {
    let data = json!({ "jid": OWN_JID, "sync_type": sync_type });
    Event::new(COMPLETE, envelope(server, channel, COMPLETE, &data))
}

/// News of the session.
pub(super) fn of_session(server: &Server, channel: &Channel, name: &'static str, data: &Value) -> Event {
    Event::new(name, envelope(server, channel, name, data))
}

fn envelope(server: &Server, channel: &Channel, name: &str, data: &Value) -> Value {
    json!({
        "event_type": name,
        "device_id": server.contract.name_of(channel),
        "timestamp": server.now().to_rfc3339_opts(SecondsFormat::Secs, true),
        "data": data,
    })
}
