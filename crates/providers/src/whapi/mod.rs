//! Whapi.Cloud: a hosted gateway with a cache of chats, read per chat with paging.
//!
//! A closed service: what is known of it is its published method list, an SDK that was generated from its OpenAPI file (both
//! as of April 2026), and its help desk. Where these leave a point open, both readings are built, and the place says so.
//! Spoken: health, contacts, the LID of a phone, the messages of a chat, the restoring of single messages, files, the webhooks in
//! the settings. Not spoken: anything that sends, the rest of the settings.
//!
//! | module | what it holds |
//! |---|---|
//! | `calls` | call -> request |
//! | `place` | where a list goes on: the cursors |
//! | `credentials` | the token |
//! | `wire` | what every answer may have around its data, and both shapes of an error |
//! | `verdict` | what an answer is: data, nothing, or which refusal; decided there and nowhere else |
//! | `health`, `contacts`, `lid`, `messages`, `restored`, `settings` | the data of the calls |
//! | `row` | one message |
//! | `hooks` | what a webhook tells |

mod calls;
mod contacts;
mod credentials;
mod health;
mod hooks;
mod lid;
mod messages;
mod place;
mod restored;
mod row;
mod settings;
mod verdict;
mod wire;

use async_trait::async_trait;
use reqwest::header::AUTHORIZATION;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sincro_core::{
    awaiting::Completion,
    channel::Connection,
    contact::Contact,
    gateway::{Answer, Call, Refusal},
    hook::Told,
    media::MediaPlace,
    message::Page,
    provider::{Capabilities, Connect, HistoryAccess, Provider},
};

use self::{contacts::Listed, credentials::Credentials, wire::Envelope};
use crate::{
    contacts::ContactList,
    credentials::CredentialsError,
    events::Hook,
    gateways::Answered,
    hooks::Sign,
    http::{Http, Reply},
    media,
    registry::Gateway,
    wording::Wording,
};

/// The gateway; it has no state.
pub(crate) struct Whapi;

#[async_trait]
impl Gateway for Whapi {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: Provider::Whapi,
            account: "token",
            history: HistoryAccess::PerAddress,
            status: true,
            contact_list: true,
            contacts_request: false,
            lid_lookup: true,
            lids_listed: false,
            top_up: false,
            anchors_incoming: false,
            restore: true,
            completion: Completion::Answer,
            proof: self.sign().proof(),
            one_shot: None,
            bodies: true,
            connect: Connect::Adds,
            media: true,
        }
    }

    fn check_credentials(&self, given: &Value) -> Result<(), CredentialsError> {
        Credentials::read(given).map(|_| ())
    }

    // No signature exists; custom headers do (PATCH /settings, up to five of them).
    fn sign(&self) -> Sign {
        Sign::Secret { header: "x-ingest-key", field: "hook_key" }
    }

    fn read_hook(&self, hook: &Hook<'_>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
        let own = Credentials::of(hook.connection).ok().and_then(|credentials| credentials.channel_id);
        hooks::read(hook.body, own.as_deref(), tell)
    }

    async fn call(&self, http: &Http, connection: &Connection, call: &Call) -> Result<Answered, Refusal> {
        if let Call::Media { place: MediaPlace::Link(link), most, .. } = call {
            return media::at_bare_link(http, link, *most).await.map(Answered::Media);
        }
        let credentials = Credentials::of(connection);
        let hook_key = credentials.as_ref().ok().and_then(|credentials| credentials.hook_key.as_ref());
        let hook_key = hook_key.map(secrecy::ExposeSecret::expose_secret);
        let request = calls::request(&connection.channel.base_url, call, hook_key)?;
        let name = request.name().to_owned();
        let unusable = |problem: &str| Refusal::Unauthorized { detail: format!("{name}: not sent, {problem}") };
        let credentials = credentials.as_ref().map_err(|error| unusable(&error.to_string()))?;
        let token = credentials.token.expose_secret();
        let request = request
            .with_secret(AUTHORIZATION, &format!("Bearer {token}"))
            .ok_or_else(|| unusable("no header can hold the token"))?;
        let wording = Wording { call, name: &name, secrets: &[token, hook_key.unwrap_or_default()] };
        if let Call::Media { most, .. } = call {
            let refuse = |reply: &Reply| verdict::refusal(reply, &wording);
            return media::by_id(http, request, *most, refuse).await.map(Answered::Media);
        }
        let reply = http.send(request).await?;
        match understand(&reply, &wording)? {
            Understood::Answer(answer) => Ok(Answered::Whole(reply.dated(answer), reply.held)),
            Understood::Contacts(Listed { contacts, left_out, next }) => {
                let held = reply.held;
                let reading = move |take: &mut dyn FnMut(Contact) -> bool| {
                    // They keep their place in memory until the last of them is taken.
                    let _held = held;
                    contacts.into_iter().all(take);
                    Ok(())
                };
                Ok(Answered::Contacts(ContactList::new(Box::new(reading), left_out, next)))
            }
        }
    }
}

