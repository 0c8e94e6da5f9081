//! What the environment tells the tests: where the servers are, and what every process needs.

use std::ffi::OsString;

/// A variable that is set to something.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The same as text.
pub(crate) fn text(name: &str) -> Option<String> {
    let value = variable(name)?;
    Some(value.into_string().unwrap_or_else(|value| panic!("{name} = {} is no text", value.display())))
}
