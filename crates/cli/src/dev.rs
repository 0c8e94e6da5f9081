//! `sincro dev`: API and worker on private servers.

use crate::{args::Dev, config::Config, lifecycle::Lifecycle};

/// Runs until it is drained, then stops what it started.
pub(crate) async fn run(_options: Dev, _config: Config, _lifecycle: Lifecycle) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
