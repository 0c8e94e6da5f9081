//! What every gateway can do, and which are built.
//!
//! A new provider is a folder with an implementation of [`Gateway`] and a line in [`gateway`]. Nothing outside the folders
//! asks which provider it is.

use async_trait::async_trait;
use serde_json::Value;
use sincro_core::{
    channel::Connection,
    gateway::{Call, Refusal},
    provider::{Capabilities, Provider},
};

use crate::{credentials::CredentialsError, gateways::Answered, hooks::Sign, http::Http, whapi::Whapi, wuzapi::Wuzapi};

/// One kind of gateway.
#[async_trait]
pub(crate) trait Gateway: Send + Sync {
    /// What it offers to the planner.
    fn capabilities(&self) -> Capabilities;

    /// Whether a channel could be called with these.
    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError>;

    /// How its webhooks show where they come from.
    fn sign(&self) -> Sign;

    /// Makes exactly one HTTP request and reads its answer.
    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal>;
}

/// The implementation behind a provider's name, or none while it is not built.
pub(crate) fn gateway(provider: Provider) -> Option<&'static dyn Gateway> {
    match provider {
        Provider::Wuzapi => Some(&Wuzapi),
        Provider::Whapi => Some(&Whapi),
        Provider::Positus | Provider::Wsapi | Provider::Gdbrns => None,
    }
}

/// What a provider offers, or none while it is not built: such a channel has to be refused at its creation.
#[must_use]
pub fn capabilities(provider: Provider) -> Option<Capabilities> {
    gateway(provider).map(Gateway::capabilities)
}

/// Whether credentials have the shape that a provider asks for; nothing is sent anywhere.
///
/// `wuzapi`: `{token, hmac_key?}`, the token not empty, the key of at least 32 characters. `whapi`: `{token, hook_key?}`, neither
/// empty. Unknown fields are refused.
pub fn check_credentials(provider: Provider, given: &Value) -> Result<(), CredentialsError> {
    match gateway(provider) {
        Some(gateway) => gateway.check_credentials(given),
        None => Err(CredentialsError::new("provider", format!("{provider} is not built yet"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_built_answers_under_its_own_name_and_the_rest_is_refused() {
        for &provider in Provider::ALL {
            match capabilities(provider) {
                Some(capabilities) => assert_eq!(capabilities.provider, provider),
                None => assert_eq!(check_credentials(provider, &json!({})).unwrap_err().field, "provider"),
            }
        }
        assert!([Provider::Wuzapi, Provider::Whapi].into_iter().all(|built| capabilities(built).is_some()));
    }
}
