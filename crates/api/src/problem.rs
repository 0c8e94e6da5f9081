//! What a refused request is answered: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! Every refusal of this crate becomes a [`Problem`], and everything that can fail below it is translated here, once.
//! A problem quotes nothing that may be a secret; what is wrong on our side goes to the log, not to the client.

mod code;

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use sincro_core::{address::AddressError, sync::SyncId};
use sincro_store::{Conflict, Error as LedgerError, Missing};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Described, ResponseBuilder};

pub(crate) use code::Code;

/// Seconds after which a request that failed for a passing reason may be tried again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
const MEDIA_TYPE: &str = "application/problem+json";
/// Values of the client are quoted up to this length.
const LONGEST_DETAIL: usize = 500;
/// And its names of fields.
const LONGEST_FIELD: usize = 100;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    sync: Option<SyncId>,
}

/// A refused request, as clients read it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// `urn:sincro:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What it is this time.
    detail: &'a str,
    /// A stable word to branch on.
    code: Code,
    /// The part of the request that is at fault: a path into the body, a query parameter, a path parameter or a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// With `sync_running`: the sync that is in the way.
    #[schema(value_type = Option<Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    running_sync: Option<SyncId>,
    /// With `sync_open`: a sync that is in the way.
    #[schema(value_type = Option<Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    open_sync: Option<SyncId>,
}

impl Problem {
    /// A problem that no single field is to blame for.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: shortened(detail.into(), LONGEST_DETAIL), field: None, sync: None }
    }

    /// A problem of one field.
    pub(crate) fn of(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(shortened(field.into(), LONGEST_FIELD)), ..Self::new(code, detail) }
    }

    /// A problem on our side; the cause is logged, not told.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "the request failed");
        Self::new(Code::Internal, "the log of the server says more, under the x-request-id of this answer")
    }

    /// An address that cannot be used, in this field.
    pub(crate) fn of_address(field: impl Into<String>, error: &AddressError) -> Self {
        let code = match error {
            AddressError::Malformed(_) => Code::MalformedJid,
            AddressError::NotAPerson(_) => Code::NotAPerson,
            AddressError::WrongKind { .. } => Code::WrongJidKind,
        };
        Self::of(code, field, error.to_string())
    }

    /// Only the queue knows, and it does not answer.
    pub(crate) fn no_queue() -> Self {
        Self::new(Code::QueueUnavailable, "Redis does not answer; try again in a moment")
    }

    /// An `after` that points nowhere.
    pub(crate) fn unknown_cursor(what: &str) -> Self {
        Self::of(Code::InvalidValue, "after", format!("{what}; give the last answer's `next`"))
    }

    /// No channel under what the path says.
    pub(crate) fn no_channel() -> Self {
        Self::of(Code::ChannelNotFound, "channel_id", "there is no channel with this id")
    }

    /// No sync under what the path says.
    pub(crate) fn no_sync() -> Self {
        Self::of(Code::SyncNotFound, "sync_id", "there is no sync with this id")
    }

    /// The detail, and the field or nothing.
    pub(crate) fn for_people(&self) -> (&str, &str) {
        (&self.detail, self.field.as_deref().unwrap_or_default())
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    fn document(&self) -> Document<'_> {
        Document {
            kind: format!("urn:sincro:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
            running_sync: self.sync.filter(|_| self.code == Code::SyncRunning),
            open_sync: self.sync.filter(|_| self.code == Code::SyncOpen),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        let mut response = (self.code.status(), [(header::CONTENT_TYPE, media_type)], body).into_response();
        let headers = response.headers_mut();
        match self.code {
            Code::Unauthorized => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Code::LedgerUnavailable | Code::QueueUnavailable | Code::TimedOut | Code::TooManyStreams => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            _ => {}
        }
        response
    }
}

fn shortened(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(_) => {
                tracing::warn!(%error, "the ledger is unavailable");
                Self::new(
                    Code::LedgerUnavailable,
                    "the database does not answer; try again, with an Idempotency-Key where it must not happen twice",
                )
            }
            LedgerError::NotFound(Missing::Channel) => Self::no_channel(),
            LedgerError::NotFound(Missing::Sync) => Self::no_sync(),
            LedgerError::NotFound(Missing::Contact) => {
                Self::of(Code::ContactNotFound, "address", "the channel knows nobody under this address")
            }
            LedgerError::NotFound(Missing::Message) => Self::unknown_cursor("the channel has no message with this id"),
            LedgerError::Conflict(conflict) => conflict.into(),
            LedgerError::Refused(_)
            | LedgerError::Migration(_)
            | LedgerError::Sealed(_)
            | LedgerError::Unreadable(_) => Self::internal(error),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        let detail = conflict.to_string();
        match conflict {
            Conflict::SyncRunning(sync) => Self { sync: Some(sync), ..Self::new(Code::SyncRunning, detail) },
            Conflict::SyncOpen(sync) => Self { sync: Some(sync), ..Self::new(Code::SyncOpen, detail) },
            Conflict::FeatureMissing => Self::new(Code::FeatureMissing, detail),
            Conflict::ChannelPaused => Self::new(Code::ChannelPaused, detail),
            Conflict::SyncOver => Self::new(Code::SyncOver, detail),
            Conflict::IdempotencyKeyReused => Self::of(Code::IdempotencyKeyReused, "Idempotency-Key", detail),
        }
    }
}

