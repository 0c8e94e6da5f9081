//! asternic/wuzapi: a self-hosted whatsmeow server with a per-chat store.
//!
//! Facts about it are from its source, "handlers as of April 2026" throughout this folder, and from the notes of its
//! releases up to v1.1.1 where they say so. Spoken: session status, contacts, the LID of a phone, stored history, requests to the
//! phone for one chat, what is behind the links to its files, webhooks. Not spoken: lookups that reach WhatsApp itself (`/user/check`, `/user/info`), the chat index
//! (`chat_jid=index` lists the chats of all tenants), administration.
//!
//! | module | what it holds |
//! |---|---|
//! | `calls` | call -> request |
//! | `credentials` | the token |
//! | `wire` | the envelope of every answer |
//! | `verdict` | what an answer is: data, unknown, or which refusal; decided there and nowhere else |
//! | `session`, `contacts`, `lid`, `messages`, `webhook` | the data of the calls that have some |
//! | `row` | one stored message |
//! | `hooks` | what a webhook tells |

mod calls;
mod contacts;
mod credentials;
mod hooks;
mod lid;
mod messages;
mod row;
mod session;
mod verdict;
mod webhook;
mod wire;

use async_trait::async_trait;
use reqwest::header::HeaderName;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    gateway::{Answer, Call, Refusal},
    hook::Told,
    media::MediaPlace,
    provider::{Capabilities, Connect, HistoryAccess, Provider},
};

use self::{credentials::Credentials, verdict::Verdict};
use crate::{
    contacts::ContactList,
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    hooks::Sign,
    http::{Http, Reply, Request},
    media,
    registry::Gateway,
    wording::Wording,
};

/// Instance calls carry the token here (`authalice` in asternic/wuzapi, handlers as of April 2026).
const TOKEN: HeaderName = HeaderName::from_static("token");

/// How much of a contact list is shown where it cannot be read, at most; far more than is shown in the end.
const LOOKED_AT: u64 = 8_192;

/// The gateway; it has no state.
pub(crate) struct Wuzapi;

#[async_trait]
impl Gateway for Wuzapi {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Wuzapi,
            account: "token",
            history: HistoryAccess::PerAddress,
            status: true,
            contact_list: true,
            contacts_request: false,
            lid_lookup: true,
            lids_listed: false,
            top_up: true,
            anchors_incoming: false,
            restore: false,
            completion: Completion::Answer,
            proof: self.sign().proof(),
            one_shot: None,
            bodies: true,
            connect: Connect::Replaces,
            media: true,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    // Over the raw body in JSON mode, over the form as it was sent in form mode: the bytes that come.
    fn sign(&self) -> Sign {
        Sign::Signature { headers: &["x-hmac-signature"], prefix: "", field: "hmac_key" }
    }

    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        let own = Credentials::of(hook.connection).ok().and_then(|credentials| credentials.instance);
        hooks::read(hook.content_type, hook.body, own.as_deref(), tell)
    }

    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        if let Call::Media { place: MediaPlace::Link(link), most, .. } = call {
            return media::at_bare_link(http, link, *most).await.map(Answered::Media);
        }
        let request = calls::request(&connection.channel.base_url, call)?;
        let name = request.name().to_owned();
        let unusable = |problem: &str| Refusal::Unauthorized { detail: format!("{name}: not sent, {problem}") };
        let credentials = Credentials::of(connection).map_err(|error| unusable(&error.to_string()))?;
        let token = credentials.token.expose_secret();
        let request = request.with_secret(TOKEN, token).ok_or_else(|| unusable("no header can hold the token"))?;
        let wording = Wording { call, name: &name, secrets: &[token] };
        if let Call::Contacts { .. } = call {
            return list(http, request, &wording).await.map(Answered::Contacts);
        }
        let is_order = matches!(call, Call::TopUp { .. });
        let reply = if is_order { http.order(request).await? } else { http.send(request).await? };
        let answer = understand(call, &reply, &wording)?;
        Ok(Answered::Whole(reply.dated(answer), reply.held))
    }
}

/// What a complete answer means.
fn understand(call: &Call, reply: &Reply, wording: &Wording<'_>) -> Result<Answer, Refusal> {
    // The phone was asked, unless the answer says that it was not.
    if matches!(call, Call::TopUp { .. }) && verdict::is_taken(reply) {
        return Ok(wording.accepted(reply));
    }
    match verdict::judge(call, reply, wording)? {
        Verdict::Data(data) => read(call, &data).map_err(|cause| wording.unreadable(&cause, &reply.body)),
        Verdict::LidUnknown => Ok(Answer::Lid(None)),
    }
}

/// The contact list, which is looked through before anybody may take it.
async fn list(http: &Http, request: Request, wording: &Wording<'_>) -> Result<ContactList, Refusal> {
    let (reply, spool) = http.fetch(request).await?;
    let Some(mut spool) = spool else {
        let refusal = verdict::judge(wording.call, &reply, wording).err();
        return Err(refusal.unwrap_or_else(|| wording.unreadable("no contact list", &reply.body)));
    };
    let looking = tokio::task::spawn_blocking(move || {
        let seen = contacts::look_through(&mut spool);
        let beginning = spool.beginning(LOOKED_AT).unwrap_or_default();
        (seen, beginning, spool)
    });
    let (seen, beginning, mut spool) = looking.await.map_err(|error| wording.unreadable(&error.to_string(), ""))?;
    let seen = verdict::judge_list(wording.call, &reply, seen, &beginning, wording)?;
    Ok(ContactList::new(Box::new(move |take| contacts::read(&mut spool, take)), seen.left_out, None))
}

/// The data of a good answer, or why it is none.
fn read(call: &Call, data: &str) -> Result<Answer, String> {
    match call {
        Call::Status => session::read(data).map(Answer::Session),
        // Too long to be read whole: see `list`.
        Call::Contacts { .. } => Err("a contact list in one piece".to_owned()),
        Call::LookUpLid { .. } => lid::read(data).map(Answer::Lid),
        Call::History { address, limit, .. } => messages::read(data, address, *limit).map(Answer::History),
        Call::Subscriptions => webhook::read(data).map(Answer::Subscriptions),
        // It signs with a key that is set elsewhere.
        Call::Connect { .. } => Ok(Answer::Connected(None)),
        _ => Err("no answer to this call".to_owned()),
    }
}

/// What the fuzzers of `crate::fuzz` reach.
pub(crate) mod doors {
    pub(crate) use super::{contacts::persons_in, hooks::read as hook};

    use super::{Answer, Call, Refusal, understand};
    use crate::{http::Reply, wording::Wording};

    pub(crate) fn answer(call: &Call, reply: &Reply) -> Result<Answer, Refusal> {
        understand(call, reply, &Wording { call, name: "GET /path", secrets: &["hush-hush"] })
    }
}
