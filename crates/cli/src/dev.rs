//! `sincro dev`: API and worker on private servers, for trying them against a real gateway. No simulator.

use secrecy::ExposeSecret as _;

use crate::{args::Dev, config::Config, home::Home, lifecycle::Lifecycle, output, run};

/// Runs until it is drained, then stops what it started.
pub(crate) async fn run(options: Dev, config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let home = Home::open("dev", options.data_dir.as_deref(), config).await?;
    let served = serve(&home, lifecycle).await;
    home.close().await?;
    served
}

async fn serve(home: &Home, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let parts = run::Parts::connect(&home.config).await?;
    parts.store.migrate().await?;
    let listener = run::listen(home.config.listen).await?;
    let api = format!("http://{}", listener.local_addr()?);
    let key = home.api_key(&parts.store).await?;
    output::lines(&how_to_begin(&api, key.expose_secret(), home.config.database_url()?.expose_secret()))?;
    run::both(parts, &home.config, listener, lifecycle.drain).await
}

fn how_to_begin(api: &str, key: &str, database: &str) -> String {
    format!(
        "Sincro listens on {api}. Your first key, an admin's:

{key}

Connect a WuzAPI (put its address and the number's token in), then sync it (put the id in that the first line answers):

curl -X POST {api}/v1/channels -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{\"name\": \"my number\", \"provider\": \"wuzapi\", \"base_url\": \"http://127.0.0.1:8081\", \"credentials\": {{\"token\": \"TOKEN\"}}, \"features\": [\"import_messages\"]}}'
curl -X POST {api}/v1/channels/ID/syncs -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{\"messages_per_contact\": 25}}'

Messages and views: psql '{database}'
Ctrl-C stops everything; the data stays for the next start."
    )
}
