//! What is behind a message that carries a file: its type, its length, and bytes that mean nothing, the same ones for the same message.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

use crate::{
    dice,
    messages::{Kind, Message},
    server::Channel,
};

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) mime_type: &'static str,
    pub(crate) bytes: usize,
}

impl Media {
    /// The one of a message of this kind.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        let (mime_type, bytes) = match kind {
            Kind::Image => ("image/jpeg", 48_211),
            Kind::Video => ("video/mp4", 1_204_881),
            Kind::Audio => ("audio/ogg; codecs=opus", 9_310),
            Kind::Document => ("application/pdf", 90_112),
            Kind::Sticker => ("image/webp", 21_004),
            Kind::Text | Kind::Location | Kind::Contact | Kind::Reaction => return None,
        };
        Some(Self { mime_type, bytes })
    }

    /// The bytes of the file of this message.
    pub(crate) fn content(self, message_id: &str) -> Vec<u8> {
        let seed = message_id.bytes().fold(0, |seed: u64, byte| dice::scramble(seed ^ u64::from(byte)));
        let words = (0..).flat_map(|word: u64| dice::scramble(seed ^ word).to_le_bytes());
        words.take(self.bytes).collect()
    }

    /// The file of this message, as an answer.
    pub(crate) fn download(self, message: &Message) -> Response {
        ([(header::CONTENT_TYPE, self.mime_type)], self.content(&message.id)).into_response()
    }
}

/// The message with this id and its file, where it has one that was not lost.
pub(crate) fn find(channel: &Channel, message_id: &str) -> Option<(Message, Media)> {
    if channel.lost_files.with(|lost| lost.contains(message_id)) {
        return None;
    }
    let (_, message, _) = channel.archive.find(message_id)?;
    let media = Media::of(message.kind)?;
    Some((message, media))
}
