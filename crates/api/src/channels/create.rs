//! `POST /v1/channels`: connects a number at a gateway.

use std::collections::BTreeSet;

use axum::{
    Json as Answer,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::Value;
use sincro_core::{channel::Feature, limit::Limit, provider::Provider};
use sincro_store::channels::NewChannel;

use super::{fields, view::View};
use crate::{
    auth::Caller,
    body::{Input, Json},
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::App,
};

/// A channel to be created.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewChannel, example = json!({
    "name": "support", "provider": "wuzapi", "base_url": "http://wuzapi:8080", "credentials": {"token": "the channel's token"},
    "features": ["import_messages"], "limit": {"rate_per_second": 20.0, "burst": 1, "concurrency": 8}
}))]
pub(crate) struct Creation {
    /// Your name for it, 1 to 200 characters.
    #[schema(max_length = 200)]
    name: String,
    /// The kind of gateway.
    provider: Provider,
    /// The gateway's root: http or https, without user, query and fragment. A path on it is kept before every call's path.
    #[schema(max_length = 2048)]
    base_url: String,
    /// What the gateway asks for, an object in the provider's words. wuzapi: `{token, hmac_key?, instance?}`; positus: `{access_token, number_id,
    /// phone_number_id?, app_secret?, verify_token?}`; wsapi: `{api_key, instance_id, signing_secret?}`; whapi: `{token, hook_key?, channel_id?}`;
    /// gdbrns: `{token, webhook_secret?}`. It is encrypted at rest and never comes back.
    #[schema(value_type = Object)]
    credentials: Value,
    /// What the channel is entitled to; nothing if left out.
    #[serde(default)]
    #[schema(value_type = Vec<Feature>)]
    features: BTreeSet<Feature>,
    /// How fast its gateway may be called; what is left out has its default.
    #[serde(default)]
    limit: Limit,
}

impl Input for Creation {}

impl Creation {
    /// Whether all of it can be used that no provider has a say in.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        fields::name(&self.name)?;
        fields::base_url(&self.base_url)?;
        fields::limit(self.limit).map(drop)
    }
}

refusals!(Refusals: Code::ANY, Code::BODY, &[Code::BadBaseUrl, Code::BadCredentials, Code::ProviderUnavailable]);

/// Create a channel
///
/// Nothing is sent to the gateway: whether the credentials are right shows with the first sync.
#[utoipa::path(
    post, path = "/v1/channels", operation_id = "create_channel", tag = "channels",
    request_body = Creation,
    responses(
        (status = 201, body = View, description = "The channel, with the `hook_url` to give to the provider",
         headers(("Location" = String, description = "Where the channel is"))),
        Refusals,
    ),
)]
pub(crate) async fn create(
    Caller(caller): Caller,
    State(app): State<App>,
    Json { value: given, .. }: Json<Creation>,
) -> Result<impl IntoResponse, Problem> {
    fields::provider(&app.settings, given.provider)?;
    let new = NewChannel {
        name: fields::name(&given.name)?,
        provider: given.provider,
        base_url: fields::base_url(&given.base_url)?,
        credentials: fields::credentials(&app.settings, given.provider, &given.credentials)?,
        features: given.features,
        limit: fields::limit(given.limit)?,
    };
    let channel = app.store.create_channel(new).await?;
    let view = View::of(&app, &caller, channel, Deadline::start()).await;
    let location = format!("/v1/channels/{}", view.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Answer(view)))
}
