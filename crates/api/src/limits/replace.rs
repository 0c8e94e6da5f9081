//! `PUT /v1/limits`: replaces the whole set of rules, or changes nothing.

use axum::{Json as Answer, extract::State};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, de::IgnoredAny};
use sincro_core::limit::{LimitRule, Match};
use sincro_store::{Error as LedgerError, Missing};

use super::{
    rule::{self, MOST, Rule},
    show::View,
};
use crate::{
    auth::Caller,
    body::{AtMost, Input, Json},
    deliver::deliver,
    problem::{Code, Problem, refusals},
    state::App,
};

/// Room for the largest set, written out, beside the servers of a `GET`.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Lookups that are under way at once for one request.
const AT_ONCE: usize = 4;

/// The rules that are to hold, all of them.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLimits, example = json!({"rules": [{"match": "wuzapi/*", "rate_per_second": 50.0}]}))]
pub(crate) struct Replacement {
    /// At most 10,000, each about something else.
    #[schema(value_type = Vec<Rule>, max_items = 10_000)]
    rules: AtMost<Rule, MOST>,
    /// Ignored: taken so that the answer of `GET /v1/limits` can be sent back as it came.
    #[serde(rename = "servers")]
    #[schema(value_type = Option<serde_json::Value>)]
    _servers: Option<IgnoredAny>,
}

impl Input for Replacement {
    const MAX_BYTES: usize = MAX_BYTES;
}

impl Replacement {
    /// The rules, if they can all be used.
    pub(crate) fn read(self) -> Result<Vec<LimitRule>, Problem> {
        rule::read(self.rules)
    }
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    &[Code::BadMatch, Code::DuplicateRule, Code::UnknownChannel, Code::TooManyRules],
);

/// Replace the limits
///
/// The whole set: a rule that is not in the body is gone. All of it holds or, where anything is refused, nothing of it. It takes effect
/// at every worker at once, and while Redis is away as soon as it is back. Each rule that changes is kept in
/// `GET /v1/limits/changes` under the name of the key. Of two replacements at the same time the later one holds.
#[utoipa::path(
    put, path = "/v1/limits", operation_id = "replace_limits", tag = "limits",
    request_body(content = Replacement, description = "At most 8 MiB."),
    responses((status = 200, body = View, description = "The rules that hold now"), Refusals),
)]
pub(crate) async fn replace(
    Caller(caller): Caller,
    State(app): State<App>,
    Json { value: given, .. }: Json<Replacement>,
) -> Result<Answer<View>, Problem> {
    let rules = given.read()?;
    match app.store.replace_limit_rules(&rules, &caller.name).await {
        Ok(notices) => {
            app.forget_rules();
            deliver(&app, &notices).await;
            let rules = app.store.limit_rules().await?;
            Ok(Answer(View::of(&app, &rules).await?))
        }
        Err(LedgerError::NotFound(Missing::Channel)) => Err(nobodys(&app, &rules).await?),
        Err(error) => Err(error.into()),
    }
}

/// Which rule is about a channel that there is not.
async fn nobodys(app: &App, rules: &[LimitRule]) -> Result<Problem, Problem> {
    let about = rules.iter().enumerate().filter_map(|(i, rule)| match rule.matches {
        Match::Channel(id) => Some((i, id)),
        Match::EachServer(_) | Match::Server(_) => None,
    });
    let looked_up = stream::iter(about.collect::<Vec<_>>()).map(async |(i, id)| match app.store.channel(id).await {
        Ok(_) => Ok(None),
        Err(LedgerError::NotFound(_)) => Ok(Some((i, id))),
        Err(error) => Err(Problem::from(error)),
    });
    let missing: Vec<Option<_>> = looked_up.buffered(AT_ONCE).try_collect().await?;
    Ok(match missing.into_iter().flatten().next() {
        Some((i, id)) => {
            let detail = format!("there is no channel with the id {id}");
            Problem::of(Code::UnknownChannel, format!("rules[{i}].match"), detail)
        }
        None => Problem::of(Code::UnknownChannel, "rules", "a channel was removed at this moment; try again"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;

    fn refusal(body: &str) -> (Code, Option<String>) {
        let problem = parse::<Replacement>(body.as_bytes()).and_then(Replacement::read).unwrap_err();
        (problem.code(), problem.field().map(str::to_owned))
    }

    #[test]
    fn a_field_is_named_by_its_path_in_the_body() {
        let body = |rule: &str| format!(r#"{{"rules":[{{"match":"wuzapi/*","rate_per_second":1}},{rule}]}}"#);
        for (rule, code, field) in [
            (r#"{"match":"wuzapi/a","rate_per_second":1,"burst":0}"#, Code::InvalidValue, "rules[1].burst"),
            (r#"{"match":"wuzapi/a","rate_per_second":1,"burst":"1"}"#, Code::InvalidValue, "rules[1].burst"),
            (r#"{"match":"wuzapi/a"}"#, Code::MissingField, "rules[1].rate_per_second"),
            (r#"{"match":"a","rate_per_second":1}"#, Code::BadMatch, "rules[1].match"),
            (r#"{"match":"wuzapi/*","rate_per_second":1}"#, Code::DuplicateRule, "rules[1].match"),
            (r#"{"match":"wuzapi/a","rate_per_second":1,"x":1}"#, Code::UnknownField, "rules[1].x"),
        ] {
            assert_eq!(refusal(&body(rule)), (code, Some(field.to_owned())), "{rule}");
        }
        assert_eq!(refusal(r#"{"rules":[],"rule":[]}"#), (Code::UnknownField, Some("rule".to_owned())));
        assert_eq!(refusal("{}"), (Code::MissingField, Some("rules".to_owned())));
    }

    #[test]
    fn the_servers_of_an_answer_are_taken_and_ignored() {
        let body = br#"{"rules":[],"servers":[{"server":"wuzapi/a","anything":[1]}]}"#;
        assert!(parse::<Replacement>(body).unwrap().read().unwrap().is_empty());
    }
}
