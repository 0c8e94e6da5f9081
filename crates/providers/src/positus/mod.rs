//! Positus: passes on the history that Meta pushes once for a number that is onboarded with its phone app.

mod credentials;

use std::time::Duration;

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

/// Meta takes both requests within 24 hours of onboarding only.
const ONBOARDING: Duration = Duration::from_hours(24);

/// The gateway; it has no state.
pub(crate) struct Positus;

#[async_trait]
impl Gateway for Positus {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Positus,
            history: HistoryAccess::PerAccount,
            contact_list: false,
            contacts_request: true,
            lid_lookup: false,
            top_up: false,
            restore: false,
            completion: Completion::Progress,
            proof: self.sign().proof(),
            one_shot: Some(OneShot {
                within: Some(ONBOARDING),
                after_initial_sync: false,
                risk: "it can be asked for once per onboarding: if it was taken already, the number has to be onboarded anew to ask again",
            }),
            bodies: true,
            connect: false,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    // Meta signs what it sends to its own apps; behind Positus nothing is documented, and then no secret is given.
    fn sign(&self) -> Sign {
        Sign::Signature { headers: &["x-hub-signature-256"], prefix: "sha256=", field: "app_secret" }
    }

    fn read_hook(&self, _: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        tell(Told { name: "unknown".into(), event: Event::Unknown });
        Ok(())
    }

    async fn call(&self, _: &Http, _: &Connection, call: &Call) -> Result<Answered, Refusal> {
        Err(not_supported(Provider::Positus, call))
    }
}
