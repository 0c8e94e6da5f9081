//! `POST /v1/channels/{channel_id}/messages/{message_id}/resync`: brings one message back that is missing.

use axum::{body::Bytes, extract::State, response::Response};
use sincro_core::{
    job::Step,
    sync::{SyncKind, SyncStatus},
};
use sincro_store::syncs::NewSync;

use super::{
    idempotency::IdempotencyKey,
    start::{capabilities_of, create},
};
use crate::{
    auth::Caller,
    body::Json,
    params::{ChannelPath, MessagePath},
    problem::{Code, Problem, refusals},
    reason::Nothing,
    state::App,
};

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    Code::IDEMPOTENCY,
    &[Code::ChannelNotFound, Code::ProviderUnavailable, Code::NotSupported],
);

/// Bring a message back
///
/// Has the phone send a message once more that the gateway does not have, and looks for it a few times within minutes. That it does
/// not come back is no failure: its job ends `empty` with the reason `unrecovered`. A message that came back is stored with the origin
/// `restored`, so that nobody takes it for a new one. Ahead of bulk work; any number of these can be open.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/messages/{message_id}/resync", operation_id = "resync_message", tag = "syncs",
    params(
        ("channel_id" = Uuid, Path, description = "The channel"),
        ("message_id" = String, Path, description = "The provider's id of the message", example = "PsqXn.SOAjx-xQA"),
        ("Idempotency-Key" = Option<String>, Header, description = "As for a channel sync", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 202, body = SyncStatus, description = "The sync as it was recorded",
         headers(("Location" = String, description = "Where to follow it"),
                 ("Idempotent-Replayed" = bool, description = "`true` where this is the answer to an earlier request"))),
        Refusals,
    ),
)]
pub(crate) async fn resync(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(channel): ChannelPath,
    MessagePath(message): MessagePath,
    idempotency: IdempotencyKey,
    _: Json<Nothing>,
) -> Result<Response, Problem> {
    let capabilities = capabilities_of(&app, &app.store.channel(channel).await?)?;
    if !capabilities.restore {
        let detail = format!("{} has no call that brings a single message back", capabilities.provider);
        return Err(Problem::new(Code::NotSupported, detail));
    }
    let new = NewSync {
        channel,
        kind: SyncKind::Message,
        messages_wanted: 1,
        contacts: None,
        only: Some(Step::Restore { message_id: message, reads: 0 }),
        deep: false,
        window_days: None,
        capabilities,
        max_attempts: app.settings.max_attempts,
        idempotency: idempotency.with(&caller, &Bytes::new()),
    };
    create(&app, new).await
}
