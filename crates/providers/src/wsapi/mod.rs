//! WSAPI: a gateway that hands out what a number's phone sent at pairing, once, by webhook.

mod credentials;

use async_trait::async_trait;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Call, Refusal},
    hook::{Event, Told},
    provider::{Capabilities, HistoryAccess, OneShot, Provider},
};

use self::credentials::Credentials;
use crate::{
    credentials::CredentialsError, events::Hook, gateways::Answered, hooks::Sign, http::Http, registry::Gateway,
    wording::not_supported,
};

/// The gateway; it has no state.
pub(crate) struct Wsapi;

#[async_trait]
impl Gateway for Wsapi {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Wsapi,
            history: HistoryAccess::PerAccount,
            contact_list: true,
            contacts_request: false,
            lid_lookup: false,
            top_up: true,
            restore: false,
            completion: Completion::Quiescence,
            proof: self.sign().proof(),
            one_shot: Some(OneShot {
                within: None,
                after_initial_sync: true,
                risk: "the gateway deletes what it hands out, delivered or not: what does not arrive is lost until the number is paired again",
            }),
            bodies: true,
            connect: false,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    fn sign(&self) -> Sign {
        Sign::Signature { headers: &["x-webhook-signature"], prefix: "sha256=", field: "signing_secret" }
    }

    fn read_hook(&self, _: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        tell(Told { name: "unknown".into(), event: Event::Unknown });
        Ok(())
    }

    async fn call(&self, _: &Http, _: &Connection, call: &Call) -> Result<Answered, Refusal> {
        Err(not_supported(Provider::Wsapi, call))
    }
}
