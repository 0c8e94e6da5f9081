//! What the gateway holds of the history that the phone sent at pairing, until it is flushed or forgotten: whole chats, by
//! the numbers of their persons.

use std::ops::Range;

/// The cache of one channel.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// The chats it holds.
    chats: Range<u32>,
    /// Whether the pairing found the setting that has it kept.
    kept: bool,
    /// Whether the phone has sent everything.
    finished: bool,
}

impl Cache {
    /// That of a channel that was paired long enough ago, and never flushed.
    pub(crate) fn full(crowd: u32) -> Self {
        Self { chats: 0..crowd, kept: true, finished: true }
    }

    /// That of a channel that was paired while nothing was to be kept.
    pub(crate) fn empty() -> Self {
        Self { finished: true, ..Self::default() }
    }

    /// A pairing begins: the first half of the chats is there at once.
    pub(super) fn begin(&mut self, kept: bool, crowd: u32) {
        *self = Self { chats: 0..if kept { crowd.div_ceil(2) } else { 0 }, kept, finished: false };
    }

    /// The phone has sent the rest. Says whether that is news, and whether anything was kept.
    pub(super) fn finish(&mut self, crowd: u32) -> Option<bool> {
        if std::mem::replace(&mut self.finished, true) {
            return None;
        }
        if self.kept {
            self.chats.end = crowd;
        }
        Some(self.kept)
    }

    pub(super) fn chats(&self) -> Range<u32> {
        self.chats.clone()
    }

    /// Deletes what is there. What the phone sends later is held again.
    pub(crate) fn forget(&mut self) {
        self.chats.start = self.chats.end;
    }
}
