//! `sincro demo`: a simulated channel synced from end to end.

use std::process::ExitCode;

use crate::{args::Demo, config::Config, lifecycle::Lifecycle};

/// Starts what it needs, syncs, shows the receipt, stops what it started. Logging is not running yet when this begins.
pub(crate) async fn run(
    _options: Demo,
    _config: Config,
    _lifecycle: Lifecycle,
    _json: bool,
) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
