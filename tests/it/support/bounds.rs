//! Nothing waits for ever: every wait of a test goes through here.

use std::{future::Future, time::Duration};

/// What only a broken system takes, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// The future's output, or a failure that says what did not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LONG, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {} s in vain: {what}", LONG.as_secs()))
}
