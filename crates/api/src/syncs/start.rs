//! `POST /v1/channels/{channel_id}/syncs`: every contact of a channel, or those of a list.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use sincro_core::{
    channel::Channel,
    contact::Contact,
    provider::Capabilities,
    sync::{SyncKind, SyncStatus},
};
use sincro_store::syncs::{CreatedSync, NewSync};

use super::{
    contacts::{self, ContactInput},
    idempotency::IdempotencyKey,
};
use crate::{
    auth::Caller,
    body::{AtMost, Input, Json},
    deliver::deliver,
    params::ChannelPath,
    problem::{Code, Problem, refusals},
    state::App,
};

/// Room for the longest list with names.
const MAX_BYTES: usize = 32 * 1024 * 1024;
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What to sync.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSync, example = json!({"messages_per_contact": 25}))]
pub(crate) struct Start {
    /// Newest messages to read per address.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 25)]
    messages_per_contact: MessageCount,
    /// Whom to sync, at most 100,000; the gateway's whole contact list if left out.
    #[schema(value_type = Option<Vec<ContactInput>>, min_items = 1, max_items = 100_000)]
    contacts: Option<AtMost<ContactInput, { contacts::MOST }>>,
    /// Leave out messages that are older than so many days; the receipt counts them. Nothing is left out without it.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 365)]
    window_days: Option<WindowDays>,
    /// Have the phone asked for older messages where the gateway holds fewer than are wanted. One request at a time, so it takes
    /// long; refused where the provider cannot.
    #[serde(default)]
    deep: bool,
}

impl Input for Start {
    const MAX_BYTES: usize = MAX_BYTES;

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// What was asked for, within its bounds.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) messages_wanted: u32,
    /// None stands for everybody.
    pub(super) contacts: Option<Vec<Contact>>,
    pub(super) window_days: Option<u16>,
    pub(super) deep: bool,
}

impl Start {
    /// Checks everything that no provider has a say in.
    pub(crate) fn read(self) -> Result<Asked, Problem> {
        Ok(Asked {
            messages_wanted: self.messages_per_contact.within_bounds("messages_per_contact")?,
            contacts: self.contacts.map(contacts::read).transpose()?,
            window_days: self.window_days.map(WindowDays::within_bounds).transpose()?,
            deep: self.deep,
        })
    }
}

impl Asked {
    /// Checks what the provider has a say in.
    pub(super) fn suits(self, capabilities: Capabilities) -> Result<Self, Problem> {
        let provider = capabilities.provider;
        if self.contacts.is_some() && !capabilities.single_contacts() {
            let detail =
                format!("{provider} delivers the history of a whole number and cannot be asked for single contacts");
            return Err(Problem::of(Code::NotSupported, "contacts", detail));
        }
        if self.deep && !capabilities.top_up {
            let detail = format!("{provider} has no call that asks the phone for older messages");
            return Err(Problem::of(Code::NotSupported, "deep", detail));
        }
        Ok(self)
    }
}

/// How old messages may be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct WindowDays(u32);

impl WindowDays {
    /// The number, if it is 1 to 365.
    pub(super) fn within_bounds(self) -> Result<u16, Problem> {
        let days = u16::try_from(self.0).ok().filter(|days| (1..=365).contains(days));
        days.ok_or_else(|| Problem::of(Code::InvalidValue, "window_days", format!("must be 1 to 365, not {}", self.0)))
    }
}

/// How many messages to ask for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct MessageCount(u32);

impl Default for MessageCount {
    fn default() -> Self {
        Self(25)
    }
}

impl MessageCount {
    /// The number, if it is 1 to 100.
    pub(super) fn within_bounds(self, field: &'static str) -> Result<u32, Problem> {
        if (1..=100).contains(&self.0) {
            return Ok(self.0);
        }
        Err(Problem::of(Code::InvalidValue, field, format!("must be 1 to 100, not {}", self.0)))
    }
}

refusals!(
    Refusals: Code::ANY,
    Code::BODY,
    Code::ADDRESS,
    Code::IDEMPOTENCY,
    Code::SYNC_OF_CHANNEL,
    &[Code::SyncRunning],
);

