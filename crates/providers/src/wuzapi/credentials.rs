//! The token of an instance, and the key of its webhook signatures.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::channel::Connection;

use crate::credentials::{self, CredentialsError, Fields};

/// What `POST /session/hmac/config` takes at least (asternic/wuzapi, handlers as of April 2026).
const SHORTEST_HMAC_KEY: usize = 32;

/// What a call needs of a channel's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) token: SecretString,
    /// The instance's name or id, as webhooks name it.
    pub(super) instance: Option<String>,
}

impl Credentials {
    /// Those of a channel; parsed for each call, so that nothing keeps them.
    pub(super) fn of(connection: &Connection) -> Result<Self, CredentialsError> {
        Self::read(&credentials::given(connection)?)
    }

    pub(super) fn read(given: &Value) -> Result<Self, CredentialsError> {
        let fields = Fields::read(given, &["token", "hmac_key", "instance"])?;
        let token = fields.required("token")?;
        if fields.optional("hmac_key")?.is_some_and(|key| key.chars().count() < SHORTEST_HMAC_KEY) {
            return Err(CredentialsError::of("hmac_key", format!("must have at least {SHORTEST_HMAC_KEY} characters")));
        }
        Ok(Self { token: token.into(), instance: fields.optional("instance")?.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_enough_and_a_long_key_is_welcome() {
        for given in [
            json!({"token": "t"}),
            json!({"token": "señor token", "hmac_key": null}),
            json!({"token": "t", "hmac_key": "k".repeat(32)}),
        ] {
            assert!(Credentials::read(&given).is_ok(), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_field_and_without_its_value() {
        for (given, field) in [
            (json!(null), "credentials"),
            (json!(["secret"]), "credentials"),
            (json!({}), "credentials.token"),
            (json!({"token": null}), "credentials.token"),
            (json!({"token": 5_461}), "credentials.token"),
            (json!({"token": " "}), "credentials.token"),
            (json!({"token": "secret\n"}), "credentials.token"),
            (json!({"token": "secret", "hmac_key": "secret"}), "credentials.hmac_key"),
            (json!({"token": "secret", "hmac_key": {}}), "credentials.hmac_key"),
            (json!({"token": "secret", "Token": "secret"}), "credentials.Token"),
            (json!({"token": "secret", "api_key": "secret"}), "credentials.api_key"),
        ] {
            let error = Credentials::read(&given).unwrap_err();
            assert_eq!(error.field, field, "{given}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
