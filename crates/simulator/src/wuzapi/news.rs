//! What the gateway tells by webhook.

use serde_json::{Map, Value, json};

use super::{
    readings::{AnswersUnder, Readings},
    rows,
};
use crate::{
    hooks::event::Event,
    messages::{Message, Origin},
    people::Person,
    server::Channel,
    web_message,
};

/// The event that brings history.
pub(super) const HISTORY: &str = "HistorySync";
/// What the phone sends by itself when it is paired.
const RECENT: u32 = 3;
/// How many chats that is about.
const RECENT_CHATS: usize = 30;
/// An answer to a request.
const ON_DEMAND: u32 = 6;
/// Nothing more on the phone.
const COMPLETE: u32 = 1;
/// More on the phone.
const MORE: u32 = 2;
/// Names that some releases write otherwise.
const OTHER_CASE: [(&str, &str); 4] =
    [("ID", "id"), ("remoteJID", "remoteJid"), ("pnJID", "pnJid"), ("lidJID", "lidJid")];

/// The gateway's other name for a channel.
pub(super) fn instance_name(channel: &Channel) -> String {
    format!("simulated-{}", channel.number)
}

/// Anything, in the envelope of all events.
pub(super) fn event(channel: &Channel, name: &'static str, event: &Value) -> Event {
    Event::new(name, envelope(channel, name, event))
}

fn envelope(channel: &Channel, name: &str, event: &Value) -> Value {
    json!({ "type": name, "userID": rows::user_id(channel), "instanceName": instance_name(channel), "event": event })
}

/// What the phone answers with.
pub(super) struct Answer<'a> {
    pub(super) person: &'a Person,
    /// The address the chat was asked for under.
    pub(super) asked: &'a str,
    /// Newest first.
    pub(super) messages: &'a [Message],
    /// Whether the phone holds more before them.
    pub(super) more: bool,
    /// The phone that nobody knew, where it is to be revealed.
    pub(super) revealed: Option<String>,
}

impl Answer<'_> {
    /// The address the chat comes back under.
    pub(super) fn address(&self, readings: Readings) -> &str {
        let other = self.person.addresses().find(|known| *known != self.asked);
        other.filter(|_| readings.answers_under == AnswersUnder::Other).unwrap_or(self.asked)
    }

    pub(super) fn event(&self, channel: &Channel, readings: Readings) -> Event {
        let address = self.address(readings);
        let written = |message: &Message| json!({ "message": web_message::written(self.person, address, message) });
        let phone = self.person.phone_jid.as_deref().or(self.revealed.as_deref());
        let mut conversation =
            json!({ "ID": address, "messages": self.messages.iter().map(written).collect::<Value>() });
        if let Some(phone) = phone.filter(|_| address.ends_with("@lid")) {
            conversation["pnJID"] = json!(phone);
        }
        if !readings.no_end_told {
            conversation["endOfHistoryTransferType"] = json!(if self.more { MORE } else { COMPLETE });
        }
        let mappings: Vec<Value> = phone
            .zip(self.person.lid.as_deref())
            .map(|(phone, lid)| json!({ "pnJID": phone, "lidJID": lid }))
            .into_iter()
            .collect();
        let data = json!({
            "syncType": ON_DEMAND,
            "chunkOrder": 1,
            "progress": 100,
            "phoneNumberToLidMappings": mappings,
            "pushnames": [],
            "conversations": [conversation],
        });
        let data = if readings.camel_case { in_other_case(data) } else { data };
        Event::history(HISTORY, envelope(channel, HISTORY, &json!({ "Data": data })))
    }
}

/// What the phone sends when it is paired, asked by nobody: the first chats, without what came later.
pub(super) fn recent(channel: &Channel, readings: Readings) -> Event {
    let (mut conversations, mut mappings) = (Vec::new(), Vec::new());
    for person in channel.archive.draw_people().take(RECENT_CHATS) {
        let Some(address) = person.addresses().last() else { continue };
        let of_blob = |message: &Message| message.origin == Origin::HistorySync;
        let messages = channel.archive.stored(&person).into_iter().rev().filter(of_blob);
        let written = messages.map(|message| json!({ "message": web_message::written(&person, address, &message) }));
        conversations.push(json!({ "ID": address, "messages": written.collect::<Value>() }));
        if let (Some(phone), Some(lid)) = (&person.phone_jid, &person.lid) {
            mappings.push(json!({ "pnJID": phone, "lidJID": lid }));
        }
    }
    let data = json!({
        "syncType": RECENT,
        "chunkOrder": 1,
        "progress": 100,
        "phoneNumberToLidMappings": mappings,
        "pushnames": [],
        "conversations": conversations,
    });
    let data = if readings.camel_case { in_other_case(data) } else { data };
    Event::history(HISTORY, envelope(channel, HISTORY, &json!({ "Data": data })))
}

fn in_other_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let name = |name: String| {
                OTHER_CASE.iter().find(|(usual, _)| *usual == name).map_or(name, |(_, other)| (*other).to_owned())
            };
            fields.into_iter().map(|(key, value)| (name(key), in_other_case(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.into_iter().map(in_other_case).collect(),
        value => value,
    }
}
