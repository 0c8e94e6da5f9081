//! `GET /v1/scaling`: how many workers the limits keep busy.

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use sincro_core::scaling::{Scaling, scaling};

use crate::{
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// How many workers are worth having.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Scaling)]
pub(crate) struct View {
    /// Worker processes that the limits keep busy; 0 when nothing can run.
    useful_workers: u32,
    /// Jobs that could run if there were room for all.
    runnable_jobs: i64,
    /// Calls per second that the limits admit for them.
    admissible_rate: f64,
    /// Why it is as many, for people.
    reason: String,
}

impl From<Scaling> for View {
    fn from(scaling: Scaling) -> Self {
        let Scaling { useful_workers, runnable_jobs, admissible_rate, reason } = scaling;
        Self { useful_workers, runnable_jobs, admissible_rate, reason }
    }
}

refusals!(Refusals: Code::ANY, &[Code::QueueUnavailable]);

/// Read the scaling signal
///
/// Useful workers are what the limits admit, not what is queued: more would stand in front of a wall. `/metrics` has the same numbers.
#[utoipa::path(
    get, path = "/v1/scaling", operation_id = "show_scaling", tag = "limits",
    responses((status = 200, body = View, description = "How many workers are worth having now"), Refusals),
)]
pub(crate) async fn show(State(app): State<App>) -> Result<Answer<View>, Problem> {
    let loads = app.queue.loads(Deadline::start()).await.ok_or_else(Problem::no_queue)?;
    Ok(Answer(scaling(&loads, app.settings.worker_slots).into()))
}
