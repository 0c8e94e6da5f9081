//! Reading the query string and the ids of a path, with refusals that name the parameter.

mod strict;

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    http::{Uri, request::Parts},
};
use serde::Serialize;
use sincro_core::{address::Address, channel::ChannelId, sync::SyncId};

use crate::problem::{Code, Problem};

pub(crate) use strict::{Without, refuse_unknown};

/// The query parameters of a request. A parameter without a value counts as not given.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the query; a parameter that is not among the known ones is refused.
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let name: String = name.chars().take(80).collect();
            if !known.contains(&name.as_str()) {
                let detail = match known {
                    [] => "this call takes no parameters".to_owned(),
                    _ => format!("known parameters: {}", known.join(", ")),
                };
                return Err(Problem::of(Code::UnknownField, name, detail));
            }
            if params.contains_key(&name) {
                return Err(Problem::of(Code::InvalidValue, name, "is given twice"));
            }
            params.insert(name, value.into_owned());
        }
        params.retain(|_, value| !value.is_empty());
        Ok(Self(params))
    }

    /// A parameter as it is. NUL is refused, because no text in the ledger holds one.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.0.get(name) {
            Some(text) if text.contains('\0') => Err(Problem::of(Code::InvalidValue, name, "must not hold NUL")),
            found => Ok(found.map(String::as_str)),
        }
    }

    /// A parameter as the type it should be.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let parsed = self.0.get(name).map(|text| text.parse());
        parsed.transpose().map_err(|error| Problem::of(Code::InvalidValue, name, format!("{error}")))
    }

    /// The parameter `address`.
    pub(crate) fn address(&self) -> Result<Option<Address>, Problem> {
        let parsed = self.0.get("address").map(|text| text.parse());
        parsed.transpose().map_err(|error| Problem::of_address("address", &error))
    }

    /// The parameter `after` as a row id; 0 when there is none.
    pub(crate) fn after_row(&self) -> Result<i64, Problem> {
        Ok(self.row("after")?.unwrap_or_default())
    }

    /// A parameter as a row id.
    pub(crate) fn row(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        match self.parsed::<i64>(name)? {
            Some(row) if row < 0 => Err(Problem::of(Code::InvalidValue, name, "must not be negative")),
            row => Ok(row),
        }
    }

    /// The parameter `limit`: 1 to `max`.
    pub(crate) fn limit(&self, default: u16, max: u16) -> Result<u16, Problem> {
        let out_of_bounds = || Problem::of(Code::InvalidValue, "limit", format!("must be 1 to {max}"));
        let limit = match self.0.get("limit") {
            None => default,
            Some(text) => text.parse().map_err(|_| out_of_bounds())?,
        };
        if (1..=max).contains(&limit) { Ok(limit) } else { Err(out_of_bounds()) }
    }
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct List<T> {
    /// The elements.
    pub(crate) items: Vec<T>,
    /// Ask with `after=` this to go on; null at the end.
    pub(crate) next: Option<String>,
}

impl<T> List<T> {
    /// A page of at most `limit` out of the rows, one more of which tells that there are more.
    pub(crate) fn page(mut rows: Vec<T>, limit: u16, cursor: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > usize::from(limit);
        rows.truncate(limit.into());
        let next = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next }
    }
}

/// How many rows to ask for, so that [`List::page`] can tell whether there are more.
pub(crate) fn one_more(limit: u16) -> i64 {
    i64::from(limit) + 1
}

/// The `channel_id` of a path; what is no id is no channel.
#[derive(Debug)]
pub(crate) struct ChannelPath(pub(crate) ChannelId);

impl<S: Sync> FromRequestParts<S> for ChannelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = segment(parts, "channel_id").await.and_then(|text| text.parse().ok());
        found.map(Self).ok_or_else(Problem::no_channel)
    }
}

/// The `sync_id` of a path; what is no id is no sync.
#[derive(Debug)]
pub(crate) struct SyncPath(pub(crate) SyncId);

impl<S: Sync> FromRequestParts<S> for SyncPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = segment(parts, "sync_id").await.and_then(|text| text.parse().ok());
        found.map(Self).ok_or_else(Problem::no_sync)
    }
}

/// The `address` of a path.
#[derive(Debug)]
pub(crate) struct AddressPath(pub(crate) Address);

impl<S: Sync> FromRequestParts<S> for AddressPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = segment(parts, "address").await.unwrap_or_default();
        text.parse().map(Self).map_err(|error| Problem::of_address("address", &error))
    }
}

/// The longest id of a message.
const LONGEST_ID: usize = 255;

