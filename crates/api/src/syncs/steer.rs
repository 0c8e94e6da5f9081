//! `POST /v1/syncs/{sync_id}/pause`, `/resume`, `/cancel` and `/retry`.
//!
//! Asking for what is so already changes nothing and is no error; steering a sync that is over is.

use axum::{Json as Answer, extract::State};
use sincro_core::sync::SyncStatus;
use sincro_store::steer::Steered;

use super::live;
use crate::{
    auth::Caller,
    body::Json,
    deliver::deliver,
    params::SyncPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    reason::{Nothing, Reason},
    state::App,
};

refusals!(Refusals: Code::ANY, Code::BODY, &[Code::SyncNotFound, Code::SyncOver]);
refusals!(RetryRefusals: Code::ANY, Code::BODY, &[Code::SyncNotFound, Code::SyncOver, Code::SyncRunning]);

/// Pause a sync
///
/// Nothing of it starts until it is resumed; what runs is finished.
#[utoipa::path(
    post, path = "/v1/syncs/{sync_id}/pause", operation_id = "pause_sync", tag = "syncs",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    request_body = Option<Reason>,
    responses((status = 200, body = SyncStatus, description = "The sync as it is now"), Refusals),
)]
pub(crate) async fn pause(
    Caller(caller): Caller,
    State(app): State<App>,
    SyncPath(id): SyncPath,
    Json { value: given, .. }: Json<Reason>,
) -> Result<Answer<SyncStatus>, Problem> {
    let reason = given.or_by(&caller)?;
    tell(&app, app.store.pause_sync(id, Some(&reason)).await?).await
}

/// Resume a sync
///
/// A paused sync goes on where it was.
#[utoipa::path(
    post, path = "/v1/syncs/{sync_id}/resume", operation_id = "resume_sync", tag = "syncs",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    responses((status = 200, body = SyncStatus, description = "The sync as it is now"), Refusals),
)]
pub(crate) async fn resume(
    State(app): State<App>,
    SyncPath(id): SyncPath,
    _: Json<Nothing>,
) -> Result<Answer<SyncStatus>, Problem> {
    tell(&app, app.store.resume_sync(id).await?).await
}

/// Cancel a sync
///
/// For good: open jobs are cancelled, and the late result of a running one changes nothing. What is stored stays.
#[utoipa::path(
    post, path = "/v1/syncs/{sync_id}/cancel", operation_id = "cancel_sync", tag = "syncs",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    request_body = Option<Reason>,
    responses((status = 200, body = SyncStatus, description = "The sync as it is now"), Refusals),
)]
pub(crate) async fn cancel(
    Caller(caller): Caller,
    State(app): State<App>,
    SyncPath(id): SyncPath,
    Json { value: given, .. }: Json<Reason>,
) -> Result<Answer<SyncStatus>, Problem> {
    let reason = given.or_by(&caller)?;
    tell(&app, app.store.cancel_sync(id, Some(&reason)).await?).await
}

/// Retry a sync's failures
///
/// Its failed jobs are queued again, each with as many attempts as a new one; a sync that had ended is opened again. Without
/// failed jobs nothing changes. Refused for a cancelled sync, and where another channel sync of the channel is open.
#[utoipa::path(
    post, path = "/v1/syncs/{sync_id}/retry", operation_id = "retry_sync", tag = "syncs",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    responses((status = 200, body = SyncStatus, description = "The sync as it is now"), RetryRefusals),
)]
pub(crate) async fn retry(
    State(app): State<App>,
    SyncPath(id): SyncPath,
    _: Json<Nothing>,
) -> Result<Answer<SyncStatus>, Problem> {
    tell(&app, app.store.retry_sync(id, app.settings.max_attempts).await?).await
}

async fn tell(app: &App, (mut status, notice): Steered) -> Result<Answer<SyncStatus>, Problem> {
    deliver(app, notice.as_slice()).await;
    live::complete(app, &mut status, Deadline::start()).await;
    Ok(Answer(status))
}
