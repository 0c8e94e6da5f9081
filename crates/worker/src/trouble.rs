//! What stops a janitor for a moment: one of the two servers.

/// It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Store(#[from] sincro_store::Error),
    #[error(transparent)]
    Queue(#[from] sincro_queue::Error),
}
