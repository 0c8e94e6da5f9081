//! What is behind a message that carries a file: its type, its length, and bytes that mean nothing.

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};

use crate::messages::Kind;

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

    /// The file itself.
    pub(crate) fn download(self) -> Response {
        ([(header::CONTENT_TYPE, self.mime_type)], vec![b'm'; self.bytes]).into_response()
    }
}
