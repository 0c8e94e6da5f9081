//! One stored message, in whichever of its four forms it comes (asternic/wuzapi, `GetHistory` and `wmiau.go` as of April
//! 2026): `data_json` is the event of a live message; a look-alike of it for one out of a history blob, whose `RawMessage`
//! is the phone's whole record; empty for one sent through the gateway's API; `{}` where writing the event failed.
//!
//! What the row leaves out is not made up, with one exception: see [`Row::is_from_me`].

use chrono::{DateTime, Utc};
use serde_json::{Value, value::RawValue};
use sincro_core::{address::Address, media::Media, message::MessageKind};

use crate::{
    json, media, moment,
    rows::{Flaw, LONGEST_ID},
    whatsmeow,
};

/// `sender_jid` of a message that was sent through the gateway's API.
const SENT_BY_API: &str = "me";

/// A row and the event in it.
pub(super) struct Row {
    fields: Value,
    /// `data_json` read; null where there is none or it cannot be read.
    event: Value,
}

impl Row {
    /// Reading it as a value bounds its depth and its numbers: what passes, Postgres can keep.
    pub(super) fn read(raw: &RawValue) -> Result<Self, Flaw> {
        let fields = json::object(raw.get()).ok_or(Flaw::Unreadable)?;
        let event = match json::field(&fields, "data_json") {
            Some(Value::String(event)) => json::object(&event.replace('\0', "")).unwrap_or_default(),
            Some(event @ Value::Object(_)) => event.clone(),
            _ => Value::Null,
        };
        Ok(Self { fields, event })
    }

    /// Whether it is a row of the chat that was asked for; one that does not say counts as such. The gateway compares chats
    /// letter by letter, so others never come. Rows under the same person's other address count as others: that address has
    /// a job of its own.
    pub(super) fn is_of(&self, asked: &Address) -> bool {
        let chat = self.word("chat_jid").filter(|chat| !chat.is_empty());
        chat.is_none_or(|chat| chat.parse::<Address>().is_ok_and(|chat| chat == *asked))
    }

    /// The row's own id, else the event's, else the phone's.
    pub(super) fn id(&self) -> Option<String> {
        let places =
            [self.word("message_id"), self.event_word(&["Info", "ID"]), self.event_word(&["RawMessage", "key", "ID"])];
        places.into_iter().flatten().find(|id| !id.is_empty() && id.len() <= LONGEST_ID)
    }

    /// When it was sent: by the event, else by the phone, else by the gateway's `sent_at` (from v1.1.1 on), else when the row
    /// was inserted, which is right for messages sent by API and too late for the rest. The first two are WhatsApp's own
    /// and so are trusted more than the gateway's column, which older rows were given afterwards.
    pub(super) fn sent_at(&self) -> Option<DateTime<Utc>> {
        let places = [
            json::at(&self.event, &["Info", "Timestamp"]),
            json::at(&self.event, &["RawMessage", "messageTimestamp"]),
            json::field(&self.fields, "sent_at"),
            json::field(&self.fields, "timestamp"),
        ];
        places.into_iter().flatten().find_map(moment::read)
    }

    /// Whether the channel's own number sent it. Where no event is left to say so, the sender does: in a chat of two, a
    /// message of the contact comes from the very address of the chat (whatsmeow, `parseMessageSource`), so any other
    /// person is the channel, under whichever of its addresses.
    pub(super) fn is_from_me(&self, asked: &Address) -> bool {
        let sender = self.word("sender_jid").unwrap_or_default();
        if sender == SENT_BY_API {
            return true;
        }
        let places: [&[&str]; 3] =
            [&["Info", "IsFromMe"], &["Info", "MessageSource", "IsFromMe"], &["RawMessage", "key", "fromMe"]];
        let said = places.iter().find_map(|place| json::at(&self.event, place).and_then(json::flag));
        said.unwrap_or_else(|| sender.parse::<Address>().is_ok_and(|sender| sender != *asked))
    }

    /// By the gateway's word; new words are `unknown` until they have a line here.
    pub(super) fn kind(&self) -> MessageKind {
        match self.word("message_type").unwrap_or_default().to_ascii_lowercase().as_str() {
            "text" => MessageKind::Text,
            "image" => MessageKind::Image,
            "video" => MessageKind::Video,
            "audio" => MessageKind::Audio,
            "document" => MessageKind::Document,
            "sticker" => MessageKind::Sticker,
            "location" => MessageKind::Location,
            "contact" => MessageKind::Contact,
            "reaction" => MessageKind::Reaction,
            "buttons_response" | "list_response" => MessageKind::Interactive,
            poll if poll.starts_with("poll") => MessageKind::Interactive,
            "delete" => MessageKind::Deleted,
            _ => MessageKind::Unknown,
        }
    }

    /// Words or caption. Media without a caption carry a tag such as `:image:` in their place; in a message of words the same
    /// characters are words.
    pub(super) fn text(&self, kind: MessageKind) -> Option<String> {
        let text = json::field(&self.fields, "text_content").and_then(json::text)?;
        let wordless = !matches!(kind, MessageKind::Text | MessageKind::Reaction) && is_tag(&text);
        (!text.trim().is_empty() && !wordless).then_some(text)
    }

    /// Only the phone's own record says one.
    pub(super) fn status(&self) -> Option<String> {
        self.event_word(&["RawMessage", "status"]).and_then(|said| whatsmeow::status(&said))
    }

    /// Where the gateway put its file, if it has a place for files: rows out of a history blob never say one.
    pub(super) fn media(&self) -> Option<Media> {
        let place = self.word("media_link").and_then(|link| media::at(&link))?;
        Some(Media { place: Some(place), ..Media::default() })
    }

    fn word(&self, name: &str) -> Option<String> {
        json::field(&self.fields, name).and_then(json::text).map(|word| word.trim().to_owned())
    }

    fn event_word(&self, path: &[&str]) -> Option<String> {
        json::at(&self.event, path).and_then(json::text).map(|word| word.trim().to_owned())
    }
}

fn is_tag(text: &str) -> bool {
    let inner = text.trim().strip_prefix(':').and_then(|text| text.strip_suffix(':'));
    inner.is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[cfg(test)]
mod tests;