/// The `message_id` of a path: any text that could be one.
#[derive(Debug)]
pub(crate) struct MessagePath(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for MessagePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refused = || {
            let detail = format!("must be 1 to {LONGEST_ID} visible ASCII characters");
            Problem::of(Code::InvalidValue, "message_id", detail)
        };
        let text = segment(parts, "message_id").await.ok_or_else(refused)?;
        let usable = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if usable { Ok(Self(text)) } else { Err(refused()) }
    }
}

/// One segment of the path by its name, decoded; none where it is not UTF-8.
async fn segment(parts: &mut Parts, name: &str) -> Option<String> {
    let Path(mut segments) = Path::<BTreeMap<String, String>>::from_request_parts(parts, &()).await.ok()?;
    segments.remove(name)
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::Request, routing::get};
    use sincro_core::sync::SyncState;
    use tower::ServiceExt as _;

    use super::*;

    fn params(query: &str) -> Result<Params, Problem> {
        Params::read(&format!("/?{query}").parse().unwrap(), &["state", "limit", "after", "address"])
    }

    fn field(problem: &Problem) -> (Code, &str) {
        (problem.code(), problem.field().unwrap_or_default())
    }

    #[test]
    fn parameters_are_read_and_empty_ones_count_as_not_given() {
        let params = params("state=running&limit=&address=5511988887777%40c.us").unwrap();
        assert_eq!(params.parsed::<SyncState>("state").unwrap(), Some(SyncState::Running));
        assert_eq!(params.limit(100, 1_000).unwrap(), 100);
        assert_eq!(params.address().unwrap().unwrap().as_str(), "5511988887777@s.whatsapp.net");
        assert_eq!(params.text("after").unwrap(), None);
    }

    #[test]
    fn an_unknown_or_repeated_parameter_is_refused_by_name() {
        assert_eq!(field(&params("colour=red").unwrap_err()), (Code::UnknownField, "colour"));
        assert_eq!(field(&params("limit=1&limit=2").unwrap_err()), (Code::InvalidValue, "limit"));
    }

    #[test]
    fn a_limit_is_a_number_within_its_bounds() {
        for (text, limit) in [("1", Some(1)), ("1000", Some(1_000))] {
            assert_eq!(params(&format!("limit={text}")).unwrap().limit(100, 1_000).ok(), limit);
        }
        for text in ["0", "1001", "ten", "-1", "99999999999"] {
            let problem = params(&format!("limit={text}")).unwrap().limit(100, 1_000).unwrap_err();
            assert_eq!(field(&problem), (Code::InvalidValue, "limit"), "{text}");
        }
    }

    #[test]
    fn values_that_no_type_or_ledger_takes_are_refused_by_name() {
        let bad = params("state=busy&after=%00&address=1@g.us").unwrap();
        assert_eq!(field(&bad.parsed::<SyncState>("state").unwrap_err()), (Code::InvalidValue, "state"));
        assert_eq!(field(&bad.text("after").unwrap_err()), (Code::InvalidValue, "after"));
        assert_eq!(field(&bad.address().unwrap_err()), (Code::NotAPerson, "address"));
        assert_eq!(field(&params("after=-1").unwrap().after_row().unwrap_err()), (Code::InvalidValue, "after"));
    }

    #[test]
    fn a_page_points_on_only_when_there_is_more() {
        let page = |rows: Vec<i32>| List::page(rows, 2, ToString::to_string);
        assert_eq!(page(vec![1, 2, 3]).next.as_deref(), Some("2"));
        assert_eq!(page(vec![1, 2, 3]).items, [1, 2]);
        assert_eq!(page(vec![1, 2]).next, None);
        assert_eq!(page(Vec::new()).next, None);
    }

    #[tokio::test]
    async fn what_is_no_id_in_a_path_is_nothing_that_exists() {
        let router = Router::new()
            .route("/c/{channel_id}", get(async |_: ChannelPath| ()))
            .route("/s/{sync_id}", get(async |_: SyncPath| ()))
            .route("/a/{address}", get(async |address: AddressPath| address.0.to_string()));
        for (path, status) in [
            ("/c/01890a5d-ac96-774b-bcce-b302099a8057", 200),
            ("/c/7", 404),
            ("/c/%ff", 404),
            ("/s/01890a5d-ac96-774b-bcce-b302099a8057", 200),
            ("/s/seven", 404),
            ("/a/5511988887777%40s.whatsapp.net", 200),
            ("/a/5511988887777@s.whatsapp.net", 200),
            ("/a/5511988887777", 422),
            ("/a/120363000000000000@g.us", 422),
            ("/a/%ff", 422),
        ] {
            let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
        }
    }
}
