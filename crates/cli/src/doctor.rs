//! `sincro doctor`: checks settings, servers and versions.

use std::process::ExitCode;

use crate::config::{Config, Refused};

/// Prints what it finds; a configuration that was refused is a finding too.
pub(crate) async fn run(_config: Result<Config, Refused>, _json: bool) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
