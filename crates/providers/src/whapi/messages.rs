//! `GET /messages/list/{ChatID}`: a page of one chat, the newest message first.

use sincro_core::{address::Address, message::Page, provider::Provider};

use super::{
    place::{Place, full},
    row,
    wire::Envelope,
};
use crate::rows;

/// The page behind a cursor, and where the chat goes on while fewer than `wanted` messages were read.
pub(super) fn read(
    envelope: &Envelope<'_>,
    asked: &Address,
    wanted: u32,
    cursor: Option<&str>,
) -> Result<Page, String> {
    let place = Place::read(cursor).map_err(|lost| lost.to_string())?;
    let list = envelope.messages.ok_or("a history without `messages`")?;
    let count = place.count(wanted);
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let rows = rows::read(Provider::Whapi, asked, most, list.get(), |raw| row::read(raw, asked))?;
    let newest_s = rows.messages.iter().map(|message| message.sent_at.timestamp()).max();
    let next = place.behind(rows.seen, full(count, envelope.count()), wanted, newest_s);
    Ok(Page { messages: rows.messages, next })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sincro_core::message::MessageKind;

    use super::*;

    const PHONE: &str = "5511988887777@s.whatsapp.net";

    fn page(body: &str, wanted: u32, cursor: Option<&str>) -> Result<Page, String> {
        read(&Envelope::read(body).unwrap(), &PHONE.parse().unwrap(), wanted, cursor)
    }

    fn messages(ids: std::ops::Range<u32>, count: u32) -> String {
        let messages: Vec<Value> = ids
            .map(|id| json!({"id": format!("Psq{id}"), "type": "text", "chat_id": PHONE, "timestamp": 1_766_000_000 - id}))
            .collect();
        json!({"messages": messages, "count": count, "total": messages.len(), "offset": 0, "first": 0, "last": 0})
            .to_string()
    }

    #[test]
    fn the_message_of_the_page_is_read_with_its_own_id_and_its_bytes_as_payload() {
        let raw = r#"{"id":"PsqXn.SOAjx-xQA","type":"text","chat_id":"5511988887777@s.whatsapp.net","from":"5511988887777","from_me":false,
  "from_name":"ana","source":"mobile","timestamp":1766000000,"status":"read","text":{"body":"oi"}}"#;
        let body = format!(r#"{{"messages":[ {raw} ],"count":100,"total":1,"offset":0,"first":0,"last":0}}"#);
        let page = page(&body, 100, None).unwrap();
        let [message] = &page.messages[..] else { panic!("{page:?}") };
        assert_eq!(message.id, "PsqXn.SOAjx-xQA");
        assert!(!message.from_me);
        assert_eq!(message.sent_at.to_rfc3339(), "2025-12-17T19:33:20+00:00");
        assert_eq!((message.kind, message.text.as_deref()), (MessageKind::Text, Some("oi")));
        assert_eq!(message.status.as_deref(), Some("read"));
        assert_eq!(message.payload.get(), raw);
        assert_eq!(page.next, None);
    }

    #[test]
    fn a_total_that_counts_the_page_alone_ends_no_chat() {
        let page = page(&messages(0..500, 500), 1_200, None).unwrap();
        assert_eq!((page.messages.len(), page.next.as_deref()), (500, Some("500@1766000001")));
    }

    #[test]
    fn first_and_last_are_indexes_and_no_times() {
        let body = r#"{"messages":[{"id":"A","timestamp":1766000000}],"count":1,"first":5,"last":9}"#;
        assert_eq!(page(body, 2, None).unwrap().next.as_deref(), Some("1@1766000001"));
    }

    #[test]
    fn a_chat_is_read_on_until_as_many_messages_came_as_are_wanted() {
        let second = page(&messages(500..1_000, 500), 1_200, Some("500@1766000001")).unwrap();
        assert_eq!(second.next.as_deref(), Some("1000@1766000001"));
        assert_eq!(page(&messages(1_000..1_200, 200), 1_200, Some("1000@1766000001")).unwrap().next, None);
    }

    #[test]
    fn a_gateway_that_ignores_the_count_gives_no_more_than_was_asked_for() {
        let page = page(&messages(0..90, 25), 25, None).unwrap();
        assert_eq!((page.messages.len(), page.next), (25, None));
    }

    #[test]
    fn an_empty_list_is_an_empty_chat_and_another_shape_is_none() {
        for body in [r#"{"messages":[],"count":100,"total":0}"#, r#"{"messages":null}"#] {
            assert!(page(body, 25, None).unwrap().messages.is_empty(), "{body}");
        }
        for body in ["{}", r#"{"messages":"unexpected"}"#, r#"{"messages":{}}"#, r#"{"messages":[{"id":""},7]}"#] {
            assert!(page(body, 25, None).is_err(), "{body}");
        }
    }
}
