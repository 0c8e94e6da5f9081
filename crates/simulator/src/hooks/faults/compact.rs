//! The short way to write faults of webhooks: `lost@history=0.1,delayed:50=x2,silent#1=all`.
//!
//! Read like those of calls; behind the at sign stands the name of an event.

use std::str::FromStr;

use super::{HookFault, HookFaults, HookRule};
use crate::faults::{NotFaults, Part, number};

/// Name, and what it is without an argument.
const NAMES: [(&str, HookFault); 13] = [
    ("lost", HookFault::Lost),
    ("duplicated", HookFault::Duplicated),
    ("reordered", HookFault::Reordered),
    ("queue-dropped", HookFault::QueueDropped),
    ("wrong-number", HookFault::WrongNumber),
    ("garbled", HookFault::Garbled),
    ("unsigned", HookFault::Unsigned),
    ("wrongly-signed", HookFault::WronglySigned),
    ("session-lost", HookFault::SessionLost),
    ("silent", HookFault::Silent),
    ("declined", HookFault::Declined),
    ("already-requested", HookFault::AlreadyRequested),
    ("last-missing", HookFault::LastMissing),
];

impl HookFault {
    /// The compact name, as the log of deliveries notes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, fault)| *fault == self).map_or("delayed", |(name, _)| name)
    }

    fn parse(name: &str, argument: Option<&str>) -> Result<Self, NotFaults> {
        match (name, argument) {
            ("delayed", Some(ms)) => Ok(Self::Delayed { ms: number(ms)? }),
            ("delayed", None) => Err(NotFaults::new("delayed needs its milliseconds after a colon, like delayed:50")),
            (name, None) => NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault).ok_or_else(|| {
                let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                NotFaults::new(format!("no fault of webhooks is called {name:?}; known are delayed:ms, {known}"))
            }),
            (name, Some(argument)) => {
                Err(NotFaults::new(format!("{name} takes nothing after a colon, but {argument:?} is there")))
            }
        }
    }
}

impl FromStr for HookFaults {
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

fn parse_rule(part: &str) -> Result<HookRule, NotFaults> {
    let Part { name, argument, channel, target, when } = Part::parse(part)?;
    Ok(HookRule { fault: HookFault::parse(name, argument)?, when, event: target.map(str::to_owned), channel })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::When;

    #[test]
    fn faults_are_read_and_named() {
        let faults: HookFaults = "seed=3, lost@history=0.1,delayed:50#1=x2,silent=all".parse().unwrap();
        let rules = vec![
            HookRule::new(HookFault::Lost, When::Share(0.1)).on_event("history"),
            HookRule::new(HookFault::Delayed { ms: 50 }, When::Next(2)).on_channel(1),
            HookRule::new(HookFault::Silent, When::Always),
        ];
        assert_eq!(faults, HookFaults { seed: 3, rules });
        assert_eq!((HookFault::Lost.name(), HookFault::Delayed { ms: 1 }.name()), ("lost", "delayed"));
        for wrong in ["lost", "lost:3=all", "delayed=all", "vanished=all", "lost=2"] {
            assert!(wrong.parse::<HookFaults>().is_err(), "{wrong}");
        }
    }
}
