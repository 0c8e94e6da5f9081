//! A rule as it is written and read, and the checks of a set of rules: every refusal names the rule and its field.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sincro_core::limit::{Level, LevelLimit, Limit, LimitRule, Match};

use crate::{
    body::AtMost,
    problem::{Code, Problem},
};

/// Rules in one set.
pub(super) const MOST: usize = 10_000;
/// Calls at once where a rule says nothing of it.
const SERVER_CONCURRENCY: u32 = 1_000;
const CHANNEL_CONCURRENCY: u32 = 8;

/// How fast a provider server or a channel may be called.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitRule, example = json!({
    "match": "wuzapi/*", "rate_per_second": 50.0, "per_minute": null, "per_hour": null, "per_day": null, "burst": 1,
    "concurrency": 1000, "weight": 1
}))]
pub(crate) struct Rule {
    /// What it is about. `wuzapi/*`: each server of that provider, for itself; `wuzapi/host:port`: one server, the port left out
    /// where it is 80 for `http` or 443 for `https`; a channel's id: that channel. One server's own rule holds instead of the
    /// provider's, a channel's instead of the limit in the channel.
    #[serde(rename = "match")]
    matches: String,
    /// Gateway calls per second over all workers, more than 0, at most 10,000.
    #[schema(exclusive_minimum = 0.0, maximum = 10_000.0)]
    rate_per_second: f64,
    /// Most calls in any 60 seconds; null: no such cap.
    #[schema(minimum = 1, maximum = 100_000)]
    per_minute: Option<u32>,
    /// Most calls in any 60 minutes; null: no such cap.
    #[schema(minimum = 1, maximum = 100_000)]
    per_hour: Option<u32>,
    /// Most calls in any 24 hours; null: no such cap.
    #[schema(minimum = 1, maximum = 100_000)]
    per_day: Option<u32>,
    /// Calls that may be made at once after a quiet time.
    #[serde(default = "one")]
    #[schema(default = one, minimum = 1, maximum = 1_000)]
    burst: u32,
    /// Calls that may be under way at once over all workers; if left out, 1,000 for servers and 8 for a channel.
    #[schema(minimum = 1, maximum = 1_000)]
    concurrency: Option<u32>,
    /// The share when there is not enough for all: of a channel among the channels of its server, of a server among the
    /// servers.
    #[serde(default = "one")]
    #[schema(default = one, minimum = 1, maximum = 100)]
    weight: u32,
}

const fn one() -> u32 {
    1
}

/// What a level admits, as the history of changes shows it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Admits {
    /// Gateway calls per second.
    rate_per_second: f64,
    /// Most calls in any 60 seconds.
    per_minute: Option<u32>,
    /// Most calls in any 60 minutes.
    per_hour: Option<u32>,
    /// Most calls in any 24 hours.
    per_day: Option<u32>,
    /// Calls at once after a quiet time.
    burst: u32,
    /// Calls under way at once.
    concurrency: u32,
    /// The share among its like.
    weight: u32,
}

impl From<LevelLimit> for Admits {
    fn from(admits: LevelLimit) -> Self {
        let LevelLimit { limit: Limit { rate_per_second, burst, concurrency }, per_minute, per_hour, per_day, weight } =
            admits;
        Self { rate_per_second, per_minute, per_hour, per_day, burst, concurrency, weight }
    }
}

impl From<&LimitRule> for Rule {
    fn from(rule: &LimitRule) -> Self {
        let Admits { rate_per_second, per_minute, per_hour, per_day, burst, concurrency, weight } = rule.admits.into();
        let (matches, concurrency) = (rule.matches.to_string(), Some(concurrency));
        Self { matches, rate_per_second, per_minute, per_hour, per_day, burst, concurrency, weight }
    }
}

impl Rule {
    fn read(self, i: usize) -> Result<LimitRule, Problem> {
        let field = |name: &str| format!("rules[{i}].{name}");
        let matches: Match =
            self.matches.parse().map_err(|error| Problem::of(Code::BadMatch, field("match"), format!("{error}")))?;
        let unsaid = match matches.level() {
            Level::Server => SERVER_CONCURRENCY,
            Level::Channel => CHANNEL_CONCURRENCY,
        };
        let admits = LevelLimit {
            limit: Limit {
                rate_per_second: self.rate_per_second,
                burst: self.burst,
                concurrency: self.concurrency.unwrap_or(unsaid),
            },
            per_minute: self.per_minute,
            per_hour: self.per_hour,
            per_day: self.per_day,
            weight: self.weight,
        };
        admits.check().map_err(|(name, bounds)| Problem::of(Code::InvalidValue, field(name), bounds))?;
        Ok(LimitRule { matches, admits })
    }
}

