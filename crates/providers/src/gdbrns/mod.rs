//! gdbrns' multi-session server over whatsmeow: one request for the history of a number, announced by event, and as a rule not
//! delivered.
//!
//! Facts about it are from its source as of March 2026 and from its published description, which promises more than the source
//! keeps: that history is delivered. Both readings are built: what an event holds is taken, and what it only counts is told. Spoken:
//! the status of a device, contacts, the request, webhooks. Not spoken: anything that sends, `GET /chats/{jid}/messages` (which is
//! always empty), the renewal of tokens (which shuts out whoever has the old one).
//!
//! | module | what it holds |
//! |---|---|
//! | `calls` | call -> request |
//! | `credentials` | the token |
//! | `device` | whose token it is |
//! | `verdict` | which refusal a bad status is; decided there and nowhere else |
//! | `session`, `contacts`, `webhooks` | the data of the calls that have some |
//! | `hooks` | what a webhook tells |

mod calls;
mod contacts;
mod credentials;
mod device;
mod hooks;
mod session;
mod verdict;
mod webhooks;

use async_trait::async_trait;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Answer, Call, Refusal},
    hook::Told,
    provider::{Capabilities, Connect, HistoryAccess, Provider},
};

use self::credentials::Credentials;
use crate::{
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    hooks::Sign,
    http::{Http, Reply},
    listing,
    registry::Gateway,
    wording::{Wording, not_supported},
};

/// The gateway; it has no state.
pub(crate) struct Gdbrns;

#[async_trait]
impl Gateway for Gdbrns {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Gdbrns,
            account: "token",
            history: HistoryAccess::PerAccount,
            status: true,
            contact_list: true,
            contacts_request: false,
            lid_lookup: false,
            lids_listed: false,
            top_up: false,
            anchors_incoming: false,
            restore: false,
            completion: Completion::Event,
            proof: self.sign().proof(),
            one_shot: None,
            bodies: false,
            connect: Connect::Adds,
            media: false,
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

    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        let credentials = Credentials::of(hook.connection).ok();
        let device = credentials.and_then(|credentials| device::of(credentials.token.expose_secret()));
        hooks::read(hook.body, device.as_deref(), tell)
    }

    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        let request = calls::request(&connection.channel.base_url, call)?;
        let name = request.name().to_owned();
        let unusable = |problem: &str| Refusal::Unauthorized { detail: format!("{name}: not sent, {problem}") };
        let credentials = Credentials::of(connection).map_err(|error| unusable(&error.to_string()))?;
        let token = credentials.token.expose_secret();
        let request = request
            .with_secret(AUTHORIZATION, &format!("Bearer {token}"))
            .ok_or_else(|| unusable("no header can hold the token"))?;
        let wording = Wording { call, name: &name, secrets: &[token] };
        if let Call::Contacts { .. } = call {
            let refuse = |reply: &Reply| verdict::refuse(reply, &wording);
            return listing::ask(http, request, &wording, contacts::read, refuse).await.map(Answered::Contacts);
        }
        let is_order = matches!(call, Call::RequestHistory { .. });
        let reply = if is_order { http.order(request).await? } else { http.send(request).await? };
        let answer = understand(&reply, &wording)?;
        Ok(Answered::Whole(reply.dated(answer), reply.held))
    }
}

/// What a complete answer means. The status counts, whatever code the body names beside it.
fn understand(reply: &Reply, wording: &Wording<'_>) -> Result<Answer, Refusal> {
    if !(200..300).contains(&reply.status) {
        return Err(verdict::refuse(reply, wording));
    }
    let read = match wording.call {
        Call::RequestHistory { .. } => Ok(wording.accepted(reply)),
        Call::Status => session::read(&reply.body).map(Answer::Session),
        Call::Subscriptions => webhooks::subscriptions(&reply.body).map(Answer::Subscriptions),
        Call::Connect { .. } => webhooks::secret(&reply.body).map(Answer::Connected),
        other => return Err(not_supported(Provider::Gdbrns, other)),
    };
    read.map_err(|cause| wording.unreadable(&cause, &reply.body))
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
