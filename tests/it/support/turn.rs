//! Tests beside each other, or one alone.
//!
//! There are more test threads than cores. What a test takes of the places is what it takes of the machine: one that keeps it busy
//! takes half of them, one that mostly waits takes one, and one that measures time takes all, so that nothing of ours runs beside it.

use tokio::sync::{Semaphore, SemaphorePermit};

/// As many as `./just test` has threads for.
const PLACES: u32 = 6;
const OF_A_BUSY_ONE: u32 = 3;
static TURNS: Semaphore = Semaphore::const_new(PLACES as usize);

/// A test's leave to run, until it is dropped.
pub(crate) type Turn = SemaphorePermit<'static>;

/// Beside one other that is busy.
pub(crate) async fn beside_others() -> Turn {
    take(OF_A_BUSY_ONE).await
}

/// Beside several others, because it mostly waits.
pub(crate) async fn waiting() -> Turn {
    take(1).await
}

/// Alone. Places are given in the order in which they are asked for, so this one's time comes.
pub(crate) async fn alone() -> Turn {
    take(PLACES).await
}

async fn take(places: u32) -> Turn {
    TURNS.acquire_many(places).await.expect("the places are never closed")
}
