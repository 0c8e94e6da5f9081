//! What can go wrong on purpose, when, and for whom.
//!
//! A [`Rule`] joins a [`Fault`] with a [`When`] and, if wanted, a channel, a path and an address. The first rule that
//! strikes wins. Whether a share strikes follows from the seed and the number of the call. How a fault looks to the caller
//! is decided in `transport` where every gateway would look alike, and in the provider's folder where it has words of its
//! own.

mod compact;
pub(crate) mod transport;

pub use compact::NotFaults;
pub(crate) use compact::{Part, number};

use std::collections::HashMap;

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    call_log::Arrival,
    dice::{self, Purpose},
    guarded::Guarded,
};

/// One way to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429 with the gateway's error envelope.
    TooManyRequests {
        /// Seconds in the `Retry-After` header; no header without.
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// 402 with the text of a plan or a trial that is used up. Strikes only where the provider says that.
    PaymentRequired,
    /// 503 with the page of something in front of the gateway.
    Unavailable {
        /// Seconds in the `Retry-After` header; no header without.
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// 500 with the text of a WhatsApp that is asked too much.
    Overlimit,
    /// 500 with the text of a banned number.
    Banned,
    /// 500 with the gateway's error envelope.
    ServerError,
    /// The session is gone for this call. Strikes only calls that look at the session.
    NoSession,
    /// No answer until the caller gives up or the simulator stops.
    Hang,
    /// The call does what it does, and the connection breaks before anything of the answer is sent.
    LostAnswer,
    /// 200, half of the true body under its full `Content-Length`, then the connection breaks.
    CutConnection,
    /// 200, a complete answer whose JSON ends in the middle.
    TruncatedJson,
    /// 200 and a very long JSON array.
    HugeBody {
        /// How long; endless without.
        #[serde(default)]
        megabytes: Option<u32>,
    },
    /// 200 and a long JSON array whose length is told beforehand.
    AnnouncedBody {
        /// How long.
        megabytes: u32,
    },
    /// 200 and a JSON array that is short while it is packed.
    Bomb {
        /// How long it is unpacked.
        megabytes: u32,
    },
    /// 200 and an answer that goes on for ever, a byte at a time.
    Trickle,
    /// 200 and an HTML page.
    Garbage,
    /// 200 and the envelope with a string for `data`.
    WrongShape,
    /// 401 although the token is right.
    Unauthorized,
    /// 501 as from a channel that keeps no history. Strikes only history reads.
    HistoryDisabled,
    /// 302 to another place.
    Redirect {
        /// Where to; an address that cannot exist without.
        #[serde(default)]
        location: Option<String>,
    },
}

/// Which of the calls a rule is about it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every one.
    Always,
    /// This share of them, between 0 and 1.
    Share(f64),
    /// The next so many.
    Next(u64),
    /// The first so many of each address.
    FirstOfEach(u64),
}

/// A fault, when it strikes, and what it is limited to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// To which of the calls.
    pub when: When,
    /// Only to calls of this path, written as in the call log (`/user/lid/{jid}`), and of this method where it is named (`POST /webhook`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only to calls for this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Only to calls of this channel, by its position among the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
}

impl Rule {
    /// A rule for all channels, paths and addresses.
    #[must_use]
    pub fn new(fault: Fault, when: When) -> Self {
        Self { fault, when, path: None, address: None, channel: None }
    }

    /// Limits the rule to one path.
    #[must_use]
    pub fn on_path(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// Limits the rule to one address.
    #[must_use]
    pub fn on_address(self, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..self }
    }

    /// Limits the rule to one channel.
    #[must_use]
    pub fn on_channel(self, channel: usize) -> Self {
        Self { channel: Some(channel), ..self }
    }

    fn is_about(&self, arrival: &Arrival) -> bool {
        let is_it = |path: &str| match path.split_once(' ') {
            Some((method, path)) => method == arrival.method && path == arrival.path,
            None => path == arrival.path,
        };
        self.path.as_deref().is_none_or(is_it)
            && self.address.as_deref().is_none_or(|address| Some(address) == arrival.address.as_deref())
            && self.channel.is_none_or(|channel| Some(channel) == arrival.channel)
    }
}

/// All that goes wrong. Without rules, nothing does. Written short: see [`Faults::from_str`](#impl-FromStr-for-Faults).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Decides which calls a share strikes.
    pub seed: u64,
    /// Asked in this order.
    pub rules: Vec<Rule>,
}

impl Faults {
    pub(crate) fn check(&self) -> Result<()> {
        for rule in &self.rules {
            if let When::Share(share) = rule.when {
                ensure!((0.0..=1.0).contains(&share), "a share must be between 0 and 1, not {share}");
            }
        }
        Ok(())
    }
}

impl From<Rule> for Faults {
    fn from(rule: Rule) -> Self {
        Self { seed: 0, rules: vec![rule] }
    }
}

/// The faults in force and how often each rule struck.
#[derive(Debug)]
pub(crate) struct Switchboard(Guarded<InForce>);

#[derive(Debug)]
struct InForce {
    faults: Faults,
    struck: Vec<u64>,
    struck_each: HashMap<(usize, String), u64>,
}

impl Switchboard {
    pub(crate) fn new(faults: Faults) -> Self {
        Self(Guarded::new(InForce::new(faults)))
    }

    /// Replaces all rules; counters start again.
    pub(crate) fn set(&self, faults: Faults) {
        self.0.with(|in_force| *in_force = InForce::new(faults));
    }

    /// Adds a rule behind the others, whose counters go on.
    pub(crate) fn add(&self, rule: Rule) {
        self.0.with(|in_force| {
            in_force.faults.rules.push(rule);
            in_force.struck.push(0);
        });
    }

    pub(crate) fn current(&self) -> Faults {
        self.0.with(|in_force| in_force.faults.clone())
    }

    /// The fault that strikes this call. `concerns` says whether a fault can be told to it at all.
    pub(crate) fn choose(&self, call: u64, arrival: &Arrival, concerns: impl Fn(&Fault) -> bool) -> Option<Fault> {
        self.0.with(|in_force| {
            (0..in_force.faults.rules.len()).find_map(|number| {
                let rule = in_force.faults.rules[number].clone();
                let meant = concerns(&rule.fault) && rule.is_about(arrival);
                (meant && in_force.strikes(number, rule.when, call, arrival)).then_some(rule.fault)
            })
        })
    }
}

impl InForce {
    fn new(faults: Faults) -> Self {
        Self { struck: vec![0; faults.rules.len()], struck_each: HashMap::new(), faults }
    }

    fn strikes(&mut self, rule: usize, when: When, call: u64, arrival: &Arrival) -> bool {
        let (count, most) = match when {
            When::Always => return true,
            When::Share(share) => {
                return dice::roll(self.faults.seed, Purpose::Fault, call, rule as u64).random_bool(share);
            }
            When::Next(most) => (&mut self.struck[rule], most),
            When::FirstOfEach(most) => {
                let Some(address) = arrival.address.clone() else { return false };
                (self.struck_each.entry((rule, address)).or_default(), most)
            }
        };
        let strikes = *count < most;
        *count += u64::from(strikes);
        strikes
    }
}
