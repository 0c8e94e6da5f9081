//! What can go wrong with webhooks on purpose: on their way, and with the requests they are the answer to.
//!
//! As with calls, a [`HookRule`] joins a [`HookFault`] with a [`When`], and the first rule that strikes wins. Faults of
//! requests are asked once for each request for history that the gateway accepts, the others once for each event.

mod compact;

use std::collections::HashMap;

use anyhow::{Result, ensure};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::{
    dice::{self, Purpose},
    faults::When,
    guarded::Guarded,
};

/// One way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFault {
    /// Never sent.
    Lost,
    /// Sent twice.
    Duplicated,
    /// Sent behind the one that follows it.
    Reordered,
    /// Sent so much later, while the others go on.
    Delayed {
        /// How much, in milliseconds. The scale of times does not change it.
        ms: u64,
    },
    /// All that waits in the channel's queue is gone, this one included.
    QueueDropped,
    /// The body names another number, which no channel has.
    WrongNumber,
    /// Half of the body, with a signature that fits it.
    Garbled,
    /// Without its signature.
    Unsigned,
    /// With the signature of another key.
    WronglySigned,
    /// The session goes instead, and all that waits with it; what the provider says of that comes.
    SessionLost,
    /// A request: accepted, and nothing ever comes.
    Silent,
    /// A request: the owner does not share. Where no provider has a word for it, nothing comes.
    Declined,
    /// A request: refused as if it had been made before, where the provider takes one only.
    AlreadyRequested,
    /// A request: all but the last event of its answer comes.
    LastMissing,
}

impl HookFault {
    /// Whether it is about a request rather than one event.
    #[must_use]
    pub fn is_of_request(self) -> bool {
        matches!(self, Self::Silent | Self::Declined | Self::AlreadyRequested | Self::LastMissing)
    }
}

/// A fault, when it strikes, and what it is limited to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRule {
    /// What happens.
    pub fault: HookFault,
    /// To which of the events or requests; the first of each means of each kind of event.
    pub when: When,
    /// Only to events of this name, and to requests that are answered with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only to those of this channel, by its position among the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
}

impl HookRule {
    /// A rule for all channels and events.
    #[must_use]
    pub fn new(fault: HookFault, when: When) -> Self {
        Self { fault, when, event: None, channel: None }
    }

    /// Limits the rule to one kind of event.
    #[must_use]
    pub fn on_event(self, event: &str) -> Self {
        Self { event: Some(event.to_owned()), ..self }
    }

    /// Limits the rule to one channel.
    #[must_use]
    pub fn on_channel(self, channel: usize) -> Self {
        Self { channel: Some(channel), ..self }
    }

    fn is_about(&self, channel: usize, event: &str) -> bool {
        self.event.as_deref().is_none_or(|wanted| wanted == event)
            && self.channel.is_none_or(|wanted| wanted == channel)
    }
}

/// All that goes wrong. Without rules, nothing does. Written short: see [`HookFaults::from_str`](#impl-FromStr-for-HookFaults).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookFaults {
    /// Decides which events a share strikes.
    pub seed: u64,
    /// Asked in this order.
    pub rules: Vec<HookRule>,
}

impl HookFaults {
    pub(crate) fn check(&self) -> Result<()> {
        for rule in &self.rules {
            if let When::Share(share) = rule.when {
                ensure!((0.0..=1.0).contains(&share), "a share must be between 0 and 1, not {share}");
            }
        }
        Ok(())
    }
}

impl From<HookRule> for HookFaults {
    fn from(rule: HookRule) -> Self {
        Self { seed: 0, rules: vec![rule] }
    }
}

/// The faults in force and how often each rule struck.
#[derive(Debug)]
pub(crate) struct HookSwitchboard(Guarded<InForce>);

#[derive(Debug)]
struct InForce {
    faults: HookFaults,
    struck: Vec<u64>,
    struck_each: HashMap<(usize, String), u64>,
    requests: u64,
}

impl HookSwitchboard {
    pub(crate) fn new(faults: HookFaults) -> Self {
        Self(Guarded::new(InForce::new(faults)))
    }

    /// Replaces all rules; counters start again.
    pub(crate) fn set(&self, faults: HookFaults) {
        self.0.with(|in_force| *in_force = InForce::new(faults));
    }

    pub(crate) fn current(&self) -> HookFaults {
        self.0.with(|in_force| in_force.faults.clone())
    }

    /// The fault that strikes this event.
    pub(crate) fn of_event(&self, channel: usize, event: &str, number: u64) -> Option<HookFault> {
        self.0.with(|in_force| in_force.choose(false, channel, event, number))
    }

    /// The fault that strikes a request that such events are the answer to.
    pub(crate) fn of_request(&self, channel: usize, event: &str) -> Option<HookFault> {
        self.0.with(|in_force| {
            in_force.requests += 1;
            in_force.choose(true, channel, event, in_force.requests)
        })
    }
}

impl InForce {
    fn new(faults: HookFaults) -> Self {
        Self { struck: vec![0; faults.rules.len()], struck_each: HashMap::new(), faults, requests: 0 }
    }

    fn choose(&mut self, request: bool, channel: usize, event: &str, number: u64) -> Option<HookFault> {
        (0..self.faults.rules.len()).find_map(|index| {
            let rule = &self.faults.rules[index];
            let (fault, when) = (rule.fault, rule.when);
            let meant = fault.is_of_request() == request && rule.is_about(channel, event);
            (meant && self.strikes(index, when, event, number)).then_some(fault)
        })
    }

    fn strikes(&mut self, rule: usize, when: When, event: &str, number: u64) -> bool {
        let (count, most) = match when {
            When::Always => return true,
            When::Share(share) => {
                return dice::roll(self.faults.seed, Purpose::HookFault, number, rule as u64).random_bool(share);
            }
            When::Next(most) => (&mut self.struck[rule], most),
            When::FirstOfEach(most) => (self.struck_each.entry((rule, event.to_owned())).or_default(), most),
        };
        let strikes = *count < most;
        *count += u64::from(strikes);
        strikes
    }
}
