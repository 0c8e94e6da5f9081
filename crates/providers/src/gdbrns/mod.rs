//! gdbrns' multi-session server: one request for the history of a number, announced by event, and as a rule not delivered.

mod credentials;

use async_trait::async_trait;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Call, Refusal},
    hook::{Event, Told},
    provider::{Capabilities, HistoryAccess, Provider},
};

use self::credentials::Credentials;
use crate::{
    credentials::CredentialsError, events::Hook, gateways::Answered, hooks::Sign, http::Http, registry::Gateway,
    wording::not_supported,
};

/// The gateway; it has no state.
pub(crate) struct Gdbrns;

#[async_trait]
impl Gateway for Gdbrns {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Gdbrns,
            history: HistoryAccess::PerAccount,
            contact_list: true,
            contacts_request: false,
            lid_lookup: false,
            top_up: false,
            restore: false,
            completion: Completion::Event,
            proof: self.sign().proof(),
            one_shot: None,
            bodies: false,
            connect: true,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    // Both headers hold the same.
    fn sign(&self) -> Sign {
        Sign::Signature {
            headers: &["x-webhook-signature", "x-hub-signature-256"],
            prefix: "sha256=",
            field: "webhook_secret",
        }
    }

    fn read_hook(&self, _: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        tell(Told { name: "unknown".into(), event: Event::Unknown });
        Ok(())
    }

    async fn call(&self, _: &Http, _: &Connection, call: &Call) -> Result<Answered, Refusal> {
        Err(not_supported(Provider::Gdbrns, call))
    }
}
