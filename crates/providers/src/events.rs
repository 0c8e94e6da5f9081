//! What a webhook tells, handed out piece by piece.
//!
//! A body is read on a thread of its own, no further ahead of whoever takes the pieces than one piece; of large bodies one at a
//! time in a process. What it says is the provider's to read.

use std::{borrow::Cow, mem, sync::Arc};

use sincro_core::{
    channel::Connection,
    hook::{Event, Told},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};

use crate::registry::gateway;

/// Messages in one batch, and in one piece: what one transaction of the ledger takes well.
pub(crate) const PIECE: usize = 500;
/// Bodies longer than this are read one at a time.
const LARGE: usize = 1_024 * 1_024;
/// Whoever holds it reads a large body.
static ONE_LARGE: Semaphore = Semaphore::const_new(1);

/// A webhook that is known to be the gateway's.
pub(crate) struct Hook<'h> {
    /// The channel it came to.
    pub(crate) connection: &'h Connection,
    /// Its header; empty where it has none.
    pub(crate) content_type: &'h str,
    /// Without a byte order mark.
    pub(crate) body: &'h str,
}

/// What a webhook tells, in its order.
#[derive(Debug)]
pub struct HookPieces {
    pieces: mpsc::Receiver<Vec<Told>>,
    reading: JoinHandle<Result<(), String>>,
}

/// Begins to read a webhook. Bytes that are no UTF-8 are replaced, and a byte order mark is skipped.
///
/// The pieces have to be taken or dropped: until then no other large body is read.
#[must_use]
pub fn read_hook(connection: Arc<Connection>, content_type: String, body: Vec<u8>) -> HookPieces {
    let (ready, pieces) = mpsc::channel(1);
    let reading = tokio::spawn(async move {
        // Never closed: an error would mean that there is nothing to wait for.
        let turn = if body.len() > LARGE { ONE_LARGE.acquire().await.ok() } else { None };
        if ready.is_closed() {
            return Ok(());
        }
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&connection, &content_type, &body, &ready)
        });
        reading.await.map_err(|error| error.to_string()).flatten()
    });
    HookPieces { pieces, reading }
}

impl HookPieces {
    /// The next piece, of about 500 messages at most; none behind the last one. `Err` says why the body is not understood, without
    /// quoting it; what came before that is as good as anything.
    pub async fn next(&mut self) -> Result<Option<Vec<Told>>, String> {
        match self.pieces.recv().await {
            Some(piece) => Ok(Some(piece)),
            None => (&mut self.reading).await.map_err(|error| error.to_string()).flatten().map(|()| None),
        }
    }
}

fn read(
    connection: &Connection,
    content_type: &str,
    body: &[u8],
    ready: &mpsc::Sender<Vec<Told>>,
) -> Result<(), String> {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let hook = Hook { connection, content_type, body: text.trim_start_matches('\u{feff}') };
    let (mut piece, mut weight) = (Vec::new(), 0);
    let read = gateway(connection.channel.provider).read_hook(&hook, &mut |told| {
        let more = weight_of(&told.event);
        if weight + more > PIECE && !piece.is_empty() {
            // Nobody takes it: then nobody misses it.
            let _ = ready.blocking_send(mem::take(&mut piece));
            weight = 0;
        }
        piece.push(told);
        weight += more;
    });
    if !piece.is_empty() {
        let _ = ready.blocking_send(piece);
    }
    read
}

fn weight_of(event: &Event) -> usize {
    let many = match event {
        Event::Messages(batch) => batch.messages.len(),
        Event::Contacts(contacts) => contacts.len(),
        Event::Pairings(pairings) => pairings.len(),
        _ => 1,
    };
    many.max(1)
}
