//! `sincro key create`: the first key has to come from somewhere, so this talks to the database and not to the API.

use secrecy::ExposeSecret as _;
use serde_json::json;
use sincro_store::Store;

use crate::{
    args::{KeyCreate, Scope},
    config::Config,
    output,
};

/// Makes a key and prints it alone on the last line.
pub(crate) async fn create(wanted: KeyCreate, config: Config, as_json: bool) -> anyhow::Result<()> {
    let store = Store::connect(config.database_url()?.expose_secret(), 2, None).await?;
    let scopes: Vec<_> = wanted.scopes.iter().map(|scope| ledger_scope(*scope)).collect();
    let key = store.create_api_key(&wanted.name, &scopes).await?;
    if as_json {
        let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        return Ok(output::json_line(&json!({"name": wanted.name, "scopes": words, "key": key.expose_secret()}))?);
    }
    output::note("This key is shown once. It goes into the header `Authorization: Bearer <key>`.");
    Ok(output::lines(key.expose_secret())?)
}

fn ledger_scope(scope: Scope) -> sincro_store::access::Scope {
    match scope {
        Scope::Read => sincro_store::access::Scope::Read,
        Scope::Enqueue => sincro_store::access::Scope::Enqueue,
        Scope::Admin => sincro_store::access::Scope::Admin,
    }
}
