//! `POST /v1/channels/{channel_id}/allow-history`: lets a request be made once more that is made once.

use axum::{Json as Answer, extract::State};
use serde::Serialize;

use crate::{
    body::Json,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    reason::Nothing,
    state::App,
};

/// What was put aside, and what that risks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Allowed {
    /// Earlier requests that no longer stand in the way.
    put_aside: u64,
    /// What is at stake with the next one.
    #[schema(example = "the gateway deletes its cache after it delivered it, also where nothing arrived")]
    risk: &'static str,
}

refusals!(Refusals: Code::ANY, Code::BODY, &[Code::ChannelNotFound, Code::ProviderUnavailable, Code::NotSupported]);

/// Allow a request for history
///
/// Some gateways can be asked for the history of a number once, or lose it by being asked. Such a request is never repeated by itself:
/// not after an answer that did not come, not after a restart. Whoever knows better allows another one with this; the next sync of the
/// channel, or a retry, makes it. It also stands for what the gateway has not said: that its first sync is over, that the number was onboarded in time.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/allow-history", operation_id = "allow_history", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = Allowed, description = "The next request is allowed"), Refusals),
)]
pub(crate) async fn allow(
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    _: Json<Nothing>,
) -> Result<Answer<Allowed>, Problem> {
    let provider = app.store.channel(id).await?.provider;
    let capabilities = (app.settings.capabilities)(provider);
    let one_shot = capabilities.and_then(|capabilities| capabilities.one_shot).ok_or_else(|| {
        Problem::new(
            Code::NotSupported,
            format!("{provider} can be asked as often as one likes: nothing has to be allowed"),
        )
    })?;
    let put_aside = app.store.allow_requests(id).await?;
    Ok(Answer(Allowed { put_aside, risk: one_shot.risk }))
}
