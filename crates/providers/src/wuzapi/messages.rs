//! `GET /chat/history`: the stored rows of one chat, the last inserted first.
//!
//! The last inserted are not the newest: after the gateway took in an old part of the history they are the oldest. So as many are read as
//! can be had at once, and the newest of them are what was asked for.

use std::cmp::Reverse;

use serde_json::value::RawValue;
use sincro_core::{
    address::Address,
    message::{Message, Page},
    provider::Provider,
};

use super::{calls, row::Row};
use crate::{
    json,
    rows::{self, Flaw},
};

/// The newest messages, at most `limit`, newest first; those of one time in the gateway's order. `null` is an empty chat. There is no next page: the only way to
/// see more is a larger limit.
pub(super) fn read(data: &str, asked: &Address, limit: u32) -> Result<Page, String> {
    let size = |count| usize::try_from(calls::limited(count)).unwrap_or(usize::MAX);
    let rows = rows::read(Provider::Wuzapi, asked, size(u32::MAX), data, |raw| message(raw, asked))?;
    let mut messages = rows.messages;
    messages.sort_by_key(|message| Reverse(message.sent_at));
    messages.truncate(size(limit));
    Ok(Page { messages, next: None })
}

fn message(raw: &RawValue, asked: &Address) -> Result<Message, Flaw> {
    let row = Row::read(raw)?;
    if !row.is_of(asked) {
        return Err(Flaw::OtherChat);
    }
    let kind = row.kind();
    Ok(Message {
        id: row.id().ok_or(Flaw::WithoutId)?,
        from_me: row.is_from_me(asked),
        sent_at: row.sent_at().ok_or(Flaw::WithoutTime)?,
        kind,
        text: row.text(kind),
        status: row.status(),
        media: row.media(),
        payload: json::storable(raw),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sincro_core::message::MessageKind;

    use super::*;

    const PHONE: &str = "5511988887777@s.whatsapp.net";

    fn page(rows: &Value) -> Result<Page, String> {
        read(&rows.to_string(), &PHONE.parse().unwrap(), 100)
    }

    fn row(id: &str) -> Value {
        json!({"id": 1, "chat_jid": PHONE, "sender_jid": PHONE, "message_id": id, "timestamp": "2026-04-03T12:00:00Z",
            "message_type": "text", "text_content": "oi", "media_link": "", "data_json": ""})
    }

    #[test]
    fn the_row_of_the_page_becomes_a_message_with_its_own_time_and_its_bytes_as_payload() {
        let raw = r#"{"id":912,"user_id":"b1","chat_jid":"5511988887777@s.whatsapp.net","sender_jid":"5511988887777@s.whatsapp.net",
   "message_id":"3EB0A1","timestamp":"2026-04-03T12:00:00Z","message_type":"text","text_content":"oi",
   "media_link":"","quoted_message_id":"","data_json":"{\"Info\":{\"ID\":\"3EB0A1\",\"Timestamp\":\"2026-01-10T09:00:00Z\"}}"}"#;
        let page = read(&format!("[ {raw} ]"), &PHONE.parse().unwrap(), 25).unwrap();
        let [message] = &page.messages[..] else { panic!("{page:?}") };
        assert_eq!(message.id, "3EB0A1");
        assert!(!message.from_me);
        assert_eq!(message.sent_at.to_rfc3339(), "2026-01-10T09:00:00+00:00");
        assert_eq!(message.kind, MessageKind::Text);
        assert_eq!(message.text.as_deref(), Some("oi"));
        assert_eq!(message.status, None);
        assert_eq!(message.payload.get(), raw);
        assert_eq!(page.next, None);
    }

    #[test]
    fn an_empty_chat_is_null_or_an_empty_list() {
        for data in ["null", "[]"] {
            assert!(read(data, &PHONE.parse().unwrap(), 5).unwrap().messages.is_empty());
        }
    }

    #[test]
    fn bad_rows_are_left_out_and_the_good_ones_stay() {
        let mut other_chat = row("B");
        other_chat["chat_jid"] = json!("5511977776666@s.whatsapp.net");
        let mut without_time = row("C");
        without_time["timestamp"] = json!("0001-01-01T00:00:00Z");
        let rows = json!([null, 5, "x", [], row("A"), other_chat, without_time, row(""), row("\u{0}"), row("D")]);
        let ids: Vec<String> = page(&rows).unwrap().messages.into_iter().map(|message| message.id).collect();
        assert_eq!(ids, ["A", "D"]);
        assert_eq!(
            page(&json!([null, row("")])).unwrap_err(),
            "a history without a single readable row (1 unreadable, 1 without id)"
        );
    }

    #[test]
    fn the_newest_are_taken_also_where_old_ones_were_inserted_last() {
        let at = |id: &str, time: &str| {
            let mut row = row(id);
            row["data_json"] = json!(format!(r#"{{"Info":{{"ID":"{id}","Timestamp":"{time}"}}}}"#));
            row
        };
        let rows = json!([
            at("OLD", "2025-01-01T00:00:00Z"),
            at("NEW", "2026-03-01T00:00:00Z"),
            at("MID", "2026-01-01T00:00:00Z")
        ]);
        let page = read(&rows.to_string(), &PHONE.parse().unwrap(), 2).unwrap();
        let ids: Vec<&str> = page.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["NEW", "MID"]);
    }

    #[test]
    fn no_more_rows_are_taken_than_were_asked_for() {
        let rows: Value = (0..30).map(|number| row(&format!("ID{number}"))).collect();
        let page = read(&rows.to_string(), &PHONE.parse().unwrap(), 25).unwrap();
        assert_eq!(page.messages.len(), 25);
        assert_eq!(page.messages[24].id, "ID24");
    }

    #[test]
    fn nul_is_taken_out_of_what_is_stored_as_text_and_made_storable_in_the_payload() {
        let mut with_nul = row("A\u{0}1");
        with_nul["text_content"] = json!("o\u{0}i");
        let page = page(&json!([with_nul])).unwrap();
        let message = &page.messages[0];
        assert_eq!((message.id.as_str(), message.text.as_deref()), ("A1", Some("oi")));
        assert!(!message.payload.get().contains("\\u0000"), "{}", message.payload);
        assert!(message.payload.get().contains("o\\ufffdi"), "{}", message.payload);
    }

    #[test]
    fn another_shape_is_no_history() {
        for data in ["\"unexpected\"", "{}", "7", "[1,", r#"{"b1":[{"chat_jid":"x"}]}"#, "[0,0,0]"] {
            assert!(read(data, &PHONE.parse().unwrap(), 5).is_err(), "{data}");
        }
    }
}
