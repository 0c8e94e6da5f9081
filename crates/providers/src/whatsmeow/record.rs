//! The phone's record of a message (`WebMessageInfo`), alone or in the item of a history that holds it.

use serde_json::value::RawValue;
use sincro_core::message::Message;

use super::{content, status, word};
use crate::{
    json, moment,
    rows::{Flaw, LONGEST_ID},
};

/// A message, and what its record says of its chat.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) message: Message,
    /// The chat as the record writes it.
    pub(crate) chat: Option<String>,
    /// What the sender calls himself.
    pub(crate) push_name: Option<String>,
}

/// Reads a record, or says why it is left out.
pub(crate) fn read(item: &RawValue) -> Result<Record, Flaw> {
    let [key, inner] = json::pick(item.get(), ["key", "message"]).map_err(|_| Flaw::Unreadable)?;
    // The item of a history has the record under the name under which a record has its content.
    let raw = match (key, inner) {
        (None, Some(inner)) => inner,
        _ => item,
    };
    let record = json::object(raw.get()).ok_or(Flaw::Unreadable)?;
    let id = word(&record, &["key", "ID"]).filter(|id| id.len() <= LONGEST_ID).ok_or(Flaw::WithoutId)?;
    let content = json::field(&record, "message").and_then(content::read);
    let (kind, text) = content.ok_or(Flaw::WithoutContent)?;
    let message = Message {
        id,
        from_me: json::at(&record, &["key", "fromMe"]).and_then(json::flag).unwrap_or(false),
        sent_at: json::field(&record, "messageTimestamp").and_then(moment::read).ok_or(Flaw::WithoutTime)?,
        kind,
        text,
        status: word(&record, &["status"]).and_then(|said| status(&said)),
        // The library gives no address at which anybody but the phone could read it.
        media: None,
        payload: json::storable(raw),
    };
    Ok(Record { message, chat: word(&record, &["key", "remoteJID"]), push_name: word(&record, &["pushName"]) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(item: &Value) -> Result<Record, Flaw> {
        super::read(&serde_json::value::to_raw_value(item).unwrap())
    }

    fn info() -> Value {
        json!({"key": {"remoteJID": "190000000000001@lid", "fromMe": false, "ID": "3EB0A0"},
            "message": {"conversation": "bom dia"}, "messageTimestamp": 1_765_990_000, "status": 3, "pushName": "ana"})
    }

    #[test]
    fn a_record_is_read_alone_and_in_the_item_of_a_history() {
        for item in [info(), json!({"message": info(), "msgOrderID": 7})] {
            let record = read(&item).unwrap();
            let message = &record.message;
            assert_eq!(
                (message.id.as_str(), message.from_me, message.text.as_deref()),
                ("3EB0A0", false, Some("bom dia"))
            );
            assert_eq!(message.status.as_deref(), Some("delivery_ack"));
            assert_eq!(message.sent_at.timestamp(), 1_765_990_000);
            assert_eq!(
                (record.chat.as_deref(), record.push_name.as_deref()),
                (Some("190000000000001@lid"), Some("ana"))
            );
            assert!(message.payload.get().contains("\"key\"") && !message.payload.get().contains("msgOrderID"));
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_times_as_texts() {
        let item = json!({"Message": {"Key": {"remoteJid": "5511988887777@s.whatsapp.net", "FromMe": true, "id": "A"},
            "Message": {"Conversation": "oi"}, "MessageTimestamp": "1765990000", "Status": "READ"}});
        let record = read(&item).unwrap();
        assert!(record.message.from_me);
        assert_eq!((record.message.id.as_str(), record.message.status.as_deref()), ("A", Some("read")));
    }

    #[test]
    fn what_cannot_be_kept_says_why() {
        let without = |name: &str| {
            let mut info = info();
            info[name] = Value::Null;
            info
        };
        for (item, flaw) in [
            (json!(7), Flaw::Unreadable),
            (json!({}), Flaw::WithoutId),
            (without("message"), Flaw::WithoutContent),
            (without("messageTimestamp"), Flaw::WithoutTime),
            (json!({"message": {"key": {"ID": "x".repeat(300)}, "message": {"conversation": "oi"}}}), Flaw::WithoutId),
        ] {
            assert_eq!(read(&item).err(), Some(flaw), "{item}");
        }
    }
}
