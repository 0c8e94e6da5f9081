//! `sincro migrate`: brings the database up to this binary's schema. Forward only; safe beside running processes.

use secrecy::ExposeSecret as _;
use sincro_store::Store;

use crate::{config::Config, output};

/// Brings the database up to date. Needs no secret key: nothing that is sealed is read.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let store = Store::connect(config.database_url()?.expose_secret(), 2, None).await?;
    store.migrate().await?;
    output::note("the database is up to date");
    Ok(())
}
