//! `sincro messages ...`, or `sincro message ...`.

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
    /// Have one message sent once more by the phone, and look for it
    #[command(after_help = "\
For providers that can do that (whapi). That it does not come back is no failure.

Example:
  sincro message resync CHANNEL PsqXn.SOAjx-xQA --watch")]
    Resync(Resync),
}

#[derive(Debug, Args)]
pub(crate) struct Resync {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelId,
    /// The provider's id of the message
    #[arg(value_name = "MESSAGE")]
    pub message: String,
    /// Start at most one under this key, however often it is asked for
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Follow it to its end, as `sincro sync watch` does
    #[arg(long)]
    pub watch: bool,
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
