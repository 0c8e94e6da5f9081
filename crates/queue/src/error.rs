//! What can go wrong with the queue, by what the caller can do about it.

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the queue could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings cannot work: somebody has to change them.
    #[error("queue settings: {0}")]
    Settings(String),
    /// Redis cannot be reached or did not answer in time. What was asked may or may not have been done; asking again
    /// is harmless.
    #[error("redis cannot be reached: {0}")]
    Unreachable(#[source] Cause),
    /// Redis is there and refuses: out of memory, read-only, no permission, still loading. Asking again is harmless
    /// and may help; an operator should look.
    #[error("redis refuses: {0}")]
    Refused(#[source] Cause),
    /// Redis answered something that this version cannot read.
    #[error("redis answered what nobody can read: {0}")]
    Unreadable(String),
    /// Another restoration of the shard began, or this one has ended: begin again, if it still needs one.
    #[error("the restoration of shard {0} was taken over")]
    TakenOver(u16),
    /// Only a newer version knows the keys of the shard: leave it to that.
    #[error("a newer version runs shard {0}")]
    Newer(u16),
    /// The worker's machinery ended before it was asked to.
    #[error("the worker ended by itself: {0}")]
    Worker(#[source] Cause),
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match error.kind() {
            redis::ErrorKind::InvalidClientConfig => Self::Settings(error.to_string()),
            redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => Self::Unreadable(error.to_string()),
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension | redis::ErrorKind::AuthenticationFailed => {
                Self::Refused(Box::new(error))
            }
            _ => Self::Unreachable(Box::new(error)),
        }
    }
}

impl From<redis::ParsingError> for Error {
    fn from(error: redis::ParsingError) -> Self {
        Self::Unreadable(error.to_string())
    }
}