/// Sync a channel
///
/// Two jobs per contact, one for its phone JID and one for its LID, where the provider reads history per address; one job for the
/// number where it delivers everything after one request. Without a list a job reads the gateway's contacts first; with one the
/// jobs are written at once. Needs the channel's feature `import_messages`. One such sync per channel can be
/// open: another is refused with `sync_running`, which names it.
///
/// The sync is recorded before the answer. While Redis is away it is accepted all the same and begins when Redis is back.
#[utoipa::path(
    post, path = "/v1/channels/{channel_id}/syncs", operation_id = "start_channel_sync", tag = "syncs",
    params(
        ("channel_id" = Uuid, Path, description = "The channel"),
        ("Idempotency-Key" = Option<String>, Header, description = "For 24 hours the same key with the same request gets the \
          first answer again (`Idempotent-Replayed: true`) and starts nothing; with another request it is refused", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body(content = Option<Start>, description = "No body at all stands for the defaults. At most 32 MiB."),
    responses(
        (status = 202, body = SyncStatus, description = "The sync as it was recorded",
         headers(("Location" = String, description = "Where to follow it"),
                 ("Idempotent-Replayed" = bool, description = "`true` where this is the answer to an earlier request"))),
        Refusals,
    ),
)]
pub(crate) async fn start(
    Caller(caller): Caller,
    State(app): State<App>,
    ChannelPath(channel): ChannelPath,
    idempotency: IdempotencyKey,
    Json { value: given, bytes }: Json<Start>,
) -> Result<Response, Problem> {
    let asked = given.read()?;
    let capabilities = capabilities_of(&app, &app.store.channel(channel).await?)?;
    let Asked { messages_wanted, contacts, window_days, deep } = asked.suits(capabilities)?;
    let new = NewSync {
        channel,
        kind: SyncKind::Channel,
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

/// What the channel's provider offers; a channel of a provider that is not built cannot be synced.
pub(crate) fn capabilities_of(app: &App, channel: &Channel) -> Result<Capabilities, Problem> {
    let provider = channel.provider;
    (app.settings.capabilities)(provider).ok_or_else(|| {
        Problem::new(
            Code::ProviderUnavailable,
            format!("this version cannot talk to {provider}, the channel's provider"),
        )
    })
}

/// Records a sync, tells the queue, and answers with what was recorded.
pub(crate) async fn create(app: &App, new: NewSync) -> Result<Response, Problem> {
    let CreatedSync { id, answer, notice } = app.store.create_sync(new).await?;
    let location = (header::LOCATION, format!("/v1/syncs/{id}"));
    let mut response = (StatusCode::ACCEPTED, [location], Answer(answer)).into_response();
    match notice {
        Some(notice) => deliver(app, &[notice]).await,
        None => drop(response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"))),
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;

    fn refusal(body: &str) -> (Code, Option<String>) {
        let checked = parse::<Start>(body.as_bytes())
            .and_then(|start| start.messages_per_contact.within_bounds("messages_per_contact"));
        let problem = checked.unwrap_err();
        (problem.code(), problem.field().map(str::to_owned))
    }

    #[test]
    fn a_count_out_of_its_bounds_or_of_the_wrong_type_is_refused_by_field() {
        for count in ["0", "101", "\"ten\"", "-1", "2.5", "null", "4294967296"] {
            let body = format!(r#"{{"messages_per_contact":{count}}}"#);
            assert_eq!(refusal(&body), (Code::InvalidValue, Some("messages_per_contact".to_owned())), "{count}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_also_inside_a_contact() {
        assert_eq!(refusal(r#"{"messages":25}"#), (Code::UnknownField, Some("messages".to_owned())));
        let contact = r#"{"contacts":[{"lid":"1@lid"},{"phone":"1"}]}"#;
        assert_eq!(refusal(contact), (Code::UnknownField, Some("contacts[1].phone".to_owned())));
    }

    #[test]
    fn nothing_given_stands_for_25_messages_of_everybody() {
        let start = Start::absent().unwrap();
        assert_eq!(start.messages_per_contact.within_bounds("").unwrap(), 25);
        assert!(start.contacts.is_none());
        assert_eq!(parse::<Start>(b"{}").unwrap().messages_per_contact.0, 25);
    }
}
