//! What a channel's credentials may look like: an object of known fields, each a text that a header can carry.
//!
//! Values are secrets: no error repeats one.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use sincro_core::channel::Connection;

/// Why credentials cannot be those of a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct CredentialsError {
    /// The path of the field in the request, such as `credentials.token`; `credentials` or `provider` when it is about the
    /// whole.
    pub field: String,
    /// What is wrong with it, without its value.
    pub problem: String,
}

impl CredentialsError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn of(name: &str, problem: impl Into<String>) -> Self {
        Self::new(format!("credentials.{name}"), problem)
    }
}

/// Those of a channel; parsed for each call, so that nothing keeps them.
pub(crate) fn given(connection: &Connection) -> Result<Value, CredentialsError> {
    serde_json::from_str(connection.credentials.expose_secret())
        .map_err(|_| CredentialsError::new("credentials", "must be JSON"))
}

/// The fields of a credentials object, none of them unknown.
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(crate) fn read(given: &'a Value, known: &[&str]) -> Result<Self, CredentialsError> {
        let Value::Object(fields) = given else {
            return Err(CredentialsError::new("credentials", "must be an object"));
        };
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(Self(fields)),
            Some(unknown) => {
                let name: String = unknown.chars().filter(|c| !c.is_control()).take(40).collect();
                Err(CredentialsError::of(&name, format!("is not known; known are: {}", known.join(", "))))
            }
        }
    }

    /// A text that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&'a str, CredentialsError> {
        self.optional(name)?.ok_or_else(|| CredentialsError::of(name, "is required"))
    }

    /// A text that may be missing; `null` counts as missing.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&'a str>, CredentialsError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => check_text(name, text).map(Some),
            Some(_) => Err(CredentialsError::of(name, "must be a string")),
        }
    }
}

fn check_text<'a>(name: &str, text: &'a str) -> Result<&'a str, CredentialsError> {
    if text.trim().is_empty() {
        return Err(CredentialsError::of(name, "must not be empty"));
    }
    // HTTP would trim the one and refuse the other, so both would look like a wrong secret later on.
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(CredentialsError::of(name, "must not begin or end with a space, nor hold control characters"));
    }
    Ok(text)
}
