//! What every gateway can do, and which are built.
//!
//! A new provider is a folder with an implementation of [`Gateway`] and a line in [`gateway`]. Nothing outside the folders
//! asks which provider it is.

use async_trait::async_trait;
use serde_json::Value;
use sincro_core::{
    channel::Connection,
    gateway::{Call, Refusal},
    hook::Told,
    provider::{Capabilities, Provider},
};

use crate::{
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    gdbrns::Gdbrns,
    hooks::{Query, Sign},
    http::Http,
    positus::Positus,
    whapi::Whapi,
    wsapi::Wsapi,
    wuzapi::Wuzapi,
};

/// One kind of gateway.
#[async_trait]
pub(crate) trait Gateway: Send + Sync {
    /// What it offers to the planner.
    fn capabilities(&self) -> Capabilities;

    /// Whether a channel could be called with these.
    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError>;

    /// How its webhooks show where they come from.
    fn sign(&self) -> Sign;

    /// What whoever registers a webhook address has to be answered, where the gateway asks; `Err` for a wrong token.
    fn challenge(&self, _connection: &Connection, _query: &Query<'_>) -> Option<Result<String, ()>> {
        None
    }

    /// Tells everything that is in one webhook, in its order. `Err` says why the body as a whole is not understood, without
    /// quoting it.
    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String>;

    /// Makes exactly one HTTP request and reads its answer.
    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal>;
}

/// The implementation behind a provider's name.
pub(crate) fn gateway(provider: Provider) -> &'static dyn Gateway {
    match provider {
        Provider::Wuzapi => &Wuzapi,
        Provider::Whapi => &Whapi,
        Provider::Wsapi => &Wsapi,
        Provider::Positus => &Positus,
        Provider::Gdbrns => &Gdbrns,
    }
}

/// What a provider offers; none while it is not built: such a channel has to be refused at its creation. All are built.
#[must_use]
pub fn capabilities(provider: Provider) -> Option<Capabilities> {
    Some(gateway(provider).capabilities())
}

/// Whether credentials have the shape that a provider asks for; nothing is sent anywhere.
///
/// | provider | fields |
/// |---|---|
/// | `wuzapi` | `{token, hmac_key?, instance?}`, the key of at least 32 characters |
/// | `whapi` | `{token, hook_key?, channel_id?}` |
/// | `wsapi` | `{api_key, instance_id, signing_secret?}` |
/// | `positus` | `{access_token, number_id, phone_number_id?, app_secret?, verify_token?}` |
/// | `gdbrns` | `{token, webhook_secret?}` |
///
/// None of them is empty, and unknown fields are refused.
pub fn check_credentials(provider: Provider, given: &Value) -> Result<(), CredentialsError> {
    gateway(provider).check_credentials(given)
}

#[cfg(test)]
mod tests {
    use sincro_core::provider::{HistoryAccess, HookProof};

    use super::*;

    fn offered(provider: Provider) -> Capabilities {
        capabilities(provider).unwrap()
    }

    #[test]
    fn every_provider_answers_under_its_own_name() {
        for &provider in Provider::ALL {
            assert_eq!(offered(provider).provider, provider);
        }
    }

    #[test]
    fn whoever_gives_history_for_the_whole_number_says_how_it_ends() {
        use sincro_core::awaiting::Completion;
        for (provider, history, completion) in [
            (Provider::Wuzapi, HistoryAccess::PerAddress, Completion::Answer),
            (Provider::Whapi, HistoryAccess::PerAddress, Completion::Answer),
            (Provider::Wsapi, HistoryAccess::PerAccount, Completion::Quiescence),
            (Provider::Positus, HistoryAccess::PerAccount, Completion::Progress),
            (Provider::Gdbrns, HistoryAccess::PerAccount, Completion::Event),
        ] {
            assert_eq!((offered(provider).history, offered(provider).completion), (history, completion), "{provider}");
        }
    }

    #[test]
    fn what_a_provider_offers_as_proof_is_what_its_webhooks_are_held_against() {
        for (provider, proof) in [
            (Provider::Wuzapi, HookProof::Signature("x-hmac-signature")),
            (Provider::Whapi, HookProof::Secret("x-ingest-key")),
            (Provider::Wsapi, HookProof::Signature("x-webhook-signature")),
            (Provider::Positus, HookProof::Signature("x-hub-signature-256")),
            (Provider::Gdbrns, HookProof::Signature("x-webhook-signature")),
        ] {
            assert_eq!(offered(provider).proof, proof);
        }
    }

    #[test]
    fn a_request_that_can_be_made_once_says_what_is_at_stake() {
        for &provider in Provider::ALL {
            let one_shot = offered(provider).one_shot;
            assert_eq!(one_shot.is_some(), matches!(provider, Provider::Wsapi | Provider::Positus), "{provider}");
            assert!(one_shot.is_none_or(|one_shot| !one_shot.risk.is_empty()));
        }
    }
}
