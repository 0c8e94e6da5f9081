//! `sincro demo`: a simulated channel synced from end to end, with nothing to set up.
//!
//! Private servers (or the user's, where `DATABASE_URL` and `REDIS_URL` say so), a simulated gateway, API and worker in this
//! process; then everything goes through the HTTP API, as a backend would do it. What it started, it stops.

mod gateway;
mod story;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use self::{gateway::Gateway, story::Story};
use crate::{args::Demo, config::Config, exit, home::Home, lifecycle::Lifecycle, output, run, telemetry};

const LEASE: Duration = Duration::from_secs(5);

/// Starts what it needs, syncs, shows the receipt, stops what it started. Logging is not running yet when this begins.
pub(crate) async fn run(
    options: Demo,
    mut config: Config,
    lifecycle: Lifecycle,
    json: bool,
) -> anyhow::Result<ExitCode> {
    // The bar tells the story; the log is for trouble, unless somebody asked for more.
    let directives = if config.log == "info" { "warn" } else { &config.log };
    let screen = telemetry::start(directives, config.log_format)?;
    // What a killed run had claimed comes back after its lease; nobody wants to watch a demo wait for it.
    config.lease = config.lease.min(LEASE);
    let home = Home::open("demo", options.data_dir.as_deref(), config).await?;
    let told = tell(&options, &home, &lifecycle, &screen, json).await;
    home.close().await?;
    told
}

async fn tell(
    options: &Demo,
    home: &Home,
    lifecycle: &Lifecycle,
    screen: &crate::watch::Screen,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let parts = run::Parts::connect(&home.config).await?;
    parts.store.migrate().await?;
    let gateway = Gateway::start(options, home).await?;
    let listener = run::listen(home.config.listen).await?;
    let address = listener.local_addr()?;
    let key = home.api_key(&parts.store).await?;
    let story = Story::new(options, home, &gateway, address, key, screen, json)?;

    let stop = CancellationToken::new();
    let servers = run::both(parts, &home.config, listener, stop.clone());
    let play = async {
        let played = tokio::select! {
            played = story.play() => played,
            () = lifecycle.drain.cancelled() => {
                output::note("\nstopped half-way; run `sincro demo` again and it goes on where it was");
                Ok(ExitCode::from(exit::INTERRUPTED))
            }
        };
        if options.keep && played.is_ok() && !lifecycle.drain.is_cancelled() {
            output::note("everything keeps running until Ctrl-C");
            lifecycle.drain.cancelled().await;
        }
        stop.cancel();
        played
    };
    let (served, played) = tokio::join!(servers, play);
    gateway.stop().await?;
    let code = played?;
    served.context("the servers did not end well")?;
    Ok(code)
}
