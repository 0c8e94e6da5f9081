//! What the descriptions of Positus and Meta leave open, decided one way or the other.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What a request is answered with that was made before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Graph error 4, "sync request limit exceeded".
    #[default]
    LimitExceeded,
    /// Graph error 100 with the subcode 2593107, "already synced".
    AlreadySynced,
}

/// How the simulator decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each decides a point of its own")]
pub struct Readings {
    /// What a second request is refused with.
    pub refusal: Refusal,
    /// Errors of Meta come as Meta words them, rather than in the shape of Positus.
    pub meta_errors: bool,
    /// That the owner does not share comes without the envelope around it.
    pub bare_decline: bool,
    /// The most messages of one chunk.
    pub chunk: usize,
    /// The most contacts of one webhook.
    pub contacts_chunk: usize,
    /// How many changes come in one webhook.
    pub batch: usize,
    /// What accepted requests are answered with: 202 instead of 200.
    pub accepted_is_202: bool,
    /// A file is answered with the address where it is, as Meta does.
    pub files_by_address: bool,
}

impl Default for Readings {
    fn default() -> Self {
        Self {
            refusal: Refusal::default(),
            meta_errors: false,
            bare_decline: false,
            chunk: 200,
            contacts_chunk: 100,
            batch: 1,
            accepted_is_202: false,
            files_by_address: false,
        }
    }
}

impl Readings {
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.chunk >= 1, "chunk must be at least 1");
        ensure!(self.batch >= 1, "batch must be at least 1");
        ensure!(self.contacts_chunk >= 1, "contacts_chunk must be at least 1");
        Ok(())
    }
}
