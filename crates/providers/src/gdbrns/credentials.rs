//! The token of a device, and the secret that webhooks are signed with.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::channel::Connection;

use crate::credentials::{self, CredentialsError, Fields};

/// What a call needs of a channel's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    /// One token opens one device, which is one number. It is never renewed here: that would shut out everybody else who has it.
    pub(super) token: SecretString,
}

impl Credentials {
    pub(super) fn of(connection: &Connection) -> Result<Self, CredentialsError> {
        Self::read(&credentials::given(connection)?)
    }

    pub(super) fn read(given: &Value) -> Result<Self, CredentialsError> {
        let fields = Fields::read(given, &["token", "webhook_secret"])?;
        let token = fields.required("token")?;
        fields.optional("webhook_secret")?;
        Ok(Self { token: token.into() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_enough_and_anything_unknown_is_refused_with_its_field() {
        for given in [json!({"token": "t"}), json!({"token": "t", "webhook_secret": "s"})] {
            assert!(Credentials::read(&given).is_ok(), "{given}");
        }
        for (given, field) in [
            (json!([]), "credentials"),
            (json!({}), "credentials.token"),
            (json!({"token": ""}), "credentials.token"),
            (json!({"token": "hush", "webhook_secret": ""}), "credentials.webhook_secret"),
            (json!({"token": "hush", "hmac_key": "hush"}), "credentials.hmac_key"),
        ] {
            let error = Credentials::read(&given).unwrap_err();
            assert_eq!(error.field, field, "{given}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