/// Reads a set of rules; it must not be too long, or hold two rules about the same.
pub(super) fn read(list: AtMost<Rule, MOST>) -> Result<Vec<LimitRule>, Problem> {
    if list.total > MOST {
        let detail = format!("{} rules; at most {MOST} fit", list.total);
        return Err(Problem::of(Code::TooManyRules, "rules", detail));
    }
    let mut known = HashSet::with_capacity(list.total);
    let numbered = list.items.into_iter().enumerate();
    let checked = numbered.map(|(i, rule)| {
        let rule = rule.read(i)?;
        if known.insert(rule.matches.clone()) {
            return Ok(rule);
        }
        let detail = format!("a rule about {} is in the list already", rule.matches);
        Err(Problem::of(Code::DuplicateRule, format!("rules[{i}].match"), detail))
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body::parse;

    const CHANNEL: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn rules(json: &str) -> Result<Vec<LimitRule>, Problem> {
        read(parse(json.as_bytes())?)
    }

    fn refusal(json: &str) -> (Code, String) {
        let problem = rules(json).unwrap_err();
        (problem.code(), problem.field().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_is_left_out_has_its_default_and_the_concurrency_depends_on_the_level() {
        let list = format!(
            r#"[{{"match":"wuzapi/*","rate_per_second":50}},{{"match":"{CHANNEL}","rate_per_second":0.5,"per_day":500}}]"#
        );
        let rules = rules(&list).unwrap();
        let shown: Vec<_> = rules.iter().map(|rule| json!(Rule::from(rule))).collect();
        assert_eq!(
            shown[0],
            json!({"match": "wuzapi/*", "rate_per_second": 50.0, "per_minute": null, "per_hour": null, "per_day": null,
                   "burst": 1, "concurrency": 1_000, "weight": 1})
        );
        assert_eq!((&shown[1]["concurrency"], &shown[1]["per_day"]), (&json!(8), &json!(500)));
    }

    #[test]
    fn what_is_shown_is_accepted_unchanged() {
        let list = format!(
            r#"[{{"match":"whapi/Gate.whapi.cloud","rate_per_second":0.333,"per_minute":20,"burst":3,"concurrency":2,"weight":7}},
                {{"match":"{CHANNEL}","rate_per_second":10000,"per_hour":100000}}]"#
        );
        let first = rules(&list).unwrap();
        let shown = json!(first.iter().map(Rule::from).collect::<Vec<_>>()).to_string();
        assert_eq!(rules(&shown).unwrap(), first);
    }

    #[test]
    fn a_bad_rule_is_named_by_its_place_and_field() {
        let good = r#"{"match":"wuzapi/a:1","rate_per_second":1}"#;
        for (bad, code, field) in [
            (r#"{"rate_per_second":1}"#, Code::MissingField, "match"),
            (r#"{"match":"wuzapi/*"}"#, Code::MissingField, "rate_per_second"),
            (r#"{"match":"*","rate_per_second":1}"#, Code::BadMatch, "match"),
            (r#"{"match":"http://wuzapi:8080","rate_per_second":1}"#, Code::BadMatch, "match"),
            (r#"{"match":"wuzapi/A:1","rate_per_second":2}"#, Code::DuplicateRule, "match"),
            (r#"{"match":"wuzapi/*","rate_per_second":0}"#, Code::InvalidValue, "rate_per_second"),
            (r#"{"match":"wuzapi/*","rate_per_second":"1"}"#, Code::InvalidValue, "rate_per_second"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"burst":0}"#, Code::InvalidValue, "burst"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"concurrency":1001}"#, Code::InvalidValue, "concurrency"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"per_hour":0}"#, Code::InvalidValue, "per_hour"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"per_day":100001}"#, Code::InvalidValue, "per_day"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"weight":101}"#, Code::InvalidValue, "weight"),
            (r#"{"match":"wuzapi/*","rate_per_second":1,"rate":1}"#, Code::UnknownField, "rate"),
        ] {
            // The list stands alone here; in a body its path begins with `rules`.
            let (found, path) = refusal(&format!("[{good},{bad}]"));
            assert_eq!((found, path.trim_start_matches("rules")), (code, format!("[1].{field}").as_str()), "{bad}");
        }
    }

    #[test]
    fn a_set_may_have_the_limit_and_not_one_more() {
        let list = |n: usize| {
            let rules: Vec<_> = (0..n).map(|i| format!(r#"{{"match":"wuzapi/h{i}","rate_per_second":1}}"#)).collect();
            format!("[{}]", rules.join(","))
        };
        assert_eq!(rules(&list(MOST)).unwrap().len(), MOST);
        assert_eq!(refusal(&list(MOST + 1)), (Code::TooManyRules, "rules".to_owned()));
        assert!(rules("[]").unwrap().is_empty());
    }
}
