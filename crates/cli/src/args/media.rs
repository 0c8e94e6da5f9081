//! `sincro media ...`.

use clap::{Args, Subcommand};
use sincro_core::channel::ChannelId;

#[derive(Debug, Subcommand)]
pub(crate) enum Media {
    /// Fetch the files of messages that are stored, the newest first
    #[command(after_help = "\
Needs a place for files (the setting media_target). What became of each file is shown with its message.

Examples:
  sincro media fetch CHANNEL --watch
  sincro media fetch CHANNEL --limit 10000")]
    Fetch(Fetch),
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelId,
    /// The files of so many messages, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: u32,
    /// Start at most one under this key, however often it is asked for
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Follow it to its end, as `sincro sync watch` does
    #[arg(long)]
    pub watch: bool,
}
