//! `GET /v1/limits/changes`: who changed which limit, when, and what it was before.

use axum::{Json as Answer, extract::State, http::Uri};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sincro_store::limits::LimitChange;

use super::rule::Admits;
use crate::{
    params::{List, Params, one_more},
    problem::{Code, Problem, refusals},
    state::App,
};

/// A limit that was changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = LimitHistory)]
pub(crate) struct Change {
    /// Grows with time.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// The name of the API key that did it.
    by: String,
    /// What the limit is about, as in a rule.
    #[serde(rename = "match")]
    matches: String,
    /// `rule`: a rule of `/v1/limits`; `channel`: the limit in the channel itself.
    #[schema(value_type = String, example = "rule")]
    source: &'static str,
    /// What it was; null where there was none.
    before: Option<Admits>,
    /// What it is from then on; null where it was taken away.
    after: Option<Admits>,
}

impl From<LimitChange> for Change {
    fn from(change: LimitChange) -> Self {
        let LimitChange { id, at, by, matches, source, before, after } = change;
        let (before, after) = (before.map(Admits::from), after.map(Admits::from));
        Self { id, at, by, matches: matches.to_string(), source: source.as_str(), before, after }
    }
}

/// A page of changes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = LimitChanges)]
pub(crate) struct Page {
    /// Newest first.
    items: Vec<Change>,
    /// Ask with `before=` this to go on; null at the end.
    next: Option<String>,
}

refusals!(Refusals: Code::ANY, Code::QUERY);

/// Read the history of limits
///
/// Newest first: the rules of `/v1/limits`, and the limits in the channels themselves.
#[utoipa::path(
    get, path = "/v1/limits/changes", operation_id = "list_limit_changes", tag = "limits",
    params(
        ("before" = Option<i64>, Query, description = "Only older ones than this: the last answer's `next`", minimum = 0),
        ("limit" = Option<u16>, Query, description = "At most so many, 1 to 1000", minimum = 1, maximum = 1000, example = 100),
    ),
    responses((status = 200, body = Page, description = "A page of changes"), Refusals),
)]
pub(crate) async fn changes(State(app): State<App>, uri: Uri) -> Result<Answer<Page>, Problem> {
    let params = Params::read(&uri, &["before", "limit"])?;
    let limit = params.limit(100, 1_000)?;
    let before = params.row("before")?;
    let found = app.store.limit_changes(before, one_more(limit)).await?;
    let List { items, next } = List::page(found, limit, |change| change.id.to_string());
    Ok(Answer(Page { items: items.into_iter().map(Change::from).collect(), next }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::limit::{Limit, Match};
    use sincro_store::limits::LimitSource;

    use super::*;

    #[test]
    fn a_change_says_who_and_shows_both_values() {
        let change = LimitChange {
            id: 7,
            at: DateTime::UNIX_EPOCH,
            by: "ops".into(),
            matches: Match::Server("wuzapi/a:1".into()),
            source: LimitSource::Rule,
            before: None,
            after: Some(Limit { rate_per_second: 5.0, burst: 1, concurrency: 8 }.into()),
        };
        let expected = json!({
            "id": 7, "at": "1970-01-01T00:00:00Z", "by": "ops", "match": "wuzapi/a:1", "source": "rule", "before": null,
            "after": {"rate_per_second": 5.0, "per_minute": null, "per_hour": null, "per_day": null, "burst": 1,
                      "concurrency": 8, "weight": 1}
        });
        assert_eq!(json!(Change::from(change)), expected);
    }
}
