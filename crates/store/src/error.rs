//! What can go wrong with the ledger, by what the caller can do about it.

use sincro_core::sync::SyncId;

pub(crate) const UNDEFINED_TABLE: &str = "42P01";
pub(crate) const DEADLOCK: &str = "40P01";

/// A failure of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached or cannot work now: nothing was written, try again later.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database is there and does not let us in, or there is none of that name: waiting does not help.
    #[error("the database does not let us in: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no such row.
    #[error("no such {0}")]
    NotFound(Missing),
    /// The ledger's state forbids it; the caller decides what to say.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A migration failed.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
    /// The credentials do not open: another secret key sealed them.
    #[error("{0}")]
    Sealed(String),
    /// A row nobody can make sense of, or data that no row takes: a bug, or somebody else's hand in the tables.
    #[error("the ledger holds something unreadable: {0}")]
    Unreadable(String),
}

/// What there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A channel with that id.
    Channel,
    /// A sync with that id.
    Sync,
    /// A contact with that address.
    Contact,
    /// A message with that id.
    Message,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Channel => "channel",
            Self::Sync => "sync",
            Self::Contact => "contact",
            Self::Message => "message",
        })
    }
}

/// Why the ledger's state forbids a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The channel has an open channel sync.
    #[error("sync {0} of this channel is still running")]
    SyncRunning(SyncId),
    /// The channel stands still, and this needs it to go on.
    #[error("the channel is paused")]
    ChannelPaused,
    /// The channel still has open syncs of some kind.
    #[error("sync {0} of this channel is open")]
    SyncOpen(SyncId),
    /// The channel is not entitled to channel syncs.
    #[error("the channel lacks the feature import_messages")]
    FeatureMissing,
    /// The sync is over.
    #[error("the sync is over")]
    SyncOver,
    /// The same `Idempotency-Key` came with another request.
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
}

impl Error {
    /// A value of a row that is none of ours.
    pub(crate) fn unreadable(error: impl std::fmt::Display) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // Data that does not fit (22), that a constraint forbids (23), that is too much (54): no later try mends it. For
            // everything else somebody has to do something about the database, or nobody (40: deadlock, serialization).
            sqlx::Error::Database(database) => match database.code().as_deref().and_then(|code| code.get(..2)) {
                Some("22" | "23" | "54") => Self::Unreadable(error.to_string()),
                _ => Self::Unavailable(Box::new(error)),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => {
                Self::Unreadable(error.to_string())
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}
