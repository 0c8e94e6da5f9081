//! What can come back instead of an answer, told by who has to act: the caller, or whoever runs the API.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;
use sincro_core::sync::SyncId;

const EXCERPT_CHARS: usize = 300;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is at fault (4xx).
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The API is at fault (5xx, or nothing an API should answer).
    #[error("the API failed: {0}")]
    Failed(Box<Problem>),
    /// Nobody there, or the line broke.
    #[error(
        "cannot reach the API: {}; is `sincro all` running at {url}? (--api-url, SINCRO_API_URL)",
        root_cause(source)
    )]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened on the way.
        source: reqwest::Error,
    },
    /// An answer that says something else than it should.
    #[error("the answer to {call} is not understood: {source}; is the API another version?")]
    Unreadable {
        /// The call.
        call: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
}

/// A problem as the API describes it (`application/problem+json`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// What kind of problem.
    pub title: String,
    /// What it is this time.
    pub detail: Option<String>,
    /// A stable word for it.
    pub code: Option<String>,
    /// The part of the request that is at fault.
    pub field: Option<String>,
    /// The sync that is in the way, where one is.
    pub running_sync: Option<SyncId>,
    /// What to do about it; ours, not the API's.
    #[serde(skip)]
    pub hint: Option<&'static str>,
}

impl Problem {
    /// Reads an answer; one that is no problem document is quoted in its beginning.
    pub(super) fn read(status: StatusCode, body: &str) -> Self {
        let read = serde_json::from_str::<Self>(body).ok().filter(|problem| !problem.title.is_empty());
        read.unwrap_or_else(|| {
            let excerpt: String = body.trim().chars().take(EXCERPT_CHARS).collect();
            Self { title: status.to_string(), detail: (!excerpt.is_empty()).then_some(excerpt), ..Self::default() }
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        match (&self.code, &self.field) {
            (Some(code), Some(field)) => write!(f, " ({code}, {field})"),
            (Some(only), None) | (None, Some(only)) => write!(f, " ({only})"),
            (None, None) => Ok(()),
        }?;
        self.hint.map_or(Ok(()), |hint| write!(f, "\n{hint}"))
    }
}

/// The innermost cause: "Connection refused" instead of "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
