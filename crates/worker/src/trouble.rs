//! What stops a janitor for a moment: one of the two servers.

/// It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] sincro_store::Error),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] sincro_queue::Error),
}
