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
    /// The scripts fail on what is written in a shard's keys: somebody else wrote there. Asking again does not help; the
    /// shard is to be restored.
    #[error("the queue's keys are of no use: {0}")]
    Unusable(#[source] Cause),
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
            _ if is_unusable(&error) => Self::Unusable(Box::new(error)),
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension | redis::ErrorKind::AuthenticationFailed => {
                Self::Refused(Box::new(error))
            }
            _ => Self::Unreachable(Box::new(error)),
        }
    }
}

/// Whether a script came upon a key of another type, or upon a value that is none of its kind. Redis 7 hands the code of a command's
/// error on; older ones put it into the text, with what else went wrong in a script.
fn is_unusable(error: &redis::RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    match error.code() {
        Some("WRONGTYPE") => true,
        Some("ERR") => {
            let of_script = text.starts_with("user_script:") || text.starts_with("Error running script");
            let of_value = ["is not an integer", "is not a float", "is not a valid float", "arguments must be strings"];
            of_value.iter().any(|words| text.contains(words))
                || of_script
                    && ["WRONGTYPE", ": attempt to ", ": bad argument "].iter().any(|words| text.contains(words))
        }
        _ => false,
    }
}

impl From<redis::ParsingError> for Error {
    fn from(error: redis::ParsingError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str) -> Error {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes())
            .and_then(redis::Value::extract_error)
            .expect_err("an error is an error")
            .into()
    }

    #[test]
    fn keys_that_somebody_else_wrote_are_told_from_a_redis_that_refuses() {
        for line in [
            "WRONGTYPE Operation against a key holding the wrong kind of value script: 5b0f, on @user_script:12.",
            "ERR value is not an integer or out of range script: 5b0f, on @user_script:12.",
            "ERR user_script:35: bad argument #2 to 'max' (number expected, got nil) script: 5b0f, on @user_script:35.",
            "ERR user_script:9: attempt to compare nil with number script: 5b0f, on @user_script:9.",
            "ERR Error running script (call to f_5b0f): @user_script:12: WRONGTYPE Operation against a key holding",
            "ERR Error running script (call to f_5b0f): @user_script:9: user_script:9: attempt to compare nil with number",
        ] {
            assert!(matches!(answer(line), Error::Unusable(_)), "{line}");
        }
        for line in [
            "OOM command not allowed when used memory > 'maxmemory'. script: 5b0f, on @user_script:12.",
            "ERR Error running script (call to f_5b0f): @user_script:12: -OOM command not allowed when used memory",
            "READONLY You can't write against a read only replica. script: 5b0f, on @user_script:12.",
            "NOPERM this user has no permissions to run the 'eval' command",
            "ERR settle_jobs: unreadable ruling WRONGTYPE",
            "BUSY Redis is busy running a script.",
        ] {
            assert!(matches!(answer(line), Error::Refused(_)), "{line}");
        }
    }
}
