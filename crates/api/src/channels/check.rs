//! `POST` and `GET /v1/channels/{channel_id}/check`, `POST /v1/channels/{channel_id}/connect`: whether a channel is set up, and having
//! its gateway send webhooks here.
//!
//! A worker looks, under the channel's limit like everything else; here it is only asked to, and told what it found.

use axum::{Json as Answer, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use sincro_core::{
    channel::{Channel, ChannelId, PausedBy},
    check::{Finding, Stage},
    job::{Registering, Step},
    sync::{SyncKind, SyncStatus},
};
use sincro_store::syncs::NewSync;

use crate::{
    body::{Input, Json},
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    reason::Nothing,
    state::App,
    syncs::start::{capabilities_of, create},
};

/// The last look at a channel's set-up.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Checked {
    /// The look itself: it is over when its state is. Null while nobody looked.
    sync: Option<SyncStatus>,
    /// What it has found so far, one about each thing, in the order in which people mend them.
    findings: Vec<Finding>,
}

/// How to register.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Connect, example = json!({"replace": false}))]
pub(crate) struct Connecting {
    /// Whether another receiver of the number's webhooks may be forgotten, where the gateway has room for one.
    #[serde(default)]
    replace: bool,
}

impl Input for Connecting {
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    &[Code::ChannelNotFound, Code::ProviderUnavailable, Code::NotSupported, Code::SyncRunning, Code::ChannelPaused],
);
refusals!(Unknown: Code::ANY, &[Code::ChannelNotFound]);

/// Check a channel's set-up
///
/// Has a worker look whether our address for webhooks answers, the clocks agree, the gateway takes the credentials, the number has a
/// session, its history is to be had, and webhooks come here and can show where they come from: with one call to the gateway, or two.
/// Changes nothing and pauses nothing. `GET` on the same path tells what was found.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/check", operation_id = "check_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses(
        (status = 202, body = SyncStatus, description = "The look as it was recorded",
         headers(("Location" = String, description = "Where to follow it"))),
        Refusals,
    ),
)]
pub(crate) async fn check(
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    _: Json<Nothing>,
) -> Result<Response, Problem> {
    start(&app, id, None).await
}

/// Have webhooks sent here
///
/// The same look, and where our address is not registered for what is needed, it is registered. Other receivers stay, unless the gateway
/// has room for one and `replace` is set. A secret that the gateway makes for its signatures goes into the channel's credentials.
/// Refused where the provider has no call for it.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/connect", operation_id = "connect_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    request_body(content = Option<Connecting>, description = "No body at all stands for the defaults."),
    responses(
        (status = 202, body = SyncStatus, description = "The look as it was recorded",
         headers(("Location" = String, description = "Where to follow it"))),
        Refusals,
    ),
)]
pub(crate) async fn connect(
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    Json { value: asked, .. }: Json<Connecting>,
) -> Result<Response, Problem> {
    start(&app, id, Some(Registering { replace: asked.replace, seen: None, again: false, lost: false })).await
}

/// What the last look found
///
/// Findings are about `receiver`, `clock`, `credentials`, `session`, `history`, `webhooks`, `proof` and `age` (whether webhooks are sent however old what they are about); each says how that is and how to
/// mend it.
#[utoipa::path(
    get, path = "/v1/channels/{channel_id}/check", operation_id = "show_check", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    responses((status = 200, body = Checked, description = "The look and its findings"), Unknown),
)]
pub(crate) async fn show(State(app): State<App>, ChannelPath(id): ChannelPath) -> Result<Answer<Checked>, Problem> {
    let last = app.store.last_check(id).await?;
    let (sync, findings) = last.map(|check| (check.sync, check.findings)).unzip();
    Ok(Answer(Checked { sync, findings: findings.unwrap_or_default() }))
}

async fn start(app: &App, id: ChannelId, connect: Option<Registering>) -> Result<Response, Problem> {
    let channel = app.store.channel(id).await?;
    let capabilities = capabilities_of(app, &channel)?;
    if connect.is_some() && !capabilities.connect.is_possible() {
        let provider = channel.provider;
        let detail = format!(
            "{provider} has no call that registers webhooks; docs/providers/{provider}.md says where it is done"
        );
        return Err(Problem::new(Code::NotSupported, detail));
    }
    refuse_standstill(&channel)?;
    let new = NewSync {
        channel: id,
        kind: SyncKind::Check,
        messages_wanted: 1,
        contacts: None,
        only: Some(Step::Look { at: Stage::Session, connect }),
        deep: false,
        window_days: None,
        capabilities,
        max_attempts: app.settings.max_attempts,
        idempotency: None,
    };
    create(app, new).await
}

/// Nobody looks at a channel that stands still: what it stands still for is the finding.
fn refuse_standstill(channel: &Channel) -> Result<(), Problem> {
    let Some(pause) = &channel.paused else { return Ok(()) };
    let mend = match pause.by {
        PausedBy::Session => {
            "connect the number at the gateway, pair it again if it was logged out; the channel goes on by itself"
        }
        PausedBy::Gateway => "mend that, resume the channel, and check again",
        PausedBy::Operator => "resume the channel, and check again",
    };
    Err(Problem::new(Code::ChannelPaused, format!("paused by {}: {}; {mend}", pause.by, pause.reason)))
}

#[cfg(test)]
mod tests {
    use sincro_core::channel::Pause;

    use super::*;
    use crate::channels::view::channel_for_tests;

    #[test]
    fn a_channel_that_stands_still_is_not_looked_at_and_says_what_for() {
        assert!(refuse_standstill(&channel_for_tests()).is_ok());
        let lost = Channel { paused: Some(Pause::new(PausedBy::Session, "not logged in")), ..channel_for_tests() };
        let problem = refuse_standstill(&lost).unwrap_err();
        assert_eq!(problem.code(), Code::ChannelPaused);
    }
}
