//! `POST /v1/channels/{channel_id}/media/syncs`: fetches the files of messages that are stored.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use sincro_core::sync::SyncStatus;
use sincro_store::media_syncs::NewMediaSync;

use super::{
    idempotency::IdempotencyKey,
    start::{REPLAYED, capabilities_of},
};
use crate::{
    auth::Caller,
    body::{Input, Json},
    deliver::deliver,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    state::App,
};

/// Which files to fetch.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMediaSync, example = json!({"limit": 1000}))]
pub(crate) struct Fetch {
    /// The files of so many messages, the newest first.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 10_000, default = 1_000)]
    limit: Limit,
}

impl Input for Fetch {
    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// How many files.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(1_000)
    }
}

impl Limit {
    /// The number, if it is 1 to 10,000.
    fn within_bounds(self) -> Result<u32, Problem> {
        if (1..=10_000).contains(&self.0) {
            return Ok(self.0);
        }
        Err(Problem::of(Code::InvalidValue, "limit", format!("must be 1 to 10000, not {}", self.0)))
    }
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    Code::IDEMPOTENCY,
    &[
        Code::ChannelNotFound,
        Code::ProviderUnavailable,
        Code::NotSupported,
        Code::MediaOff,
        Code::SyncRunning,
    ],
);

/// Fetch files
///
/// One job for each stored message whose file is known and not stored yet, the newest first: gateways forget files. Those that failed
/// before are tried again, and those that were too large for a lower limit. What is gone from the gateway is no failure: its job ends
/// `empty` with the reason `media gone`; a file beyond the size limit is `skipped` as `too large`. Where files are put is the
/// setting `media_target`; without it this is refused with `media_off`. One such sync per channel can be open, beside others. Its
/// counters of messages count files.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/media/syncs", operation_id = "fetch_media", tag = "syncs",
    params(
        ("channel_id" = Uuid, Path, description = "The channel"),
        ("Idempotency-Key" = Option<String>, Header, description = "As for a channel sync", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = Option<Fetch>, description = "No body at all stands for the defaults."),
    responses(
        (status = 202, body = SyncStatus, description = "The sync as it was recorded; one without files is over already",
         headers(("Location" = String, description = "Where to follow it"),
                 ("Idempotent-Replayed" = bool, description = "`true` where this is the answer to an earlier request"))),
        Refusals,
    ),
)]
pub(crate) async fn fetch(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(channel): ChannelPath,
    idempotency: IdempotencyKey,
    Json { value: given, bytes }: Json<Fetch>,
) -> Result<Response, Problem> {
    let limit = given.limit.within_bounds()?;
    let capabilities = capabilities_of(&app, &app.store.channel(channel).await?)?;
    if !capabilities.media {
        let detail = format!("{} has no call that gives the file of a message", capabilities.provider);
        return Err(Problem::new(Code::NotSupported, detail));
    }
    let Some(most_bytes) = app.settings.media_most_bytes else {
        let detail = "files are fetched where `media_target` (SINCRO_MEDIA_TARGET) names a folder or a bucket for them; \
                      API and workers need it";
        return Err(Problem::new(Code::MediaOff, detail));
    };
    let new = NewMediaSync {
        channel,
        limit,
        most_bytes,
        by_request: true,
        max_attempts: app.settings.max_attempts,
        idempotency: idempotency.with(&caller, &bytes),
    };
    let created = app.store.create_media_sync(new).await?;
    let location = (header::LOCATION, format!("/v1/syncs/{}", created.id));
    let mut response = (StatusCode::ACCEPTED, [location], Answer(created.answer)).into_response();
    if created.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    deliver(&app, &created.notices).await;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;

    #[test]
    fn a_limit_out_of_its_bounds_is_refused_by_field_and_none_stands_for_1000() {
        for limit in ["0", "10001", "4294967295"] {
            let fetch: Fetch = parse(format!(r#"{{"limit":{limit}}}"#).as_bytes()).unwrap();
            let problem = fetch.limit.within_bounds().unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::InvalidValue, Some("limit")), "{limit}");
        }
        assert_eq!(Fetch::absent().unwrap().limit.within_bounds().unwrap(), 1_000);
        assert_eq!(parse::<Fetch>(b"{}").unwrap().limit.0, 1_000);
        assert_eq!(parse::<Fetch>(br#"{"most":1}"#).unwrap_err().code(), Code::UnknownField);
    }
}
