//! The key of a customer, the instance it opens, and the secret that webhooks are signed with.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::channel::Connection;

use crate::credentials::{self, CredentialsError, Fields};

/// What a call needs of a channel's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) api_key: SecretString,
    /// One key opens several instances; one instance is one number.
    pub(super) instance_id: String,
}

impl Credentials {
    pub(super) fn of(connection: &Connection) -> Result<Self, CredentialsError> {
        Self::read(&credentials::given(connection)?)
    }

    pub(super) fn read(given: &Value) -> Result<Self, CredentialsError> {
        let fields = Fields::read(given, &["api_key", "instance_id", "signing_secret"])?;
        let (api_key, instance_id) = (fields.required("api_key")?, fields.required("instance_id")?);
        fields.optional("signing_secret")?;
        Ok(Self { api_key: api_key.into(), instance_id: instance_id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_and_an_instance_are_enough_and_a_signing_secret_is_welcome() {
        for given in [
            json!({"api_key": "k", "instance_id": "ins_7"}),
            json!({"api_key": "k", "instance_id": "ins_7", "signing_secret": null}),
            json!({"api_key": "k", "instance_id": "ins_7", "signing_secret": "s"}),
        ] {
            assert!(Credentials::read(&given).is_ok(), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_field_and_without_its_value() {
        for (given, field) in [
            (json!("secret"), "credentials"),
            (json!({"instance_id": "ins_7"}), "credentials.api_key"),
            (json!({"api_key": "secret"}), "credentials.instance_id"),
            (json!({"api_key": "secret", "instance_id": ""}), "credentials.instance_id"),
            (json!({"api_key": "secret", "instance_id": "i", "signing_secret": 7}), "credentials.signing_secret"),
            (json!({"api_key": "secret", "instance_id": "i", "token": "secret"}), "credentials.token"),
        ] {
            let error = Credentials::read(&given).unwrap_err();
            assert_eq!(error.field, field, "{given}");
            assert!(!error.problem.starts_with("secret"), "{error}");
        }
    }
}
