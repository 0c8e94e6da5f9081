//! What a gateway call brings: messages in one neutral shape, each with the provider's original.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    address::Address,
    media::{Media, StoredMedia},
    word::words,
};

words! {
    /// What a message is; the original stays in the payload.
    pub enum MessageKind {
        /// Plain or extended text.
        Text = "text",
        /// A picture.
        Image = "image",
        /// A video.
        Video = "video",
        /// A voice note or audio file.
        Audio = "audio",
        /// A file.
        Document = "document",
        /// A sticker.
        Sticker = "sticker",
        /// A place.
        Location = "location",
        /// A shared contact card.
        Contact = "contact",
        /// An emoji on another message.
        Reaction = "reaction",
        /// A choice from buttons, a list or a poll.
        Interactive = "interactive",
        /// A deletion of another message.
        Deleted = "deleted",
        /// Anything else; look at the payload.
        Unknown = "unknown",
    }
}

words! {
    /// How a message came to us. Automations tell restored messages from new ones by it.
    pub enum Origin {
        /// A part of the past: read by a sync, or sent by the gateway as history.
        History = "history",
        /// Brought back by a resync: not new, whatever the webhook looked like.
        Restored = "restored",
        /// Arrived as a new message.
        Live = "live",
    }
}

/// One message as it will be stored.
#[derive(Debug, Clone)]
pub struct Message {
    /// The provider's id, unique within the channel.
    pub id: String,
    /// Sent by the channel's own number.
    pub from_me: bool,
    /// When it was really sent (not when the gateway stored it).
    pub sent_at: DateTime<Utc>,
    /// What it is.
    pub kind: MessageKind,
    /// Text or caption.
    pub text: Option<String>,
    /// Delivery status in the provider's words, lower case, where it says one.
    pub status: Option<String>,
    /// Its file, where it has one.
    pub media: Option<Media>,
    /// The provider's JSON, untouched.
    pub payload: Box<RawValue>,
}

/// What one gateway call brings: messages of one chat, and where to go on.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// What to ask next, or none when the chat is read.
    pub next: Option<String>,
}

/// Two addresses that turned out to be one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The phone JID.
    pub phone: Address,
    /// The LID.
    pub lid: Address,
}

/// A stored message as readers get it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredMessage {
    /// The provider's id.
    pub message_id: String,
    /// The person on the other side.
    pub contact_id: i64,
    /// The address that brought it first.
    pub address: String,
    /// Sent by the channel's own number.
    pub from_me: bool,
    /// When it was really sent.
    pub sent_at: DateTime<Utc>,
    /// What it is.
    pub kind: MessageKind,
    /// Text or caption.
    pub text: Option<String>,
    /// Delivery status in the provider's words, where it says one.
    pub status: Option<String>,
    /// How it came to us.
    pub origin: Origin,
    /// Its file, where it has one.
    #[serde(default)]
    pub media: Option<StoredMedia>,
    /// The provider's JSON.
    pub payload: serde_json::Value,
}
