//! `sincro limit ...`

use clap::{Args, Subcommand};
use sincro_core::limit::Match;

#[derive(Debug, Subcommand)]
pub(crate) enum Limit {
    /// The rules, and what holds for each provider server now
    List,
    /// Make a rule, or change one: what is not given stays
    #[command(after_help = "\
MATCH is what the rule is about:
  wuzapi/*              each server of that provider, for itself
  wuzapi/host:8080      one server; leave out port 80 of http and 443 of https
  CHANNEL               one channel, by its id

Examples:
  sincro limit set 'wuzapi/*' --rate 50
  sincro limit set whapi/gate.whapi.cloud --rate 0.333 --per-day 500
  sincro limit set whapi/gate.whapi.cloud --per-day none")]
    Set(Set),
    /// Take a rule away
    Remove(Remove),
    /// Replace all rules by those of a file
    #[command(after_help = "\
The file holds JSON as `sincro limit list --json` prints it: {\"rules\": [{\"match\", \"rate_per_second\", ...}]}.

Example:
  sincro limit list --json > limits.json; $EDITOR limits.json; sincro limit apply limits.json")]
    Apply(Apply),
    /// Who changed which limit, newest first
    History(History),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// What the rule is about
    #[arg(value_name = "MATCH")]
    pub matches: Match,
    /// Gateway calls per second, over all workers; a new rule needs it
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Most calls in any 60 seconds, or none
    #[arg(long, value_name = "N|none", value_parser = cap)]
    pub per_minute: Option<Cap>,
    /// Most calls in any 60 minutes, or none
    #[arg(long, value_name = "N|none", value_parser = cap)]
    pub per_hour: Option<Cap>,
    /// Most calls in any 24 hours, or none
    #[arg(long, value_name = "N|none", value_parser = cap)]
    pub per_day: Option<Cap>,
    /// Calls at once after a quiet time
    #[arg(long, value_name = "N")]
    pub burst: Option<u32>,
    /// Calls under way at once, over all workers
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// The share when there is not enough for all
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
}

/// A number of calls, or no such cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cap(pub Option<u32>);

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// What the rule is about
    #[arg(value_name = "MATCH")]
    pub matches: Match,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A JSON file, or - to read it from stdin
    #[arg(value_name = "FILE")]
    pub file: String,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Go on with those before this; the end of a longer list says what to give here
    #[arg(long, value_name = "ID")]
    pub before: Option<i64>,
    /// How many at most
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

fn cap(text: &str) -> Result<Cap, String> {
    if text == "none" {
        return Ok(Cap(None));
    }
    text.parse().map(|calls| Cap(Some(calls))).map_err(|_| "must be a number of calls, or none".to_owned())
}
