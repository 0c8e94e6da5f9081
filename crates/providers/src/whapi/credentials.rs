//! The token of a channel, and the secret that its webhooks will carry.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::channel::Connection;

use crate::credentials::{self, CredentialsError, Fields};

/// What a call needs of a channel's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    /// One token opens one channel, which is one number.
    pub(super) token: SecretString,
    /// The channel's own id, as webhooks name it.
    pub(super) channel_id: Option<String>,
    /// What webhooks are asked to come with.
    pub(super) hook_key: Option<SecretString>,
}

impl Credentials {
    pub(super) fn of(connection: &Connection) -> Result<Self, CredentialsError> {
        Self::read(&credentials::given(connection)?)
    }

    pub(super) fn read(given: &Value) -> Result<Self, CredentialsError> {
        let fields = Fields::read(given, &["token", "hook_key", "channel_id"])?;
        let token = fields.required("token")?;
        Ok(Self {
            token: token.into(),
            channel_id: fields.optional("channel_id")?.map(str::to_owned),
            hook_key: fields.optional("hook_key")?.map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_enough_and_a_hook_key_is_welcome() {
        for given in
            [json!({"token": "t"}), json!({"token": "t", "hook_key": null}), json!({"token": "t", "hook_key": "k"})]
        {
            assert!(Credentials::read(&given).is_ok(), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_field_and_without_its_value() {
        for (given, field) in [
            (json!("secret"), "credentials"),
            (json!({}), "credentials.token"),
            (json!({"token": ""}), "credentials.token"),
            (json!({"token": "secret\n"}), "credentials.token"),
            (json!({"token": "secret", "hook_key": " "}), "credentials.hook_key"),
            (json!({"token": "secret", "hmac_key": "secret"}), "credentials.hmac_key"),
        ] {
            let error = Credentials::read(&given).unwrap_err();
            assert_eq!(error.field, field, "{given}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
