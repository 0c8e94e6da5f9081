//! Reading what scripts tell of levels and channels (`shared/outlook.lua`).

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sincro_core::{
    channel::{Pause, PausedBy},
    limit::{Cooldown, Level, Period},
    waiting::WaitsFor,
};

use crate::{Error, view::LevelView};

/// What keeps a channel from being called for longer than a rate does.
pub(crate) fn read_blocked(outlook: &Fields, own: &LevelView) -> Result<Option<WaitsFor>, Error> {
    Ok(match outlook.pause()? {
        Some(pause) => Some(of_pause(pause)),
        None => own.resting(Level::Channel).or(used_up(outlook)?),
    })
}

/// A cap over an hour or a day that has no call left now.
fn used_up(outlook: &Fields) -> Result<Option<WaitsFor>, Error> {
    let period = match outlook.text(4) {
        Some("hour") => Period::Hour,
        Some("day") => Period::Day,
        _ => return Ok(None),
    };
    let level = outlook.optional::<Level>(5)?.unwrap_or(Level::Channel);
    Ok(Some(WaitsFor::Rate { level, per: Some(period) }))
}

fn of_pause(Pause { by, reason }: Pause) -> WaitsFor {
    match by {
        PausedBy::Session => WaitsFor::SessionLost { detail: reason },
        PausedBy::Operator | PausedBy::Gateway => WaitsFor::ChannelPaused { by, reason },
    }
}

/// A part of a script's answer: texts, of which the empty ones mean "none".
pub(crate) struct Fields(pub(crate) Vec<String>);

impl Fields {
    pub(crate) fn text(&self, i: usize) -> Option<&str> {
        self.0.get(i).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn optional<T: FromStr>(&self, i: usize) -> Result<Option<T>, Error> {
        let unreadable = |text: &str| Error::Unreadable(format!("field {i}: {text:?}"));
        self.text(i).map(|text| text.parse().map_err(|_| unreadable(text))).transpose()
    }

    pub(crate) fn number<T: FromStr>(&self, i: usize) -> Result<T, Error> {
        self.optional(i)?.ok_or_else(|| Error::Unreadable(format!("field {i} is missing")))
    }

    pub(crate) fn time(&self, i: usize) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.optional::<i64>(i)?.and_then(DateTime::from_timestamp_micros))
    }

    /// From `level_fields` of `shared/outlook.lua`.
    pub(crate) fn level(&self) -> Result<LevelView, Error> {
        let configured_rate = self.optional::<f64>(0)?;
        let pace = self.number::<f64>(1)? / 1e6;
        let sustained = self.optional::<f64>(9)?.unwrap_or(f64::INFINITY);
        let resting = self.number::<i64>(5)?;
        let reason = [self.text(6), self.text(7)].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let until = DateTime::from_timestamp_micros(resting).filter(|_| resting > 0);
        Ok(LevelView {
            configured_rate,
            effective_rate: configured_rate.map(|rate| (rate * pace).min(sustained)),
            observed_rate: self.number(2)?,
            concurrency: self.optional(3)?,
            running: self.number(4)?,
            cooldown: until.map(|until| Cooldown { until, reason }),
        })
    }

    /// From `outlook_of` of `shared/outlook.lua`, as are the next.
    pub(crate) fn pause(&self) -> Result<Option<Pause>, Error> {
        let by: Option<PausedBy> = self.optional(0)?;
        Ok(by.map(|by| Pause::new(by, self.text(1).unwrap_or_default())))
    }

    pub(crate) fn waits_for(&self, own: &LevelView, its: &LevelView) -> Result<Option<WaitsFor>, Error> {
        if let Some(pause) = self.pause()? {
            return Ok(Some(of_pause(pause)));
        }
        let Some(level) = self.optional::<Level>(5)? else { return Ok(None) };
        let resting = match level {
            Level::Channel => own.resting(level),
            Level::Server => its.resting(level),
        };
        Ok(match self.text(4) {
            Some("cooldown") => resting,
            Some("rate") => Some(WaitsFor::Rate { level, per: None }),
            Some("concurrency") => Some(WaitsFor::Concurrency { level }),
            Some(_) => Some(WaitsFor::Rate { level, per: self.optional::<Period>(4)? }),
            None => None,
        })
    }
}
