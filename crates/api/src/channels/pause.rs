//! `POST /v1/channels/{channel_id}/pause` and `/resume`: stops a channel's jobs, and lets them go on.

use axum::{Json as Answer, extract::State};
use sincro_core::{channel::Channel, notice::Notice};
use sincro_store::access::Principal;

use super::view::View;
use crate::{
    auth::Caller,
    body::Json,
    deliver::deliver,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    reason::{Nothing, Reason},
    state::App,
};

refusals!(Refusals: Code::ANY, Code::BODY, &[Code::ChannelNotFound]);

/// Pause a channel
///
/// Nothing of it starts until somebody resumes it; what runs is finished. The reason is shown wherever its jobs are seen
/// waiting. Pausing what is paused changes the reason.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/pause", operation_id = "pause_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    request_body = Option<Reason>,
    responses((status = 200, body = View, description = "The channel as it is now"), Refusals),
)]
pub(crate) async fn pause(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    Json { value: given, .. }: Json<Reason>,
) -> Result<Answer<View>, Problem> {
    let reason = given.or_by(&caller)?;
    let steered = app.store.pause_channel(id, &reason).await?;
    Ok(tell(&app, &caller, steered).await)
}

/// Resume a channel
///
/// Its jobs go on. Also after it paused itself because the gateway refused its credentials, banned its number or lost its session;
/// a lost session is also found back without this.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/resume", operation_id = "resume_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = View, description = "The channel as it is now"), Refusals),
)]
pub(crate) async fn resume(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    _: Json<Nothing>,
) -> Result<Answer<View>, Problem> {
    let steered = app.store.resume_channel(id).await?;
    Ok(tell(&app, &caller, steered).await)
}

async fn tell(app: &App, caller: &Principal, (channel, notice): (Channel, Notice)) -> Answer<View> {
    deliver(app, &[notice]).await;
    Answer(View::of(app, caller, channel, Deadline::start()).await)
}
