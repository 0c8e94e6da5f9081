//! What a simulator is started with. Everything but the port can be changed while it runs.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    contract::Provider,
    faults::Faults,
    gdbrns,
    hooks::{HookFaults, Pace},
    people::Population,
    positus,
    rate::Limit,
    session::Outage,
    whapi::{Readings, Restoring},
    wsapi, wuzapi,
};

/// How to start a [`Simulator`](crate::Simulator).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whose contract the channels speak.
    pub provider: Provider,
    /// How the open points of Whapi's contract are decided; nothing to the others.
    pub whapi: Readings,
    /// How Whapi restores single messages.
    pub whapi_restoring: Restoring,
    /// The same of WuzAPI's.
    pub wuzapi: wuzapi::Readings,
    /// The same of Positus'.
    pub positus: positus::Readings,
    /// The same of WSAPI's.
    pub wsapi: wsapi::Readings,
    /// The same of gdbrns'.
    pub gdbrns: gdbrns::Readings,
    /// The loopback port; 0 takes a free one.
    pub port: u16,
    /// One channel per token, each with people of its own; all share the server's limit, faults and latency.
    pub tokens: Vec<String>,
    /// Who each channel knows.
    pub population: Population,
    /// How many people the first channels know, one number for each, instead of the population's.
    pub contacts_per_channel: Vec<u32>,
    /// What goes wrong.
    pub faults: Faults,
    /// The server's own rate limit.
    pub limit: Option<Limit>,
    /// How long an answer takes.
    pub latency: Latency,
    /// Whether the channels keep history; without it, reading it is answered 501 where the provider says so.
    pub history: bool,
    /// A session loss of every channel.
    pub outage: Option<Outage>,
    /// How webhooks are sent.
    pub pace: Pace,
    /// What goes wrong with webhooks.
    pub hook_faults: HookFaults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            provider: Provider::default(),
            whapi: Readings::default(),
            whapi_restoring: Restoring::default(),
            wuzapi: wuzapi::Readings::default(),
            positus: positus::Readings::default(),
            wsapi: wsapi::Readings::default(),
            gdbrns: gdbrns::Readings::default(),
            port: 0,
            tokens: vec!["simulated-token".to_owned()],
            population: Population::default(),
            contacts_per_channel: Vec::new(),
            faults: Faults::default(),
            limit: None,
            latency: Latency::default(),
            history: true,
            outage: None,
            pace: Pace::default(),
            hook_faults: HookFaults::default(),
        }
    }
}

impl Settings {
    /// As many channels as there are numbers, each with so many people. The token of channel `k` is `simulated-token-k`.
    #[must_use]
    pub fn fleet(contacts_per_channel: impl Into<Vec<u32>>) -> Self {
        let contacts_per_channel = contacts_per_channel.into();
        let tokens = (0..contacts_per_channel.len()).map(|number| format!("simulated-token-{number}")).collect();
        Self { tokens, contacts_per_channel, ..Self::default() }
    }

    /// The people of one channel.
    pub(crate) fn population_of(&self, channel: usize) -> Population {
        let contacts = self.contacts_per_channel.get(channel).copied().unwrap_or(self.population.contacts);
        Population { contacts, ..self.population.clone() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        ensure!(!self.tokens.is_empty(), "tokens must name at least one channel");
        let distinct: std::collections::BTreeSet<&String> = self.tokens.iter().collect();
        let usable = distinct.len() == self.tokens.len() && !self.tokens.iter().any(String::is_empty);
        ensure!(usable, "tokens must differ and not be empty");
        ensure!(self.contacts_per_channel.len() <= self.tokens.len(), "contacts_per_channel must not outnumber tokens");
        for channel in 0..self.tokens.len() {
            self.population_of(channel).check().context("population")?;
        }
        self.whapi.check().context("whapi")?;
        self.positus.check().context("positus")?;
        self.faults.check().context("faults")?;
        self.hook_faults.check().context("hook_faults")?;
        self.pace.check()?;
        self.limit.map_or(Ok(()), Limit::check)
    }
}

/// How long every answer takes, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Always.
    pub fixed_ms: u64,
    /// Up to this much more, drawn from the seed for each call.
    pub jitter_ms: u64,
}
