//! The token of an account, the number it is used for, and what webhooks are verified with.

use secrecy::SecretString;
use serde_json::Value;
use sincro_core::channel::Connection;

use crate::credentials::{self, CredentialsError, Fields};

/// What a call needs of a channel's credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    /// One token opens all numbers of its account.
    pub(super) access_token: SecretString,
    /// Positus' own id of the number; part of every path.
    pub(super) number_id: String,
    /// Meta's id of it, where it was given: webhooks of other numbers are told from its own by that.
    pub(super) phone_number_id: Option<String>,
    /// What whoever registers our address has to know.
    pub(super) verify_token: Option<SecretString>,
}

impl Credentials {
    pub(super) fn of(connection: &Connection) -> Result<Self, CredentialsError> {
        Self::read(&credentials::given(connection)?)
    }

    pub(super) fn read(given: &Value) -> Result<Self, CredentialsError> {
        let known = ["access_token", "number_id", "phone_number_id", "app_secret", "verify_token"];
        let fields = Fields::read(given, &known)?;
        let (access_token, number_id) = (fields.required("access_token")?, fields.required("number_id")?);
        // Both would lead to another path than the one that is meant.
        if matches!(number_id, "." | "..") {
            return Err(CredentialsError::of("number_id", "must be the id of a number"));
        }
        fields.optional("app_secret")?;
        Ok(Self {
            access_token: access_token.into(),
            number_id: number_id.to_owned(),
            phone_number_id: fields.optional("phone_number_id")?.map(str::to_owned),
            verify_token: fields.optional("verify_token")?.map(Into::into),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_and_a_number_are_enough_and_the_rest_is_welcome() {
        for given in [
            json!({"access_token": "t", "number_id": "n1"}),
            json!({"access_token": "t", "number_id": "n1", "phone_number_id": "1060", "app_secret": "s", "verify_token": "v"}),
            json!({"access_token": "t", "number_id": "n1", "phone_number_id": null}),
        ] {
            assert!(Credentials::read(&given).is_ok(), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_field_and_without_its_value() {
        for (given, field) in [
            (json!(null), "credentials"),
            (json!({"number_id": "n1"}), "credentials.access_token"),
            (json!({"access_token": "hush"}), "credentials.number_id"),
            (json!({"access_token": "hush", "number_id": ".."}), "credentials.number_id"),
            (json!({"access_token": "hush", "number_id": 7}), "credentials.number_id"),
            (json!({"access_token": "hush", "number_id": "n1", "app_secret": ""}), "credentials.app_secret"),
            (json!({"access_token": "hush", "number_id": "n1", "verify_token": " v"}), "credentials.verify_token"),
            (json!({"access_token": "hush", "number_id": "n1", "token": "hush"}), "credentials.token"),
        ] {
            let error = Credentials::read(&given).unwrap_err();
            assert_eq!(error.field, field, "{given}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