/// Describes the answers of a call that can be refused with these codes, one response per status.
pub(crate) fn responses(groups: &[&[Code]]) -> BTreeMap<String, RefOr<Described>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for &code in groups.iter().copied().flatten() {
        let codes = by_status.entry(code.status().as_u16()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), RefOr::T(describe(&codes)))).collect()
}

fn describe(codes: &[Code]) -> Described {
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.as_str(), code.meaning())).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    if let Some(&code) = codes.first() {
        content = content.example(Some(json!(Problem::new(code, code.meaning()).document())));
    }
    ResponseBuilder::new().description(lines.join("\n")).content(MEDIA_TYPE, content.build()).build()
}

/// Declares a type that lists the problems of a call in `#[utoipa::path(responses(...))]`.
macro_rules! refusals {
    ($name:ident: $($codes:expr),+ $(,)?) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses()
            -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::response::Response>> {
                $crate::problem::responses(&[$($codes),+])
            }
        }
    };
}

pub(crate) use refusals;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::body::to_bytes;
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    async fn answered(problem: Problem) -> (Response, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, axum::body::Body::empty()), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_problem_says_what_where_and_with_which_code() {
        let (response, body) = answered(Problem::of(Code::InvalidValue, "limit.burst", "must be 1 to 1000")).await;
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let expected = json!({
            "type": "urn:sincro:problem:invalid_value", "title": "A value cannot be used", "status": 422,
            "detail": "must be 1 to 1000", "code": "invalid_value", "field": "limit.burst"
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_running_sync_in_the_way_is_named() {
        let (response, body) = answered(Conflict::SyncRunning(Uuid::from_u128(7)).into()).await;
        assert_eq!(response.status(), 409);
        assert_eq!(body["running_sync"], Uuid::from_u128(7).to_string());
        assert!(body.get("open_sync").is_none());
        let (_, body) = answered(Conflict::SyncOpen(Uuid::from_u128(8)).into()).await;
        assert_eq!(body["open_sync"], Uuid::from_u128(8).to_string());
    }

    #[tokio::test]
    async fn what_passes_says_when_to_come_back_and_a_missing_key_says_how_to_bring_one() {
        for code in [Code::LedgerUnavailable, Code::QueueUnavailable, Code::TimedOut, Code::TooManyStreams] {
            assert_eq!(answered(Problem::new(code, "")).await.0.headers()["retry-after"], "2");
        }
        assert_eq!(answered(Problem::new(Code::Unauthorized, "")).await.0.headers()["www-authenticate"], "Bearer");
    }

    #[tokio::test]
    async fn an_internal_error_tells_nothing_of_its_cause() {
        let (response, body) = answered(LedgerError::Unreadable("relation jobs".into()).into()).await;
        assert_eq!(response.status(), 500);
        assert!(!body.to_string().contains("relation"), "{body}");
    }

    #[test]
    fn a_detail_is_cut_at_a_character() {
        let problem = Problem::new(Code::BadJson, "é".repeat(LONGEST_DETAIL * 2));
        assert_eq!(problem.detail.chars().count(), LONGEST_DETAIL + 1);
    }

    #[test]
    fn codes_are_distinct_snake_case_words_with_a_meaning() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(code.status().is_client_error() || code.status().is_server_error());
            assert!(code.meaning().ends_with('.') && !code.title().is_empty());
            assert_eq!(json!(code), json!(code.as_str()));
        }
    }

    #[test]
    fn codes_of_one_status_share_a_response() {
        let described = responses(&[Code::BODY, &[Code::BadJson, Code::ChannelNotFound]]);
        assert_eq!(described.keys().collect::<Vec<_>>(), ["400", "404", "413", "415", "422"]);
        let RefOr::T(bad_request) = &described["400"] else { panic!("a reference") };
        assert_eq!(bad_request.description.matches("- `").count(), 2);
    }
}
