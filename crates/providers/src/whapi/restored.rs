//! `GET /messages/{MessageID}`, with `resync=true` or without it: one message.
//!
//! The answer is the message, or holds it: neither is shown in the documentation of the call.

use sincro_core::gateway::Restored;

use super::row;
use crate::json;

/// A message with its person; none where it belongs to a group.
pub(super) fn read(body: &str) -> Result<Option<Restored>, String> {
    let raw: &serde_json::value::RawValue =
        serde_json::from_str(body.trim_start_matches('\u{feff}')).map_err(|error| json::flaw(&error))?;
    let [id, message, list] = json::pick(raw.get(), ["id", "message", "messages"])
        .map_err(|error| format!("a message that is {}", json::flaw(&error)))?;
    let mut first = None;
    if let Some(list) = list.filter(|list| list.get().starts_with('[')) {
        json::each_item(list.get(), |item| first = first.or(Some(item)))
            .map_err(|error| format!("a message that is {}", json::flaw(&error)))?;
    }
    let found = if id.is_some() { raw } else { message.or(first).unwrap_or(raw) };
    let read =
        row::with_person(found).map_err(|flaw| format!("a message that cannot be taken over ({})", flaw.as_str()))?;
    // The chat is known by one address alone.
    Ok(read.and_then(|(person, message)| {
        let address = person.phone().or(person.lid())?.clone();
        Some(Restored { address, message })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"id":"PsqXn.SOAjx-xQA","type":"text","chat_id":"5511988887777@s.whatsapp.net","from_me":false,
        "timestamp":1766000000,"text":{"body":"oi"}}"#;

    #[test]
    fn a_message_is_the_answer_or_stands_in_it() {
        for body in [
            MESSAGE.to_owned(),
            format!(r#"{{"message":{MESSAGE}}}"#),
            format!(r#"{{"messages":[{MESSAGE}],"count":1}}"#),
        ] {
            let restored = read(&body).unwrap().unwrap();
            assert_eq!(restored.address.as_str(), "5511988887777@s.whatsapp.net");
            assert_eq!((restored.message.id.as_str(), restored.message.payload.get()), ("PsqXn.SOAjx-xQA", MESSAGE));
        }
        assert!(read(&MESSAGE.replace("5511988887777@s.whatsapp.net", "1203@g.us")).unwrap().is_none());
        for body in ["", "{}", "7", r#"{"message":{}}"#, r#"{"messages":[]}"#] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
