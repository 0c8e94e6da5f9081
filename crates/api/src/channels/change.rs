//! `PATCH /v1/channels/{channel_id}`: changes what is given and leaves the rest.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State};
use serde::Deserialize;
use serde_json::Value;
use sincro_core::{
    channel::{Channel, Feature},
    limit::Limit,
};
use sincro_store::channels::{ChannelChange, LimitChange as PartsOfLimit};

use super::{fields, view::View};
use crate::{
    auth::Caller,
    body::{Input, Json},
    deliver::deliver,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    queue_view::Deadline,
    state::{App, Settings},
};

/// What to change. What is left out, or null, stays as it is.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelChange, example = json!({"limit": {"rate_per_second": 5.0}}))]
pub(crate) struct Change {
    /// Your name for it, 1 to 200 characters.
    name: Option<String>,
    /// The gateway's root.
    base_url: Option<String>,
    /// New credentials, all of them.
    #[schema(value_type = Option<Object>)]
    credentials: Option<Value>,
    /// What the channel is entitled to from now on, all of it.
    #[schema(value_type = Option<Vec<Feature>>)]
    features: Option<BTreeSet<Feature>>,
    /// How fast its gateway may be called where no rule of `/v1/limits` is about the channel; parts that are left out stay
    /// as they are.
    limit: Option<LimitChange>,
}

/// The parts of a limit to change.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitChange {
    /// Gateway calls per second over all workers, more than 0, at most 10,000.
    #[schema(exclusive_minimum = 0.0, maximum = 10_000.0)]
    rate_per_second: Option<f64>,
    /// Calls that may be made at once after a quiet time, 1 to 1,000.
    #[schema(minimum = 1, maximum = 1_000)]
    burst: Option<u32>,
    /// Calls that may be under way at once over all workers, 1 to 1,000.
    #[schema(minimum = 1, maximum = 1_000)]
    concurrency: Option<u32>,
}

impl Input for Change {}

impl Change {
    /// The change to this channel, or none where nothing is given.
    fn read(self, settings: &Settings, channel: &Channel) -> Result<Option<ChannelChange>, Problem> {
        let Self { name, base_url, credentials, features, limit } = self;
        let nothing =
            name.is_none() && base_url.is_none() && credentials.is_none() && features.is_none() && limit.is_none();
        if nothing {
            return Ok(None);
        }
        let credentials = credentials.map(|given| fields::credentials(settings, channel.provider, &given));
        Ok(Some(ChannelChange {
            name: name.map(|given| fields::name(&given)).transpose()?,
            base_url: base_url.map(|given| fields::base_url(&given)).transpose()?,
            credentials: credentials.transpose()?,
            features,
            limit: limit.map(|given| given.read(channel.limit)).transpose()?.unwrap_or_default(),
        }))
    }
}

impl LimitChange {
    /// The parts, if they are within their bounds beside the parts that stay.
    fn read(self, now: Limit) -> Result<PartsOfLimit, Problem> {
        let Self { rate_per_second, burst, concurrency } = self;
        fields::limit(Limit {
            rate_per_second: rate_per_second.unwrap_or(now.rate_per_second),
            burst: burst.unwrap_or(now.burst),
            concurrency: concurrency.unwrap_or(now.concurrency),
        })?;
        Ok(PartsOfLimit { rate_per_second, burst, concurrency })
    }
}

refusals!(Refusals: Code::ANY, Code::BODY, &[Code::ChannelNotFound, Code::SyncOpen, Code::BadBaseUrl, Code::BadCredentials]);

/// Change a channel
///
/// Only what is given changes. Jobs that run are not disturbed; the next ones follow the new rules. A change of the limit is kept
/// in `GET /v1/limits/changes`. While a sync of the channel is open its `base_url` cannot move to another server.
#[utoipa::path(
    patch, path = "/v1/channels/{channel_id}", operation_id = "change_channel", tag = "channels",
    params(("channel_id" = Uuid, Path, description = "The channel")),
    request_body = Change,
    responses((status = 200, body = View, description = "The channel as it is now"), Refusals),
)]
pub(crate) async fn change(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(id): ChannelPath,
    Json { value: given, .. }: Json<Change>,
) -> Result<Answer<View>, Problem> {
    let mut channel = app.store.channel(id).await?;
    if let Some(change) = given.read(&app.settings, &channel)? {
        let (changed, notice) = app.store.change_channel(id, change, &caller.name).await?;
        app.forget_server(id);
        deliver(&app, &[notice]).await;
        channel = changed;
    }
    Ok(Answer(View::of(&app, &caller, channel, Deadline::start()).await))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;

    #[test]
    fn a_part_of_a_limit_leaves_the_other_parts_alone() {
        let change: Change = parse(br#"{"limit":{"burst":3}}"#).unwrap();
        let before = Limit { rate_per_second: 5.0, burst: 1, concurrency: 2 };
        let parts = change.limit.unwrap().read(before).unwrap();
        assert_eq!((parts.rate_per_second, parts.burst, parts.concurrency), (None, Some(3), None));
    }

    #[test]
    fn the_provider_cannot_be_changed() {
        for (body, field) in [(r#"{"provider":"whapi"}"#, "provider"), (r#"{"limit":{"weight":1}}"#, "limit.weight")] {
            let problem = parse::<Change>(body.as_bytes()).err().unwrap();
            assert_eq!((problem.code(), problem.field()), (Code::UnknownField, Some(field)));
        }
    }
}
