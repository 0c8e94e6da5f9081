//! Limits as JSON: of rows of `limit_rules`, and in the history.

use serde::{Deserialize, Serialize};
use sincro_core::limit::{self, LevelLimit, Limit, LimitRule, Match, Resolved};
use uuid::Uuid;

use crate::Error;

/// What a level admits, under the names of the columns.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Admits {
    rate_per_second: f64,
    burst: u32,
    concurrency: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_hour: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_day: Option<u32>,
    weight: u32,
}

impl From<LevelLimit> for Admits {
    fn from(level: LevelLimit) -> Self {
        let LevelLimit { limit: Limit { rate_per_second, burst, concurrency }, per_minute, per_hour, per_day, weight } =
            level;
        Self { rate_per_second, burst, concurrency, per_minute, per_hour, per_day, weight }
    }
}

impl From<Admits> for LevelLimit {
    fn from(admits: Admits) -> Self {
        let Admits { rate_per_second, burst, concurrency, per_minute, per_hour, per_day, weight } = admits;
        Self { limit: Limit { rate_per_second, burst, concurrency }, per_minute, per_hour, per_day, weight }
    }
}

/// A row of `limit_rules`, read and written as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RuleRow {
    matches: String,
    channel_id: Option<Uuid>,
    #[serde(flatten)]
    admits: Admits,
}

impl RuleRow {
    pub(crate) fn new(matches: &Match, admits: LevelLimit) -> Self {
        let channel_id = match matches {
            Match::Channel(id) => Some(*id),
            Match::EachServer(_) | Match::Server(_) => None,
        };
        Self { matches: matches.to_string(), channel_id, admits: admits.into() }
    }
}

impl TryFrom<RuleRow> for LimitRule {
    type Error = Error;

    fn try_from(row: RuleRow) -> Result<Self, Error> {
        Ok(Self { matches: row.matches.parse().map_err(Error::unreadable)?, admits: row.admits.into() })
    }
}

/// The limits that hold for a channel, by the rows that could.
pub(crate) fn resolved(rows: serde_json::Value, server: &str, channel: Uuid) -> Result<Resolved, Error> {
    let rows: Vec<RuleRow> = serde_json::from_value(rows).map_err(Error::unreadable)?;
    let rules = rows.into_iter().map(LimitRule::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(limit::resolve(&rules, server, channel))
}
