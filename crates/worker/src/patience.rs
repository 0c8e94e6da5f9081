//! How long the ledger may be silent.

use std::time::Duration;

use sincro_store::Error;

/// Longer than the server lets any statement, lock or idle transaction last. Who has not answered by then will not: the machine is gone
/// and nobody has closed the connection.
const SILENCE: Duration = Duration::from_secs(90);

/// A round of a janitor asks many times; one that is cut off goes on with the next.
const LONGEST_ROUND: Duration = Duration::from_mins(10);

/// What the ledger answers, or that it is away when it says nothing for too long.
pub(crate) async fn answered<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(SILENCE, asked).await
}

/// What a janitor's round came to, or that the ledger is away when it does not end.
pub(crate) async fn ended<T, E: From<Error>>(round: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    within(LONGEST_ROUND, round).await
}

async fn within<T, E: From<Error>>(most: Duration, asked: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    // Boxed, so that the future of a job does not hold each of its questions.
    let answer = tokio::time::timeout(most, Box::pin(asked)).await;
    answer.unwrap_or_else(|silence| Err(Error::Unavailable(Box::new(silence)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_never_answers_is_away() {
        let silent = answered(std::future::pending::<Result<(), Error>>()).await;
        assert!(matches!(silent, Err(Error::Unavailable(_))));
        assert!(matches!(answered(std::future::ready(Ok(1))).await, Ok(1)));
    }
}
