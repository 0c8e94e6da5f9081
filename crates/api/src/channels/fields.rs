//! What the fields of a channel may hold; the same rule at creation and at change.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::{limit::Limit, provider::Provider};
use sincro_store::channels::NewCredentials;
use url::Url;

use crate::{
    problem::{Code, Problem},
    state::Settings,
    text,
};

const LONGEST_NAME: usize = 200;
const LONGEST_URL: usize = 2_048;

/// The operator's name for a channel.
pub(crate) fn name(given: &str) -> Result<String, Problem> {
    text::line("name", given, LONGEST_NAME)
}

/// The root of a gateway. The text is not quoted in a refusal: it may hold a password.
pub(crate) fn base_url(given: &str) -> Result<Url, Problem> {
    let refused = |detail: &str| Problem::of(Code::BadBaseUrl, "base_url", detail);
    if given.len() > LONGEST_URL {
        return Err(refused("must have at most 2048 characters"));
    }
    let url: Url = given.trim().parse().map_err(|error| refused(&format!("is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("must begin with http:// or https://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused("must name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold a user or a password; credentials have a field of their own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must not have a query or a fragment"));
    }
    Ok(url)
}

/// Credentials that the provider accepts.
pub(crate) fn credentials(settings: &Settings, provider: Provider, given: &Value) -> Result<NewCredentials, Problem> {
    if !given.is_object() {
        return Err(Problem::of(Code::BadCredentials, "credentials", "must be an object"));
    }
    (settings.check_credentials)(provider, given)
        .map_err(|(field, problem)| Problem::of(Code::BadCredentials, field, problem))?;
    let account = (settings.capabilities)(provider).and_then(|capabilities| given[capabilities.account].as_str());
    Ok(NewCredentials { text: SecretString::from(given.to_string()), account: account.map(SecretString::from) })
}

/// Whether this version can talk to the provider.
pub(crate) fn provider(settings: &Settings, given: Provider) -> Result<(), Problem> {
    if (settings.capabilities)(given).is_some() {
        return Ok(());
    }
    Err(Problem::of(Code::ProviderUnavailable, "provider", format!("this version cannot talk to {given} yet")))
}

/// A limit within its bounds.
pub(crate) fn limit(given: Limit) -> Result<Limit, Problem> {
    given.check().map_err(|(field, detail)| Problem::of(Code::InvalidValue, format!("limit.{field}"), detail))?;
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_an_http_root_and_may_have_a_path() {
        for url in ["http://wuzapi:8080", "https://gate.whapi.cloud/", "https://example.org/prefix/", "http://[::1]:1"]
        {
            assert!(base_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn anything_else_is_no_gateway() {
        for url in [
            "",
            "wuzapi:8080",
            "/path",
            "ftp://example.org",
            "javascript:alert(1)",
            "http://",
            "http://user@example.org",
            "http://user:hunter2@example.org",
            "http://example.org/?key=hunter2",
            "http://example.org/#hunter2",
            &format!("http://example.org/{}", "x".repeat(3_000)),
        ] {
            let problem = base_url(url).unwrap_err();
            assert_eq!((problem.code(), problem.field()), (Code::BadBaseUrl, Some("base_url")), "{url}");
            assert!(!format!("{problem:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_limit_out_of_its_bounds_is_refused_by_field() {
        for (given, field) in [
            (Limit { rate_per_second: 0.0, ..Limit::default() }, "limit.rate_per_second"),
            (Limit { burst: 0, ..Limit::default() }, "limit.burst"),
            (Limit { concurrency: 1_001, ..Limit::default() }, "limit.concurrency"),
        ] {
            assert_eq!(limit(given).unwrap_err().field(), Some(field));
        }
    }
}
