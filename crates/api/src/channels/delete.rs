//! `DELETE /v1/channels/{channel_id}`: removes a channel with all it brought.

use axum::{extract::State, http::StatusCode};

use crate::{
    auth::Caller,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    state::App,
};

refusals!(Refusals: Code::ANY, &[Code::ChannelNotFound, Code::SyncOpen]);

/// Remove a channel
///
/// With its contacts, syncs and messages, and the rule about its limit. Refused while a sync of it is open: cancel that first.
#[utoipa::path(
    delete, path = "/v1/channels/{channel_id}", operation_id = "delete_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses((status = 204, description = "It is gone"), Refusals),
)]
pub(crate) async fn delete(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
) -> Result<StatusCode, Problem> {
    app.store.delete_channel(id, &caller.name).await?;
    app.forget_server(id);
    app.forget_rules();
    Ok(StatusCode::NO_CONTENT)
}
