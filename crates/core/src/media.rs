//! The file that comes with a message: what is known of it, where it is to be had, and what became of it.
//!
//! What is known is written down with the message. The file itself is fetched by a job of its own, if at all.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::word::words;

words! {
    /// What became of the file of a message.
    pub enum MediaState {
        /// There is one, and nothing says where; that may come later.
        Placeholder = "placeholder",
        /// It can be asked for.
        Known = "known",
        /// It is in the folder or bucket for files.
        Stored = "stored",
        /// It is larger than files may be.
        TooLarge = "too_large",
        /// The gateway does not have it any more.
        Gone = "gone",
        /// It could not be fetched.
        Failed = "failed",
    }
}

/// What a provider says of the file of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// Where it is to be had; none while nobody says so.
    pub place: Option<MediaPlace>,
    /// Its type, such as `image/jpeg`.
    pub mime: Option<String>,
    /// Its length.
    pub bytes: Option<u64>,
    /// The name that its sender gave it.
    pub file_name: Option<String>,
    /// Its SHA-256 as the provider writes it.
    pub sha256: Option<String>,
}

/// Where a file is to be had.
#[derive(Clone, PartialEq, Eq)]
pub enum MediaPlace {
    /// By the gateway, which knows it by this id.
    Id(String),
    /// At an address, which may be anybody's.
    Link(String),
}

/// An address that a gateway has pointed to. It often holds the right to read what is there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedLink(pub String);

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedLink(..)")
    }
}

/// Addresses of files often hold the right to read them.
impl fmt::Debug for MediaPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.debug_tuple("Id").field(id).finish(),
            Self::Link(_) => f.write_str("Link(..)"),
        }
    }
}

/// The file of a stored message as readers get it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StoredMedia {
    /// What became of it.
    pub state: MediaState,
    /// Its type, as far as somebody says.
    pub mime: Option<String>,
    /// Its length: as it was stored, or as far as somebody says.
    pub bytes: Option<i64>,
    /// The name that its sender gave it.
    pub file_name: Option<String>,
    /// When it was stored.
    pub stored_at: Option<DateTime<Utc>>,
    /// Where it was stored: `file:///...` or `s3://...`.
    pub location: Option<String>,
    /// The SHA-256 of what was stored, in hex.
    pub sha256: Option<String>,
    /// Why it is not there, when it was tried.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_does_not_show_in_debug_output() {
        let media = Media { place: Some(MediaPlace::Link("https://a/b?signature=hush".into())), ..Media::default() };
        assert!(!format!("{media:?}").contains("hush"));
    }
}
