//! Webhooks on their way in: what shows that one comes from the gateway.

use std::fmt;

use crate::channel::Connection;

/// Follows the bytes of a webhook as they arrive.
pub trait Seal: Send {
    /// The next of them.
    fn take(&mut self, bytes: &[u8]);

    /// Whether the gateway has signed these bytes and no others.
    fn holds(self: Box<Self>) -> bool;
}

/// What the headers of a webhook say of where it comes from.
pub enum Proof {
    /// The channel has no secret for webhooks: whoever knows the address is believed.
    Address,
    /// The secret came with it.
    Secret,
    /// It is signed; whether rightly, the body will show.
    Signature(Box<dyn Seal>),
    /// What the channel's credentials ask for is not there, or is another: which header that is about.
    Missing(&'static str),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "Address",
            Self::Secret => "Secret",
            Self::Signature(_) => "Signature",
            Self::Missing(_) => "Missing",
        })
    }
}

/// Finds the proof of a webhook for a channel; a header is asked for by its name in small letters.
pub type Prove = fn(&Connection, &dyn Fn(&str) -> Option<String>) -> Proof;
