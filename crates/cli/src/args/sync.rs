//! `sincro sync ...`

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use sincro_core::{
    address::Address,
    channel::ChannelId,
    job::JobState,
    sync::{SyncId, SyncState},
};

use super::Paging;

#[derive(Debug, Subcommand)]
pub(crate) enum Sync {
    /// Sync a whole channel, or one contact at once (a ticket sync)
    #[command(after_help = "\
Examples:
  sincro sync start CHANNEL --messages 25 --watch
  sincro sync start CHANNEL --contact 5511988887777@s.whatsapp.net --messages 50")]
    Start(Start),
    /// Syncs, newest first
    List(List),
    /// One sync: where it is, what it waits for
    Show(Named),
    /// Follow a sync to its end under a progress bar
    #[command(after_help = "\
The bar is drawn on stderr; where stderr is no terminal, a line appears every few seconds instead.
With --json every change is one line of JSON on stdout, the last one being the end of the sync.
The exit code is 0 if every job ended well, 5 if not. Ctrl-C ends the watching, not the sync.")]
    Watch(Named),
    /// Start nothing new of a sync until it is resumed
    Pause(Named),
    /// Go on with a paused sync
    Resume(Named),
    /// Stop a sync for good; what is stored stays
    Cancel(Named),
    /// Queue the failed jobs of a sync again
    Retry(Retry),
    /// What a sync brought, and what it did not and why
    #[command(after_help = "\
With --json: one page of the API's answer; go on with --after and its `next`.")]
    Receipt(Receipt),
    /// The jobs of a sync, one by one
    Jobs(Jobs),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The sync's id
    #[arg(value_name = "SYNC")]
    pub id: SyncId,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub channel: ChannelId,
    /// Only this person, ahead of everything else: a phone JID or a LID
    #[arg(long, value_name = "ADDRESS")]
    pub contact: Option<Address>,
    /// Messages to ask for per address, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 25)]
    pub messages: u32,
    /// Leave out messages that are older than so many days, 1 to 365
    #[arg(long, value_name = "DAYS")]
    pub window_days: Option<u16>,
    /// Have phones asked for older messages where the gateway holds too few; takes long
    #[arg(long)]
    pub deep: bool,
    /// Start at most one sync under this key, however often it is asked for
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Follow it to its end, as `sincro sync watch` does
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this channel's
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<ChannelId>,
    /// Only those in this state
    #[arg(long, value_parser = sync_state())]
    pub state: Option<SyncState>,
    #[command(flatten)]
    pub page: Paging,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub sync: Named,
    /// Follow it to its end, as `sincro sync watch` does
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Receipt {
    #[command(flatten)]
    pub sync: Named,
    /// Print a line for every address as well, not only the totals
    #[arg(long)]
    pub lines: bool,
    #[command(flatten)]
    pub page: Paging,
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub sync: Named,
    /// Only those in this state
    #[arg(long, value_parser = job_state())]
    pub state: Option<JobState>,
    #[command(flatten)]
    pub page: Paging,
}

fn sync_state() -> impl clap::builder::TypedValueParser<Value = SyncState> {
    PossibleValuesParser::new(SyncState::ALL.iter().map(|known| known.as_str()))
        .try_map(|word| word.parse::<SyncState>())
}

fn job_state() -> impl clap::builder::TypedValueParser<Value = JobState> {
    PossibleValuesParser::new(JobState::ALL.iter().map(|known| known.as_str())).try_map(|word| word.parse::<JobState>())
}
