//! The command line: what can be typed, and what `--help` says about it. What it means is decided elsewhere.
#![expect(clippy::doc_markdown, reason = "these comments are the text of --help, where backticks would show")]

pub(crate) mod channel;
pub(crate) mod limit;
pub(crate) mod media;
pub(crate) mod messages;
pub(crate) mod sync;

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use sincro_core::channel::ChannelId;
use url::Url;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    the API refused the request
  4    the API cannot be reached, or failed itself
  5    the watched sync ended with failures, failed, or was cancelled
  130  ended by Ctrl-C (143: by SIGTERM)

Settings of the servers: --config FILE and SINCRO_* variables; DATABASE_URL and REDIS_URL are honoured.";

const EXAMPLES: &str = "\
Examples:
  sincro demo                                   all of it at work, with nothing to set up
  sincro migrate && sincro all                  API and worker in one process
  sincro key create --name crm --scope enqueue  a key for a backend
  sincro plan CHANNEL                           how long a sync would take, and how many workers
  sincro sync start CHANNEL --watch             sync a channel under a progress bar";

/// Copies the message history of WhatsApp channels into Postgres, and finishes.
#[derive(Debug, Parser)]
#[command(
    name = "sincro",
    version,
    arg_required_else_help = true,
    after_help = EXIT_CODES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print one JSON document on stdout and nothing else (`sync watch`: one JSON line per change)
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the API is, for the commands that talk to it
    #[arg(long, global = true, value_name = "URL", env = "SINCRO_API_URL", default_value = "http://127.0.0.1:8080", value_parser = http_url)]
    pub api_url: Url,
    /// The key to show to the API; better given in the environment than typed
    #[arg(long, global = true, value_name = "KEY", env = "SINCRO_API_KEY", hide_env_values = true, value_parser = secret)]
    pub api_key: Option<SecretString>,
    /// Settings of the servers, a TOML file
    #[arg(long, global = true, value_name = "FILE", env = "SINCRO_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the HTTP API
    Api,
    /// Run jobs; start as many of these as the limits of the channels keep busy
    Worker,
    /// Serve the API and run jobs, in one process
    All,
    /// API and worker on private servers, for trying it against a real gateway
    Dev(Dev),
    /// Bring the database up to date
    Migrate,
    /// Sync a simulated channel from end to end, with nothing to set up
    Demo(Demo),
    /// Check settings, servers and versions, and say what is wrong
    Doctor,
    /// Run a command with a private Postgres and Redis in DATABASE_URL and REDIS_URL
    #[command(after_help = "Example:\n  sincro services -- cargo test")]
    Services(Services),
    /// Connected numbers
    #[command(subcommand)]
    Channel(channel::Channel),
    /// Syncs: start, follow, steer, account for
    #[command(subcommand)]
    Sync(sync::Sync),
    /// How fast provider servers and channels may be called
    #[command(subcommand)]
    Limit(limit::Limit),
    /// What a sync of a channel would come to: jobs, duration, workers; starts nothing
    Plan(Plan),
    /// What each provider offers; asks nobody
    Providers(Providers),
    /// How many workers the limits keep busy now
    Scaling,
    /// Keys to the API
    #[command(subcommand)]
    Key(Key),
    /// Messages that were stored, and one that is missing
    #[command(subcommand, visible_alias = "message")]
    Messages(messages::Messages),
    /// Files of messages that are stored
    #[command(subcommand)]
    Media(media::Media),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Dev {
    /// Where the private servers keep their data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Run it twice: nothing is stored twice. Kill it half-way and run it again: it goes on where it was.

Examples:
  sincro demo
  sincro demo --contacts 50 --rate 10
  sincro demo --rate 500 --seed 7 --data-dir ./sincro-demo")]
pub(crate) struct Demo {
    /// People in the simulated channel; each has a phone JID and a LID, so twice as many jobs
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub contacts: u32,
    /// Messages to ask for per address
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub messages: u32,
    /// Gateway calls per second
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = rate)]
    pub rate: f64,
    /// What goes wrong at the simulated gateway
    #[arg(long, value_name = "SPEC")]
    pub faults: Option<String>,
    /// Decides names, messages and faults: the same seed, the same channel
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Leave everything running after the receipt, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Where the private servers keep their data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Needs a key with scope enqueue. Neither the gateway is called nor anything recorded. How many contacts there are is known from
earlier syncs; before the first one the API takes a list (POST /v1/channels/CHANNEL/syncs/plan).

Example:
  sincro plan CHANNEL --messages 50")]
pub(crate) struct Plan {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelId,
    /// Messages to ask for per address, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub messages: u32,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Providers {
    /// As the table of the README
    #[arg(long)]
    pub markdown: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Services {
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is shown once, alone on the last line
    #[command(after_help = "\
Needs the database, not the API.

Examples:
  sincro key create --name crm --scope enqueue
  export SINCRO_API_KEY=$(sincro key create --name me --scope admin | tail -n 1)")]
    Create(KeyCreate),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeyCreate {
    /// Whom or what it is for
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
    /// What it may do; repeat it or separate by commas
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    pub scopes: Vec<Scope>,
}

/// What a key may do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scope {
    /// Look at everything but secrets
    Read,
    /// Ask for syncs and steer them
    Enqueue,
    /// Change channels and limits
    Admin,
}

/// Which part of a long list to show.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Paging {
    /// Go on after this; the end of a longer list says what to give here
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("{other}:// is neither http:// nor https://")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks for")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate <= 10_000.0);
    rate.ok_or_else(|| "must be more than 0 and at most 10000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound_and_every_command_has_help() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        assert!(help.contains("Exit codes:") && help.contains("130"), "{help}");
    }

    #[test]
    fn scopes_can_be_repeated_or_separated_by_commas() {
        for line in ["--scope read,admin", "--scope read --scope admin"] {
            let args = parse(&format!("sincro key create --name me {line}")).unwrap();
            let Command::Key(Key::Create(key)) = args.command else { panic!("another command") };
            assert_eq!(key.scopes, [Scope::Read, Scope::Admin]);
        }
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let args = parse("sincro channel list --json --api-url https://sincro.example.org").unwrap();
        assert!(args.global.json);
        assert_eq!(args.global.api_url.as_str(), "https://sincro.example.org/");
    }

    #[test]
    fn what_follows_the_dashes_belongs_to_the_command_that_is_run() {
        let args = parse("sincro services -- cargo test --json").unwrap();
        let Command::Services(services) = args.command else { panic!("another command") };
        assert_eq!(services.command, ["cargo", "test", "--json"]);
        assert!(!args.global.json);
    }

    #[test]
    fn nonsense_is_refused_with_the_exit_code_for_usage() {
        for line in [
            "sincro demo --contacts 0",
            "sincro demo --messages 101",
            "sincro demo --rate -1",
            "sincro key create --name me",
            "sincro key create --name me --scope root",
            "sincro channel list --api-url ftp://example.org",
            "sincro sync show not-an-id",
            "sincro sync start 01890a5d-ac96-774b-bcce-b302099a8057 --contact 120363000000000000@g.us",
            "sincro services",
            "sincro plan",
            "sincro limit set 'wuzapi --rate 1",
            "sincro limit set wuzapi/* --per-day some",
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
    }

    #[test]
    fn the_api_key_is_not_in_debug_output() {
        let args = parse("sincro channel list --api-key hunter2").unwrap();
        assert!(!format!("{args:?}").contains("hunter2"));
    }
}
