//! `sincro migrate`.

use crate::config::Config;

/// Brings the database up to date.
pub(crate) async fn run(_config: Config) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
