//! WSAPI: a gateway over whatsmeow that hands out what a number's phone sent at pairing, once, by webhook.
//!
//! Facts about it are from the source of its open build (v2.0.1), its documentation and its own client; the hosted service may
//! differ, and where it is known to, both readings are built. Spoken: session status, contacts, the flush of what was cached at
//! pairing, requests to the phone for one chat, files, webhooks. Not spoken: anything that sends, administration (which asks for
//! another key, so webhooks cannot be registered from here).
//!
//! | module | what it holds |
//! |---|---|
//! | `calls` | call -> request |
//! | `credentials` | the key and the instance |
//! | `verdict` | which refusal a bad status is; decided there and nowhere else |
//! | `session`, `contacts` | the data of the calls that have some |
//! | `hooks` | what a webhook tells |
//! | `message` | one message of a webhook |

mod calls;
mod contacts;
mod credentials;
mod hooks;
mod message;
mod session;
mod verdict;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderName;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Answer, Call, Refusal},
    hook::Told,
    provider::{Capabilities, Connect, HistoryAccess, OneShot, Provider},
};

use self::credentials::Credentials;
use crate::{
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    hooks::Sign,
    http::{Http, Reply},
    listing, media,
    registry::Gateway,
    wording::{Wording, not_supported},
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const INSTANCE_ID: HeaderName = HeaderName::from_static("x-instance-id");

/// What a phone sent at pairing is cached for so long (open build, v2.0.1).
const CACHED: Duration = Duration::from_hours(1);

/// The gateway; it has no state.
pub(crate) struct Wsapi;

#[async_trait]
impl Gateway for Wsapi {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Wsapi,
            account: "instance_id",
            history: HistoryAccess::PerAccount,
            status: true,
            contact_list: true,
            contacts_request: false,
            // A contact's record has both identities, and no call gives one for the other.
            lid_lookup: false,
            lids_listed: true,
            top_up: true,
            anchors_incoming: true,
            restore: false,
            completion: Completion::Quiescence,
            proof: self.sign().proof(),
            one_shot: Some(OneShot {
                within: None,
                keeps_for: Some(CACHED),
                after_initial_sync: true,
                risk: "the gateway deletes what it hands out, delivered or not: what does not arrive is lost until the \
                       number is paired again",
            }),
            bodies: true,
            connect: Connect::No,
            media: true,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    fn sign(&self) -> Sign {
        Sign::Signature { headers: &["x-webhook-signature"], prefix: "sha256=", field: "signing_secret" }
    }

    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        let instance = Credentials::of(hook.connection).ok().map(|credentials| credentials.instance_id);
        hooks::read(hook.body, instance.as_deref(), tell)
    }

    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        let request = calls::request(&connection.channel.base_url, call)?;
        let name = request.name().to_owned();
        let unusable = |problem: &str| Refusal::Unauthorized { detail: format!("{name}: not sent, {problem}") };
        let credentials = Credentials::of(connection).map_err(|error| unusable(&error.to_string()))?;
        let key = credentials.api_key.expose_secret();
        let request = request
            .with_secret(API_KEY, key)
            .and_then(|request| request.with_secret(INSTANCE_ID, &credentials.instance_id))
            .ok_or_else(|| unusable("no header can hold the key or the instance"))?;
        let wording = Wording { call, name: &name, secrets: &[key] };
        if let Call::Contacts { .. } = call {
            let refuse = |reply: &Reply| verdict::refuse(reply, &wording);
            return listing::ask(http, request, &wording, contacts::read, refuse).await.map(Answered::Contacts);
        }
        if let Call::Media { most, .. } = call {
            let refuse = |reply: &Reply| verdict::refuse(reply, &wording);
            return media::by_id(http, request, *most, refuse).await.map(Answered::Media);
        }
        let is_order = matches!(call, Call::RequestHistory { .. } | Call::TopUp { .. });
        let reply = if is_order { http.order(request).await? } else { http.send(request).await? };
        let answer = understand(&reply, &wording)?;
        Ok(Answered::Whole(reply.dated(answer), reply.held))
    }
}

/// What a complete answer means.
fn understand(reply: &Reply, wording: &Wording<'_>) -> Result<Answer, Refusal> {
    if !(200..300).contains(&reply.status) {
        return Err(verdict::refuse(reply, wording));
    }
    match wording.call {
        Call::Status => {
            session::read(&reply.body).map(Answer::Session).map_err(|cause| wording.unreadable(&cause, &reply.body))
        }
        // 202 in the source and 200 in its wiki.
        Call::RequestHistory { .. } | Call::TopUp { .. } => Ok(wording.accepted(reply)),
        other => Err(not_supported(Provider::Wsapi, other)),
    }
}

/// What the fuzzers of `crate::fuzz` reach.
pub(crate) mod doors {
    use super::{Answer, Call, Refusal, understand};
    use crate::{http::Reply, wording::Wording};

    pub(crate) use super::{contacts::read as person, hooks::read as hook};

    pub(crate) fn answer(call: &Call, reply: &Reply) -> Result<Answer, Refusal> {
        understand(reply, &Wording { call, name: "GET /path", secrets: &["hush-hush"] })
    }
}
