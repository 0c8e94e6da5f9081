//! `POST /v1/channels/{channel_id}/contacts/{address}/syncs`: one contact, now, because somebody waits for it.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use sincro_core::{
    contact::Contact,
    sync::{SyncKind, SyncStatus},
};
use sincro_store::syncs::NewSync;

use super::{
    idempotency::IdempotencyKey,
    start::{Asked, MessageCount, WindowDays, capabilities_of, create},
};
use crate::{
    auth::Caller,
    body::{Input, Json},
    params::{AddressPath, ChannelPath},
    problem::{Code, Problem, refusals},
    state::App,
};

/// How much to read.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewContactSync, example = json!({"messages": 50}))]
pub(crate) struct StartContact {
    /// Newest messages to read per address.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 25)]
    messages: MessageCount,
    /// As for a channel sync.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 365)]
    window_days: Option<WindowDays>,
    /// As for a channel sync.
    #[serde(default)]
    deep: bool,
}

impl Input for StartContact {
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl StartContact {
    /// Checks everything that no provider has a say in.
    pub(crate) fn read(self) -> Result<Asked, Problem> {
        Ok(Asked {
            messages_wanted: self.messages.within_bounds("messages")?,
            contacts: None,
            window_days: self.window_days.map(WindowDays::within_bounds).transpose()?,
            deep: self.deep,
        })
    }
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    Code::ADDRESS,
    Code::IDEMPOTENCY,
    &[Code::ChannelNotFound, Code::ProviderUnavailable, Code::NotSupported],
);

/// Sync one contact
///
/// Ahead of the channel's bulk work, and beside it: any number of these can be open. Needs no feature.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/contacts/{address}/syncs", operation_id = "start_contact_sync", tag = "syncs",
    params(
        ("channel_id" = Uuid, Path, description = "The channel"),
        ("address" = String, Path, description = "A phone JID or a LID", example = "5511988887777@s.whatsapp.net"),
        ("Idempotency-Key" = Option<String>, Header, description = "As for a channel sync", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = Option<StartContact>, description = "No body at all stands for the defaults."),
    responses(
        (status = 202, body = SyncStatus, description = "The sync as it was recorded",
         headers(("Location" = String, description = "Where to follow it"),
                 ("Idempotent-Replayed" = bool, description = "`true` where this is the answer to an earlier request"))),
        Refusals,
    ),
)]
pub(crate) async fn start_contact(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(channel): ChannelPath,
    AddressPath(address): AddressPath,
    idempotency: IdempotencyKey,
    Json { value: given, bytes }: Json<StartContact>,
) -> Result<Response, Problem> {
    let asked = Asked { contacts: Some(vec![Contact::under(address, None)]), ..given.read()? };
    let capabilities = capabilities_of(&app, &app.store.channel(channel).await?)?;
    let Asked { messages_wanted, contacts, window_days, deep } = asked.suits(capabilities)?;
    let new = NewSync {
        channel,
        kind: SyncKind::Contact,
        messages_wanted,
        contacts,
        only: None,
        deep,
        window_days,
        capabilities,
        max_attempts: app.settings.max_attempts,
        idempotency: idempotency.with(&caller, &bytes),
    };
    create(&app, new).await
}
