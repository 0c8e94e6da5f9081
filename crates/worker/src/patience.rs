//! How long the ledger may be silent.

use std::time::Duration;

use sincro_store::Error;

/// Longer than the server lets any statement, lock or idle transaction last. Who has not answered by then will not: the machine is gone
/// and nobody has closed the connection.
const SILENCE: Duration = Duration::from_secs(90);

/// What the ledger answers, or that it is away when it says nothing for too long.
pub(crate) async fn answered<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(SILENCE, asked).await {
        Ok(answer) => answer,
        Err(silence) => Err(Error::Unavailable(Box::new(silence))),
    }
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
