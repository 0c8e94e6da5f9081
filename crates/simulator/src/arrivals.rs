//! Messages that come in while somebody reads: how many each chat got since the start.
//!
//! They are not part of the truth, which is what was there before the reading began.

use std::collections::HashMap;

use crate::guarded::Guarded;

/// The newcomers of one channel, by chat.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Guarded<HashMap<String, u32>>);

impl Arrivals {
    /// So many came in.
    pub(crate) fn add(&self, address: &str, count: u32) {
        if count > 0 {
            self.0.with(|chats| *chats.entry(address.to_owned()).or_default() += count);
        }
    }

    /// How many there are.
    pub(crate) fn of(&self, address: &str) -> u32 {
        self.0.with(|chats| chats.get(address).copied().unwrap_or(0))
    }
}
