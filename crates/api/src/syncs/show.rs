//! `GET /v1/syncs/{sync_id}`: one sync, as it is now.

use axum::{Json as Answer, extract::State};
use sincro_core::sync::SyncStatus;

use super::live;
use crate::{
    params::SyncPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

refusals!(Refusals: Code::ANY, &[Code::SyncNotFound]);

/// Read a sync
///
/// Where it is, its jobs by state, its messages, what holds it back and when it may be done.
#[utoipa::path(
    get, path = "/v1/syncs/{sync_id}", operation_id = "show_sync", tag = "syncs",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    responses((status = 200, body = SyncStatus, description = "The sync"), Refusals),
)]
pub(crate) async fn show(State(app): State<App>, SyncPath(id): SyncPath) -> Result<Answer<SyncStatus>, Problem> {
    let mut status = app.store.sync(id).await?;
    live::complete(&app, &mut status, Deadline::start()).await;
    Ok(Answer(status))
}
