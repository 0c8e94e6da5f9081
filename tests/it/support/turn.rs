//! Tests beside each other, or one alone.
//!
//! Tests that measure time take every place there is, so that nothing of ours runs beside them.

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many tests at once: on a big machine more of them would only queue for Postgres connections.
const PLACES: u32 = 6;
static TURNS: Semaphore = Semaphore::const_new(PLACES as usize);

/// A test's leave to run, until it is dropped.
pub(crate) type Turn = SemaphorePermit<'static>;

/// Beside others.
pub(crate) async fn beside_others() -> Turn {
    TURNS.acquire().await.expect("the places are never closed")
}

/// Alone. Places are given in the order in which they are asked for, so this one's time comes.
pub(crate) async fn alone() -> Turn {
    TURNS.acquire_many(PLACES).await.expect("the places are never closed")
}
