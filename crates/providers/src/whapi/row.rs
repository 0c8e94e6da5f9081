//! One message of a chat.
//!
//! What it holds is under a key that has the name of its type: `"type":"image","image":{"caption":...}`. The id is Whapi's own
//! and kept as it is: no other call of the gateway would understand another one.

use serde_json::{Value, value::RawValue};
use sincro_core::{
    address::{Address, AddressKind},
    contact::Contact,
    media::Media,
    message::{Message, MessageKind},
};

use crate::{
    json, media, moment, name, person,
    rows::{Flaw, LONGEST_ID},
};

/// States are words of letters: failed, pending, sent, delivered, read, played, deleted, and what may come.
const LONGEST_STATUS: usize = 30;

/// A record as a neutral message, or why it is left out.
pub(super) fn read(raw: &RawValue, asked: &Address) -> Result<Message, Flaw> {
    let row = Row(json::object(raw.get()).ok_or(Flaw::Unreadable)?);
    if !row.is_of(asked) {
        return Err(Flaw::OtherChat);
    }
    row.message(raw, asked)
}

/// A record of a chat that nobody asked for, with the person on its other side; none of a group.
pub(super) fn with_person(raw: &RawValue) -> Result<Option<(Contact, Message)>, Flaw> {
    let row = Row(json::object(raw.get()).ok_or(Flaw::Unreadable)?);
    let chat = row.word("chat_id").unwrap_or_default();
    if person::is_many(&chat) {
        return Ok(None);
    }
    let chat = person::address(&chat).ok_or(Flaw::UnknownChat)?;
    let message = row.message(raw, &chat)?;
    let name = if message.from_me { None } else { name::best(&row.0, &["from_name"]) };
    Ok(Some((Contact::under(chat, name), message)))
}

struct Row(Value);

impl Row {
    /// The message, of a chat that is known to be this one.
    fn message(&self, raw: &RawValue, asked: &Address) -> Result<Message, Flaw> {
        let kind = self.kind();
        Ok(Message {
            id: self.word("id").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID).ok_or(Flaw::WithoutId)?,
            from_me: self.is_from_me(asked),
            sent_at: json::field(&self.0, "timestamp").and_then(moment::read).ok_or(Flaw::WithoutTime)?,
            kind,
            text: self.text(kind),
            status: self.status(),
            media: self.media(kind),
            payload: json::storable(raw),
        })
    }

    /// Whether it is of the chat that was asked for; one that does not say counts as such. The gateway resolves a LID to the
    /// phone where it can, so a chat may answer under the person's other address, and which person that is, nobody can tell
    /// from it: only another one of the same kind is somebody else.
    fn is_of(&self, asked: &Address) -> bool {
        let Some(chat) = self.word("chat_id").filter(|chat| !chat.is_empty()) else { return true };
        chat.parse::<Address>().is_ok_and(|chat| chat.kind() != asked.kind() || chat == *asked)
    }

    /// Whether the channel's own number sent it. Where that is not said, the sender does: in a chat of two, whoever is not
    /// the person is the channel. The sender is a phone number, so the chat must be known by one.
    fn is_from_me(&self, asked: &Address) -> bool {
        if let Some(said) = json::field(&self.0, "from_me").and_then(json::flag) {
            return said;
        }
        let chat = self.word("chat_id").and_then(|chat| chat.parse().ok()).unwrap_or_else(|| asked.clone());
        let person = chat.as_str().split('@').next().unwrap_or_default();
        let sender = self.word("from").unwrap_or_default();
        let sender = sender.split(['@', ':']).next().unwrap_or_default();
        chat.kind() == AddressKind::Phone && !sender.is_empty() && sender != person
    }

    /// By the gateway's word; new words are `unknown` until they have a line here.
    fn kind(&self) -> MessageKind {
        match self.type_word().as_str() {
            "text" | "link_preview" => MessageKind::Text,
            "image" => MessageKind::Image,
            "video" | "short" | "gif" => MessageKind::Video,
            "audio" | "voice" => MessageKind::Audio,
            "document" => MessageKind::Document,
            "sticker" => MessageKind::Sticker,
            "location" | "live_location" => MessageKind::Location,
            "contact" | "contact_list" => MessageKind::Contact,
            "interactive" | "buttons" | "list" | "reply" | "poll" | "hsm" => MessageKind::Interactive,
            "action" => match json::at(&self.0, &["action", "type"]).and_then(Value::as_str) {
                Some("reaction") => MessageKind::Reaction,
                Some("delete") => MessageKind::Deleted,
                _ => MessageKind::Unknown,
            },
            _ => MessageKind::Unknown,
        }
    }

    /// Words or caption, emoji, the name of a place or a card. Of media nothing but the caption: a file has a name, which is no text.
    fn text(&self, kind: MessageKind) -> Option<String> {
        let content = json::field(&self.0, &self.type_word())?;
        let places: &[&[&str]] = match kind {
            MessageKind::Image
            | MessageKind::Video
            | MessageKind::Audio
            | MessageKind::Document
            | MessageKind::Sticker => &[&["caption"]],
            MessageKind::Reaction => &[&["emoji"]],
            MessageKind::Location | MessageKind::Contact => &[&["name"], &["caption"], &["address"]],
            MessageKind::Interactive => {
                &[&["body", "text"], &["body"], &["buttons_reply", "title"], &["list_reply", "title"], &["title"]]
            }
            _ => &[&["body"], &["edited_content", "body"], &["title"]],
        };
        let found =
            places.iter().find_map(|place| json::at(content, place).and_then(json::text).filter(|text| !blank(text)));
        found.or_else(|| json::text(content).filter(|text| !blank(text)))
    }

    /// What is under the type's key, also where the file has not come.
    fn media(&self, kind: MessageKind) -> Option<Media> {
        let is_file = matches!(
            kind,
            MessageKind::Image | MessageKind::Video | MessageKind::Audio | MessageKind::Document | MessageKind::Sticker
        );
        is_file.then(|| json::field(&self.0, &self.type_word()).map(media::described).unwrap_or_default())
    }

    fn status(&self) -> Option<String> {
        let status = self.word("status")?.to_ascii_lowercase();
        let is_word = status.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (is_word && !status.is_empty() && status.len() <= LONGEST_STATUS).then_some(status)
    }

    fn type_word(&self) -> String {
        self.word("type").unwrap_or_default().to_ascii_lowercase()
    }

    fn word(&self, name: &str) -> Option<String> {
        json::field(&self.0, name).and_then(json::text).map(|word| word.trim().to_owned())
    }
}

fn blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests;
