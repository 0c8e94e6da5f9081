//! The short way to write faults, for a command line: `429:5@/chat/history=0.02,500=x3,hang=each1`.
//!
//! Each part reads `name[:argument][#channel][@path or address]=how often`; a channel is its position among the tokens, from
//! 0; how often is a share (`0.02`), `all`, `x3` (the next three) or `each3` (the first three of each address). A part
//! `seed=7` sets the seed. Parsing says what is wrong; it does not judge sense.

use std::{fmt, str::FromStr};

use super::{Fault, Faults, Rule, When};

/// Name, what may follow a colon, and what it does.
const NAMES: [(&str, &str, &str); 20] = [
    ("429", ":seconds", "too many requests, with Retry-After if seconds are given"),
    ("503", ":seconds", "unavailable behind a proxy, with Retry-After if seconds are given"),
    ("402", "", "plan or trial used up"),
    ("500", "", "server error"),
    ("overlimit", "", "WhatsApp is asked too much"),
    ("banned", "", "number banned"),
    ("401", "", "token refused"),
    ("501", "", "history disabled"),
    ("302", ":address", "redirect"),
    ("no-session", "", "session gone for the call"),
    ("hang", "", "no answer"),
    ("lost-answer", "", "connection broken before the answer to what was done"),
    ("cut", "", "connection broken inside the body"),
    ("truncated", "", "JSON that ends in the middle"),
    ("huge", ":megabytes", "a very long body, endless without megabytes"),
    ("announced", ":megabytes", "a long body whose length is told beforehand"),
    ("bomb", ":megabytes", "a long body that is short while it is packed"),
    ("trickle", "", "a body without end, a byte at a time"),
    ("garbage", "", "an HTML page"),
    ("shape", "", "a string for data"),
];

/// Why a text is not a list of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFaults(String);

impl NotFaults {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for NotFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFaults {}

impl Fault {
    /// The compact name, as the call log notes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooManyRequests { .. } => "429",
            Self::Unavailable { .. } => "503",
            Self::PaymentRequired => "402",
            Self::Overlimit => "overlimit",
            Self::Banned => "banned",
            Self::ServerError => "500",
            Self::Unauthorized => "401",
            Self::HistoryDisabled => "501",
            Self::Redirect { .. } => "302",
            Self::NoSession => "no-session",
            Self::Hang => "hang",
            Self::LostAnswer => "lost-answer",
            Self::CutConnection => "cut",
            Self::TruncatedJson => "truncated",
            Self::HugeBody { .. } => "huge",
            Self::AnnouncedBody { .. } => "announced",
            Self::Bomb { .. } => "bomb",
            Self::Trickle => "trickle",
            Self::Garbage => "garbage",
            Self::WrongShape => "shape",
        }
    }

    fn parse(name: &str, argument: Option<&str>) -> Result<Self, NotFaults> {
        let fault = match (name, argument) {
            ("429", seconds) => Self::TooManyRequests { retry_after_s: seconds.map(number).transpose()? },
            ("503", seconds) => Self::Unavailable { retry_after_s: seconds.map(number).transpose()? },
            ("overlimit", None) => Self::Overlimit,
            ("banned", None) => Self::Banned,
            ("302", location) => Self::Redirect { location: location.map(str::to_owned) },
            ("huge", megabytes) => Self::HugeBody { megabytes: megabytes.map(number).transpose()? },
            ("announced", Some(megabytes)) => Self::AnnouncedBody { megabytes: number(megabytes)? },
            ("bomb", Some(megabytes)) => Self::Bomb { megabytes: number(megabytes)? },
            ("announced" | "bomb", None) => {
                return Err(NotFaults(format!("{name} needs its megabytes after a colon, like {name}:64")));
            }
            ("trickle", None) => Self::Trickle,
            ("402", None) => Self::PaymentRequired,
            ("500", None) => Self::ServerError,
            ("401", None) => Self::Unauthorized,
            ("501", None) => Self::HistoryDisabled,
            ("no-session", None) => Self::NoSession,
            ("hang", None) => Self::Hang,
            ("lost-answer", None) => Self::LostAnswer,
            ("cut", None) => Self::CutConnection,
            ("truncated", None) => Self::TruncatedJson,
            ("garbage", None) => Self::Garbage,
            ("shape", None) => Self::WrongShape,
            (known, Some(argument)) if NAMES.iter().any(|(name, ..)| *name == known) => {
                return Err(NotFaults(format!("{known} takes nothing after a colon, but {argument:?} is there")));
            }
            (unknown, _) => {
                let known: Vec<String> =
                    NAMES.iter().map(|(name, argument, does)| format!("{name}{argument} ({does})")).collect();
                return Err(NotFaults(format!("no fault is called {unknown:?}; known are {}", known.join(", "))));
            }
        };
        Ok(fault)
    }
}

impl FromStr for Faults {
    type Err = NotFaults;

    /// Reads the compact form; an empty text means no faults.
    fn from_str(text: &str) -> Result<Self, NotFaults> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.strip_prefix("seed=") {
                Some(seed) => faults.seed = number(seed)?,
                None => faults.rules.push(parse_rule(part)?),
            }
        }
        Ok(faults)
    }
}

fn parse_rule(part: &str) -> Result<Rule, NotFaults> {
    let Part { name, argument, channel, target, when } = Part::parse(part)?;
    let target = target.map(str::to_owned);
    let (path, address) = match target {
        Some(target) if target.starts_with('/') => (Some(target), None),
        target => (None, target),
    };
    Ok(Rule { fault: Fault::parse(name, argument)?, when, path, address, channel })
}

/// One part of a list of faults, before it is known what its name means.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    pub(crate) argument: Option<&'a str>,
    pub(crate) channel: Option<usize>,
    /// What stands behind the at sign.
    pub(crate) target: Option<&'a str>,
    pub(crate) when: When,
}

impl<'a> Part<'a> {
    pub(crate) fn parse(part: &'a str) -> Result<Self, NotFaults> {
        let (what, how_often) = part.rsplit_once('=').ok_or_else(|| {
            NotFaults(format!("{part:?} does not say how often; write it like 500=0.01, 500=x3 or 500=all"))
        })?;
        let (named, target) = what.split_once('@').map_or((what, None), |(named, target)| (named, Some(target)));
        let (named, channel) = match named.rsplit_once('#') {
            // Where a redirect leads may hold the sign too.
            Some((named, channel)) if channel.parse::<usize>().is_ok() => (named, Some(number(channel)?)),
            _ => (named, None),
        };
        let (name, argument) = named.split_once(':').map_or((named, None), |(name, argument)| (name, Some(argument)));
        Ok(Self { name: name.trim(), argument, channel, target, when: parse_when(how_often.trim())? })
    }
}

fn parse_when(how_often: &str) -> Result<When, NotFaults> {
    if how_often == "all" {
        return Ok(When::Always);
    }
    if let Some(most) = how_often.strip_prefix("each") {
        return Ok(When::FirstOfEach(number(most)?));
    }
    if let Some(most) = how_often.strip_prefix('x') {
        return Ok(When::Next(number(most)?));
    }
    match how_often.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(When::Share(share)),
        _ => Err(NotFaults(format!("{how_often:?} is not a share between 0 and 1, x<calls>, each<calls> or all"))),
    }
}

/// A whole number, or the text that is none.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, NotFaults> {
    text.parse().map_err(|_| NotFaults(format!("{text:?} is not a whole number")))
}
