//! `GET /v1/limits`: the rules, and what holds for each provider server now.

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use sincro_core::limit::LimitRule;

use super::{
    rule::Rule,
    servers::{self, ServerNow},
};
use crate::{
    problem::{Code, Problem, refusals},
    state::App,
};

/// The rules that hold, and what they come to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Limits)]
pub(crate) struct View {
    /// All rules; what no rule is about has no limit (servers) or its own (channels).
    rules: Vec<Rule>,
    /// The provider servers that channels are behind, as they are now.
    servers: Vec<ServerNow>,
}

impl View {
    /// These rules, with what holds now.
    pub(super) async fn of(app: &App, rules: &[LimitRule]) -> Result<Self, Problem> {
        Ok(Self { rules: rules.iter().map(Rule::from).collect(), servers: servers::now(app, rules).await? })
    }
}

refusals!(Refusals: Code::ANY);

/// Read the limits
///
/// The rules, and for each provider server the rule that holds, and its configured, effective and observed rate.
#[utoipa::path(
    get, path = "/v1/limits", operation_id = "show_limits", tag = "limits",
    responses((status = 200, body = View, description = "The rules, and the servers as they are now"), Refusals),
)]
pub(crate) async fn show(State(app): State<App>) -> Result<Answer<View>, Problem> {
    let rules = app.store.limit_rules().await?;
    Ok(Answer(View::of(&app, &rules).await?))
}
