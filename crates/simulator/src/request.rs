//! Reading the head of a request, for every contract alike.

use std::{borrow::Cow, collections::HashMap};

use axum::{
    extract::{Query, Request},
    http::Uri,
};

/// The parameters behind the question mark.
pub(crate) fn query_of(uri: &Uri) -> HashMap<String, String> {
    Query::try_from_uri(uri).map(|Query(query)| query).unwrap_or_default()
}

/// A path segment read as if it were a query value, the one decoder at hand; a plus sign means itself in a path.
pub(crate) fn percent_decoded(segment: &str) -> Option<String> {
    let uri: Uri = format!("/?it={}", segment.replace('+', "%2B")).parse().ok()?;
    query_of(&uri).remove("it")
}

/// `GET`, ...
pub(crate) fn method_of(request: &Request) -> Cow<'static, str> {
    match request.method().as_str() {
        "GET" => Cow::Borrowed("GET"),
        "POST" => Cow::Borrowed("POST"),
        other => Cow::Owned(other.to_owned()),
    }
}

/// A header that can be read, empty without one.
pub(crate) fn header_of<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
