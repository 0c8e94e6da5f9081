//! `sincro channel ...`

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use sincro_core::{
    channel::{ChannelId, Feature},
    provider::Provider,
};
use url::Url;

use super::{Paging, http_url};

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// All channels
    List(Paging),
    /// One channel: state, limit, why it rests
    Show(Named),
    /// Connect a number at a gateway
    #[command(after_help = "\
Credentials by provider:
  wuzapi   {\"token\", \"hmac_key\"?, \"instance\"?}
  positus  {\"access_token\", \"number_id\", \"phone_number_id\"?, \"app_secret\"?, \"verify_token\"?}
  wsapi    {\"api_key\", \"instance_id\", \"signing_secret\"?}
  whapi    {\"token\", \"hook_key\"?, \"channel_id\"?}
  gdbrns   {\"token\", \"webhook_secret\"?}

Example:
  sincro channel create --name support --provider wuzapi --base-url http://wuzapi:8080 \\
      --credentials @credentials.json --feature import_messages --rate 20 --concurrency 8")]
    Create(Create),
    /// Look whether the channel is set up: credentials, session, history, webhooks, clocks; says how to mend what is not
    #[command(after_help = "\
A worker looks, with one call to the gateway or two, and changes nothing. Exit code 1: something does not work.")]
    Check(Named),
    /// Have the gateway send the channel's webhooks here, where it has a call for that
    #[command(after_help = "\
Where our address is not registered for what is needed, it is registered; then the channel is checked. Other receivers
stay. A gateway with room for one receiver (wuzapi) forgets the other one: only with --replace. A secret that the
gateway makes for its signatures (gdbrns) goes into the channel's credentials.")]
    Connect(Connect),
    /// Change a channel; what is not given stays
    Update(Update),
    /// Stop the channel's jobs until somebody resumes it
    Pause(Pause),
    /// Let the channel's jobs run again
    Resume(Named),
    /// Let a request for history be made once more that is made once
    #[command(after_help = "\
Some gateways can be asked for the history of a number once, or lose it by being asked. Such a request is never
repeated by itself. Without --yes this says what another one risks, and changes nothing.")]
    AllowHistory(AllowHistory),
    /// Remove a channel with its contacts, syncs and messages
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The channel's id
    #[arg(value_name = "CHANNEL")]
    pub id: ChannelId,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Your name for it
    #[arg(long)]
    pub name: String,
    /// The kind of gateway
    #[arg(long, value_parser = provider())]
    pub provider: Provider,
    /// The gateway's root, such as http://wuzapi:8080
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub base_url: Url,
    /// A JSON object, @FILE that holds one, or - to read it from stdin (keeps it out of the shell's history)
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub credentials: String,
    /// What the channel is entitled to; repeat it or separate by commas
    #[arg(long = "feature", value_name = "FEATURE", value_delimiter = ',', value_parser = feature())]
    pub features: Vec<Feature>,
    #[command(flatten)]
    pub limit: Limit,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    pub channel: Named,
    /// Your name for it
    #[arg(long)]
    pub name: Option<String>,
    /// The gateway's root
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub base_url: Option<Url>,
    /// New credentials: a JSON object, @FILE that holds one, or - to read it from stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub credentials: Option<String>,
    /// What the channel is entitled to from now on, all of it; repeat it or separate by commas
    #[arg(long = "feature", value_name = "FEATURE", value_delimiter = ',', value_parser = feature())]
    pub features: Vec<Feature>,
    /// Entitle the channel to nothing
    #[arg(long, conflicts_with = "features")]
    pub no_features: bool,
    #[command(flatten)]
    pub limit: Limit,
}

/// How fast the gateway may be called; what is not given stays, or is the API's default.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Gateway calls per second, over all workers
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Calls at once after a quiet time
    #[arg(long, value_name = "N")]
    pub burst: Option<u32>,
    /// Calls under way at once, over all workers
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub channel: Named,
    /// Why; shown wherever the channel's jobs are seen waiting
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub channel: Named,
    /// Yes, another receiver may be forgotten
    #[arg(long)]
    pub replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AllowHistory {
    #[command(flatten)]
    pub channel: Named,
    /// Yes, I know what it risks
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub channel: Named,
    /// Yes, remove what was stored for it as well
    #[arg(long, required = true)]
    pub yes: bool,
}

fn provider() -> impl clap::builder::TypedValueParser<Value = Provider> {
    PossibleValuesParser::new(Provider::ALL.iter().map(|known| known.as_str())).try_map(|word| word.parse::<Provider>())
}

fn feature() -> impl clap::builder::TypedValueParser<Value = Feature> {
    PossibleValuesParser::new(Feature::ALL.iter().map(|known| known.as_str())).try_map(|word| word.parse::<Feature>())
}
