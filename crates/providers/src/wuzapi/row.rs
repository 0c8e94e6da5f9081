//! One stored message, in whichever of its four forms it comes (asternic/wuzapi, `GetHistory` and `wmiau.go` as of April
//! 2026): `data_json` is the event of a live message; a look-alike of it for one out of a history blob, whose `RawMessage`
//! is the phone's whole record; empty for one sent through the gateway's API; `{}` where writing the event failed.
//!
//! What the row leaves out is not made up, with one exception: see [`Row::is_from_me`].

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sincro_core::{address::Address, media::Media, message::MessageKind};

use crate::{
    json, media, moment,
    rows::{Flaw, LONGEST_ID},
    whatsmeow,
};

/// `sender_jid` of a message that was sent through the gateway's API.
const SENT_BY_API: &str = "me";

/// A row, its members unread, and what the event in it says.
pub(super) struct Row<'a> {
    message_id: Option<&'a RawValue>,
    chat_jid: Option<&'a RawValue>,
    sender_jid: Option<&'a RawValue>,
    sent_at: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    message_type: Option<&'a RawValue>,
    text_content: Option<&'a RawValue>,
    media_link: Option<&'a RawValue>,
    /// `data_json`; nothing where there is none or it cannot be read.
    event: Said,
}

/// What an event says of its message: the library's in `Info`, else the phone's in `RawMessage`.
#[derive(Debug, Default)]
struct Said {
    id: Option<String>,
    sent_at: Option<DateTime<Utc>>,
    from_me: Option<bool>,
    /// Only the phone says one.
    status: Option<String>,
}

impl Said {
    fn read(json: &str) -> Option<Self> {
        let [info, record] = json::pick(json, ["Info", "RawMessage"]).ok()?;
        let [id, time, from_me, source] = json::members(info, ["ID", "Timestamp", "IsFromMe", "MessageSource"]);
        let [from_me_in_source] = json::members(source, ["IsFromMe"]);
        let [key, record_time, status] = json::members(record, ["key", "messageTimestamp", "status"]);
        let [record_id, record_from_me] = json::members(key, ["ID", "fromMe"]);
        let flags = [from_me, from_me_in_source, record_from_me].into_iter().flatten();
        Some(Self {
            id: id_of(id).or_else(|| id_of(record_id)),
            sent_at: time_of(time).or_else(|| time_of(record_time)),
            from_me: flags.filter_map(json::scalar).find_map(|flag| json::flag(&flag)),
            status: json::word(status).and_then(|said| whatsmeow::status(&said)),
        })
    }
}

impl<'a> Row<'a> {
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, Flaw> {
        let names = [
            "message_id",
            "chat_jid",
            "sender_jid",
            "sent_at",
            "timestamp",
            "message_type",
            "text_content",
            "media_link",
            "data_json",
        ];
        let members = json::pick_bounded(raw, names).ok_or(Flaw::Unreadable)?;
        let [message_id, chat_jid, sender_jid, sent_at, timestamp, message_type, text_content, media_link, event] =
            members;
        let event = match event.map(RawValue::get) {
            Some(object) if object.starts_with('{') => Said::read(object),
            _ => event.and_then(json::unread_text).and_then(|text| Said::read(&text)),
        };
        Ok(Self {
            message_id,
            chat_jid,
            sender_jid,
            sent_at,
            timestamp,
            message_type,
            text_content,
            media_link,
            event: event.unwrap_or_default(),
        })
    }

    /// Whether it is a row of the chat that was asked for; one that does not say counts as such. The gateway compares chats
    /// letter by letter, so others never come. Rows under the same person's other address count as others: that address has
    /// a job of its own.
    pub(super) fn is_of(&self, asked: &Address) -> bool {
        json::word(self.chat_jid).is_none_or(|chat| chat.parse::<Address>().is_ok_and(|chat| chat == *asked))
    }

    /// The row's own id, else the event's.
    pub(super) fn id(&self) -> Option<String> {
        id_of(self.message_id).or_else(|| self.event.id.clone())
    }

    /// When it was sent: by the event, else by the gateway's `sent_at` (from v1.1.1 on), else when the row
    /// was inserted, which is right for messages sent by API and too late for the rest. The event's is WhatsApp's own
    /// and so is trusted more than the gateway's column, which older rows were given afterwards.
    pub(super) fn sent_at(&self) -> Option<DateTime<Utc>> {
        self.event.sent_at.or_else(|| time_of(self.sent_at)).or_else(|| time_of(self.timestamp))
    }

    /// Whether the channel's own number sent it. Where no event is left to say so, the sender does: in a chat of two, a
    /// message of the contact comes from the very address of the chat (whatsmeow, `parseMessageSource`), so any other
    /// person is the channel, under whichever of its addresses.
    pub(super) fn is_from_me(&self, asked: &Address) -> bool {
        let sender = json::word(self.sender_jid).unwrap_or_default();
        let said = if sender == SENT_BY_API { Some(true) } else { self.event.from_me };
        said.unwrap_or_else(|| sender.parse::<Address>().is_ok_and(|sender| sender != *asked))
    }

    /// By the gateway's word; new words are `unknown` until they have a line here.
    pub(super) fn kind(&self) -> MessageKind {
        match json::word(self.message_type).unwrap_or_default().to_ascii_lowercase().as_str() {
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
        let text = self.text_content.and_then(json::unread_text)?;
        let wordless = !matches!(kind, MessageKind::Text | MessageKind::Reaction) && is_tag(&text);
        (!text.trim().is_empty() && !wordless).then(|| text.into_owned())
    }

    /// Only the phone's own record says one.
    pub(super) fn status(&self) -> Option<String> {
        self.event.status.clone()
    }

    /// Where the gateway put its file, if it has a place for files: rows out of a history blob never say one.
    pub(super) fn media(&self) -> Option<Media> {
        let place = json::word(self.media_link).and_then(|link| media::at(&link))?;
        Some(Media { place: Some(place), ..Media::default() })
    }
}

fn id_of(raw: Option<&RawValue>) -> Option<String> {
    json::word(raw).filter(|id| id.len() <= LONGEST_ID)
}

fn time_of(raw: Option<&RawValue>) -> Option<DateTime<Utc>> {
    moment::read(&json::scalar(raw?)?)
}

fn is_tag(text: &str) -> bool {
    let inner = text.trim().strip_prefix(':').and_then(|text| text.strip_suffix(':'));
    inner.is_some_and(|kind| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[cfg(test)]
mod tests;
