//! Composition of the server processes: `sincro api`, `worker`, `all`.

use crate::{config::Config, lifecycle::Lifecycle};

/// Serves the API until it is drained.
pub(crate) async fn api(_config: Config, _lifecycle: Lifecycle) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// Runs jobs until it is drained.
pub(crate) async fn worker(_config: Config, _lifecycle: Lifecycle) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}

/// Both in one process.
pub(crate) async fn all(_config: Config, _lifecycle: Lifecycle) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
