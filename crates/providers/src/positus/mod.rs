//! Positus: passes on what Meta pushes once for a number that is onboarded with its phone app ("coexistence"): the contacts, then the
//! history of the whole number, by webhook.
//!
//! Facts about the two requests are from Positus' public documentation; about what comes, from Meta's. How Positus words its answers
//! is not documented: any good status counts as accepted, and what it said is kept. Whether it passes Meta's webhooks on unchanged is
//! known by examples only, so other wrappings of the same content are read too. Whether a file is answered with its bytes or with
//! the address where Meta has them is not documented either, and both are taken. Not spoken: Meta's own API, anything that sends.
//!
//! | module | what it holds |
//! |---|---|
//! | `calls` | call -> request |
//! | `credentials` | the token and the number |
//! | `verdict` | which refusal a bad status is; decided there and nowhere else |
//! | `challenge` | whether an address is ours |
//! | `hooks` | what is wrapped in a webhook: changes of fields |
//! | `history`, `contacts`, `messages`, `account`, `workspace` | what the fields tell |
//! | `message` | one message |
//! | `files` | who may be given the token for a file |

mod account;
mod calls;
mod challenge;
mod contacts;
mod credentials;
mod files;
mod history;
mod hooks;
mod message;
mod messages;
mod verdict;
mod workspace;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Answer, Call, Refusal},
    hook::Told,
    media::MediaPlace,
    provider::{Capabilities, Connect, HistoryAccess, OneShot, Provider},
};

use self::{credentials::Credentials, hooks::Own};
use crate::{
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    hooks::{Query, Sign},
    http::{Http, Reply},
    media,
    registry::Gateway,
    wording::Wording,
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
            account: "number_id",
            history: HistoryAccess::PerAccount,
            status: false,
            contact_list: false,
            contacts_request: true,
            lid_lookup: false,
            lids_listed: false,
            top_up: false,
            anchors_incoming: false,
            restore: false,
            completion: Completion::Progress,
            proof: self.sign().proof(),
            one_shot: Some(OneShot {
                within: Some(ONBOARDING),
                keeps_for: None,
                after_initial_sync: false,
                risk: "it can be asked for once per onboarding: where it was taken already, the number has to be onboarded \
                       anew to ask again",
            }),
            bodies: true,
            connect: Connect::No,
            media: true,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    // Meta signs what it sends to its own apps; behind Positus nothing is documented, and then no secret is given.
    fn sign(&self) -> Sign {
        Sign::Signature { headers: &["x-hub-signature-256"], prefix: "sha256=", field: "app_secret" }
    }

    fn challenge(&self, connection: &Connection, query: &Query<'_>) -> Option<Result<String, ()>> {
        let token = Credentials::of(connection).ok().and_then(|credentials| credentials.verify_token);
        challenge::answer(token.as_ref(), query)
    }

    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        let own = Credentials::of(hook.connection).ok().map_or_else(Own::default, |credentials| Own {
            number_id: Some(credentials.number_id),
            phone_number_id: credentials.phone_number_id,
        });
        hooks::read(hook.body, &own, tell)
    }

    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        let credentials = Credentials::of(connection)
            .map_err(|error| Refusal::Unauthorized { detail: format!("{}: not sent, {error}", call.name()) })?;
        if let Call::Media { place: MediaPlace::Link(link), most, .. } = call {
            return files::at(http, connection, &credentials, link, *most).await.map(Answered::Media);
        }
        let request = calls::request(&connection.channel.base_url, call, &credentials.number_id)?;
        let name = request.name().to_owned();
        let token = credentials.access_token.expose_secret();
        let request = request.with_secret(AUTHORIZATION, &format!("Bearer {token}")).ok_or_else(|| {
            Refusal::Unauthorized { detail: format!("{name}: not sent, no header can hold the token") }
        })?;
        let wording = Wording { call, name: &name, secrets: &[token] };
        if let Call::Media { mime, most, .. } = call {
            let refuse = |reply: &Reply| verdict::refuse(reply, &wording);
            let fetched = media::by_id(http, request, *most, refuse).await?;
            return Ok(Answered::Media(media::followed(fetched, mime.as_deref())));
        }
        let reply = http.order(request).await?;
        let answer = understand(&reply, &wording)?;
        Ok(Answered::Whole(reply.dated(answer), reply.held))
    }
}

/// What a complete answer means: both calls are orders.
fn understand(reply: &Reply, wording: &Wording<'_>) -> Result<Answer, Refusal> {
    if (200..300).contains(&reply.status) { Ok(wording.accepted(reply)) } else { Err(verdict::refuse(reply, wording)) }
}

/// What the fuzzers of `crate::fuzz` reach.
pub(crate) mod doors {
    use super::{Answer, Call, Own, Refusal, Told, hooks, understand};
    use crate::{http::Reply, wording::Wording};

    pub(crate) fn answer(call: &Call, reply: &Reply) -> Result<Answer, Refusal> {
        understand(reply, &Wording { call, name: "POST /path", secrets: &["hush-hush"] })
    }

    pub(crate) fn hook(body: &str, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        hooks::read(body, &Own { number_id: Some("n1".into()), phone_number_id: Some("1060".into()) }, tell)
    }
}
