//! `GET /v1/channels/{channel_id}`: one channel, with what holds for it now.

use axum::{Json as Answer, extract::State};

use super::view::View;
use crate::{
    auth::Caller,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

refusals!(Refusals: Code::ANY, &[Code::ChannelNotFound]);

/// Read a channel
///
/// Its state and why, its limit, and what holds at this moment, for itself and for its provider server: configured, effective and
/// observed rate, calls under way, cooldown.
#[utoipa::path(
    get, path = "/v1/channels/{channel_id}", operation_id = "show_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = View, description = "The channel"), Refusals),
)]
pub(crate) async fn show(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
) -> Result<Answer<View>, Problem> {
    let channel = app.store.channel(id).await?;
    Ok(Answer(View::of(&app, &caller, channel, Deadline::start()).await))
}
