//! `sincro key create`.

use crate::{args::KeyCreate, config::Config};

/// Makes a key and prints it alone on the last line.
pub(crate) async fn create(_wanted: KeyCreate, _config: Config, _json: bool) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
