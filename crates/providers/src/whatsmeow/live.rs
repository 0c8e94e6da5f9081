//! A message as the library's event has it: `Info` beside `Message`.

use serde_json::value::RawValue;
use sincro_core::{address::Address, contact::Contact, message::Message};

use super::{content, word};
use crate::{
    json, moment, name, person,
    rows::{Flaw, LONGEST_ID},
};

/// A message and the person it was exchanged with; none of a group, a broadcast list or a status.
pub(crate) fn read(raw: &RawValue) -> Result<Option<(Contact, Message)>, Flaw> {
    let event = json::object(raw.get()).ok_or(Flaw::Unreadable)?;
    let info = json::field(&event, "Info").ok_or(Flaw::Unreadable)?;
    // The source is embedded, which puts its members beside the others; some releases write it out.
    let source = json::field(info, "MessageSource").unwrap_or(info);
    let said = |name: &str| word(info, &[name]).or_else(|| word(source, &[name]));
    let flag = |name: &str| {
        json::field(info, name).or_else(|| json::field(source, name)).and_then(json::flag).unwrap_or(false)
    };
    let chat = said("Chat").ok_or(Flaw::UnknownChat)?;
    if flag("IsGroup") || person::is_many(&chat) {
        return Ok(None);
    }
    let chat: Address = chat.parse().map_err(|_| Flaw::UnknownChat)?;
    let content = json::field(&event, "Message").and_then(content::read);
    let Some((kind, text)) = content else { return Ok(None) };
    let from_me = flag("IsFromMe");
    // The other address of whoever is on the other side.
    let other =
        said(if from_me { "RecipientAlt" } else { "SenderAlt" }).and_then(|other| other.parse::<Address>().ok());
    let name = if from_me { None } else { name::best(info, &["PushName"]) };
    let person = person::under([Some(chat), other].into_iter().flatten(), name).ok_or(Flaw::UnknownChat)?;
    let message = Message {
        id: said("ID").filter(|id| id.len() <= LONGEST_ID).ok_or(Flaw::WithoutId)?,
        from_me,
        sent_at: json::field(info, "Timestamp").and_then(moment::read).ok_or(Flaw::WithoutTime)?,
        kind,
        text,
        status: None,
        // The library gives no address at which anybody but the phone could read it.
        media: None,
        payload: json::storable(raw),
    };
    Ok(Some((person, message)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(event: &Value) -> Result<Option<(Contact, Message)>, Flaw> {
        super::read(&serde_json::value::to_raw_value(event).unwrap())
    }

    fn event(changes: &Value) -> Value {
        let mut info = json!({"Chat": "190000000000001@lid", "Sender": "190000000000001:7@lid", "IsFromMe": false, "IsGroup": false,
            "SenderAlt": "5511988887777:7@s.whatsapp.net", "RecipientAlt": "", "ID": "3EB0A1", "PushName": "ana",
            "Timestamp": "2026-01-10T09:00:00Z"});
        for (name, value) in changes.as_object().unwrap() {
            info[name] = value.clone();
        }
        json!({"Info": info, "Message": {"conversation": "oi"}})
    }

    #[test]
    fn the_person_on_the_other_side_is_known_by_both_addresses_where_the_event_says_so() {
        let (person, message) = read(&event(&json!({}))).unwrap().unwrap();
        assert_eq!(person.lid().map(Address::as_str), Some("190000000000001@lid"));
        assert_eq!(person.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
        assert_eq!((person.name.as_deref(), message.from_me), (Some("ana"), false));
        let own = event(&json!({"IsFromMe": true, "SenderAlt": "5511999990000@s.whatsapp.net", "RecipientAlt": ""}));
        let (person, message) = read(&own).unwrap().unwrap();
        assert_eq!(
            (person.phone(), person.name.as_deref(), message.from_me),
            (None, None, true),
            "the sender is the channel"
        );
    }

    #[test]
    fn a_source_that_is_written_out_is_read() {
        let info = json!({"MessageSource": {"Chat": "5511988887777@s.whatsapp.net", "IsFromMe": true}, "ID": "A",
            "Timestamp": "2026-01-10T09:00:00Z"});
        let (person, message) = read(&json!({"Info": info, "Message": {"imageMessage": {}}})).unwrap().unwrap();
        assert!(message.from_me && person.phone().is_some());
    }

    #[test]
    fn groups_and_notices_are_no_messages_and_flaws_have_names() {
        for nothing in [
            event(&json!({"IsGroup": true})),
            event(&json!({"Chat": "status@broadcast"})),
            json!({"Info": event(&json!({}))["Info"], "Message": {"protocolMessage": {"type": 5}}}),
        ] {
            assert!(read(&nothing).unwrap().is_none(), "{nothing}");
        }
        assert_eq!(read(&json!({})).unwrap_err(), Flaw::Unreadable);
        assert_eq!(read(&event(&json!({"Chat": "?"}))).unwrap_err(), Flaw::UnknownChat);
        assert_eq!(read(&event(&json!({"ID": ""}))).unwrap_err(), Flaw::WithoutId);
        assert_eq!(read(&event(&json!({"Timestamp": "0001-01-01T00:00:00Z"}))).unwrap_err(), Flaw::WithoutTime);
    }
}
