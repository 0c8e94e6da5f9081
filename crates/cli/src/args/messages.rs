//! `sincro messages ...`

use clap::{Args, Subcommand};
use sincro_core::{address::Address, channel::ChannelId};

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum Messages {
    /// What was stored for a channel, in time order
    #[command(after_help = "\
Example:
  sincro messages list CHANNEL --address 5511988887777@s.whatsapp.net --limit 20")]
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelId,
    /// Only this person's, under both addresses: a phone JID or a LID
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<Address>,
    #[command(flatten)]
    pub page: Paging,
}
