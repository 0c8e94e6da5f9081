//! `sincro`: reads the command line and hands it to the room that does the work.

mod args;
mod client;
mod config;
mod demo;
mod dev;
mod doctor;
#[cfg(debug_assertions)]
mod drill;
mod exit;
mod home;
mod keys;
mod lifecycle;
mod local;
mod migrate;
mod output;
mod run;
mod telemetry;
mod verbs;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

use crate::{
    args::{Args, Command, Global, Key},
    config::Config,
    lifecycle::Lifecycle,
};

/// A worker asks for memory some hundred times in a job, of all sizes and on all threads, and gives it back on others.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Args { global, command } = Args::parse();
    dispatch(command, &global).await.unwrap_or_else(|error| {
        output::failure(&error);
        exit::code_of(&error)
    })
}

async fn dispatch(command: Command, global: &Global) -> anyhow::Result<ExitCode> {
    match command {
        Command::Api => run::api(server_config(global)?, Lifecycle::listen()?).await?,
        Command::Worker => run::worker(server_config(global)?, Lifecycle::listen()?).await?,
        Command::All => run::all(server_config(global)?, Lifecycle::listen()?).await?,
        Command::Dev(options) => dev::run(options, server_config(global)?, Lifecycle::listen()?).await?,
        Command::Migrate => migrate::run(server_config(global)?).await?,
        Command::Demo(options) => return demo::run(options, load(global)?, Lifecycle::listen()?, global.json).await,
        Command::Doctor => return doctor::run(load(global), global.json).await,
        Command::Services(services) => return local::run_with_services(&services.command).await,
        Command::Key(Key::Create(key)) => keys::create(key, server_config(global)?, global.json).await?,
        Command::Channel(command) => return verbs::channel(command, global).await,
        Command::Sync(command) => return verbs::sync(command, global).await,
        Command::Messages(command) => return verbs::messages(command, global).await,
        Command::Media(command) => return verbs::media(command, global).await,
        Command::Limit(command) => verbs::limit(command, global).await?,
        Command::Plan(plan) => verbs::plan(plan, global).await?,
        Command::Providers(wanted) => verbs::providers(&wanted, global)?,
        Command::Scaling => verbs::scaling(global).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(global: &Global) -> Result<Config, config::Refused> {
    Config::load(global.config.as_deref(), &config::process_environment())
}

/// The configuration of a command that logs: logging runs when this returns.
fn server_config(global: &Global) -> anyhow::Result<Config> {
    let config = load(global)?;
    telemetry::start(&config.log, config.log_format)?;
    #[cfg(debug_assertions)]
    drill::start(&config::process_environment())?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(config)
}