/// A good answer, read.
enum Understood {
    Answer(Answer),
    Contacts(Listed),
}

/// What a complete answer means.
fn understand(reply: &Reply, wording: &Wording<'_>) -> Result<Understood, Refusal> {
    if matches!(wording.call, Call::Connect { .. }) && verdict::is_bare(reply) {
        return Ok(Understood::Answer(Answer::Connected(None)));
    }
    let Some(envelope) = verdict::judge(reply, wording)? else {
        return Ok(Understood::Answer(nothing(wording.call)));
    };
    if let Call::Status = wording.call {
        let word = health::read(&reply.body).map_err(|cause| wording.unreadable(&cause, ""))?;
        return verdict::session(&word, wording).map(|session| Understood::Answer(Answer::Session(session)));
    }
    if let Call::Message { .. } = wording.call {
        let restored = restored::read(&reply.body).map_err(|cause| wording.unreadable(&cause, &reply.body))?;
        let restored = restored.ok_or_else(|| Refusal::Permanent {
            code: "not_a_person",
            detail: wording.detail("the message belongs to a group"),
        })?;
        return Ok(Understood::Answer(Answer::Message(Some(Box::new(restored)))));
    }
    read(wording.call, &envelope, &reply.body).map_err(|cause| wording.unreadable(&cause, &reply.body))
}

/// The data of a good answer, or why it is none.
fn read(call: &Call, envelope: &Envelope<'_>, body: &str) -> Result<Understood, String> {
    match call {
        Call::Status => Err("a status in another's place".to_owned()),
        Call::Contacts { cursor } => contacts::read(envelope, cursor.as_deref()).map(Understood::Contacts),
        Call::LookUpLid { .. } => lid::read(body).map(|lid| Understood::Answer(Answer::Lid(lid))),
        Call::History { address, limit, cursor, .. } => messages::read(envelope, address, *limit, cursor.as_deref())
            .map(|page| Understood::Answer(Answer::History(page))),
        Call::Subscriptions => {
            settings::subscriptions(body).map(|found| Understood::Answer(Answer::Subscriptions(found)))
        }
        // The key that webhooks come with is the channel's own.
        Call::Connect { .. } => Ok(Understood::Answer(Answer::Connected(None))),
        _ => Err("no answer to this call".to_owned()),
    }
}

/// What an answer says that knows no such chat, no such message, or no such LID.
fn nothing(call: &Call) -> Answer {
    match call {
        Call::History { .. } => Answer::History(Page::default()),
        // Not there yet: it may come within minutes.
        Call::Message { .. } => Answer::Message(None),
        _ => Answer::Lid(None),
    }
}

/// What the fuzzers of `crate::fuzz` reach.
pub(crate) mod doors {
    pub(crate) use super::hooks::read as hook;

    use super::{Answer, Call, Refusal, Understood, understand};
    use crate::{http::Reply, wording::Wording};

    /// None for a contact list.
    pub(crate) fn answer(call: &Call, reply: &Reply) -> Result<Option<Answer>, Refusal> {
        let understood = understand(reply, &Wording { call, name: "GET /path", secrets: &["hush-hush"] })?;
        Ok(if let Understood::Answer(answer) = understood { Some(answer) } else { None })
    }
}
