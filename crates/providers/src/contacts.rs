//! A contact list, handed out piece by piece.
//!
//! The answer was read once to its end, so what is handed out belongs to an answer that is complete and a contact list. A list
//! without pages lies in a file and is read a second time; a page of a list is in memory. Either way the reading goes no
//! further ahead of whoever takes the pieces than one piece.

use std::fmt;

use sincro_core::{
    contact::Contact,
    gateway::{ContactsPiece, Refusal},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Contacts in one piece: what one transaction of the ledger takes well.
const PIECE: usize = 2_000;

/// Hands out the contacts of an answer from its beginning, until the other side wants no more. It may block.
pub(crate) type Reading = Box<dyn FnOnce(&mut dyn FnMut(Contact) -> bool) -> Result<(), String> + Send>;

/// A contact list that has not been taken yet.
pub struct ContactList {
    /// Records that are no persons (groups, broadcasts) or could not be read.
    pub left_out: usize,
    /// Where the list goes on behind this answer; none when it is all.
    pub next: Option<String>,
    reading: Reading,
}

/// The pieces of a contact list, in its order.
#[derive(Debug)]
pub struct ContactPieces {
    pieces: mpsc::Receiver<ContactsPiece>,
    reading: JoinHandle<Result<(), String>>,
}

impl fmt::Debug for ContactList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left_out, next, reading: _ } = self;
        f.debug_struct("ContactList").field("left_out", left_out).field("next", next).finish_non_exhaustive()
    }
}

impl ContactList {
    pub(crate) fn new(reading: Reading, left_out: usize, next: Option<String>) -> Self {
        Self { left_out, next, reading }
    }

    /// Begins to hand it out.
    #[must_use]
    pub fn pieces(self) -> ContactPieces {
        let Self { reading, .. } = self;
        let (ready, pieces) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            reading(&mut |contact| {
                piece.push(contact);
                piece.len() < PIECE || ready.blocking_send(take(&mut piece)).is_ok()
            })?;
            if !piece.is_empty() {
                // Nobody takes it: then nobody misses it.
                let _ = ready.blocking_send(take(&mut piece));
            }
            Ok(())
        });
        ContactPieces { pieces, reading }
    }
}

fn take(piece: &mut Vec<Contact>) -> ContactsPiece {
    ContactsPiece { contacts: std::mem::replace(piece, Vec::with_capacity(PIECE)), pairings: Vec::new() }
}

impl ContactPieces {
    /// The next piece; none behind the last one. The file can be at fault, never the gateway.
    pub async fn next(&mut self) -> Result<Option<ContactsPiece>, Refusal> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        let ended = (&mut self.reading).await;
        match ended.map_err(|error| error.to_string()).flatten() {
            Ok(()) => Ok(None),
            Err(cause) => {
                let detail = format!("the contact list could not be read a second time: {cause}");
                Err(Refusal::Transient { code: "spool", detail })
            }
        }
    }
}
