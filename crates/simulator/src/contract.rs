//! What a provider's folder has to say for the rest of the simulator to serve it: the one place that knows which there are.
//!
//! People, chats, the gate with its log, limit and faults, the webhooks on their way, and the steering are the same for all.
//! A contract brings its paths and events, reads from the head of a call what it is about, and has words of its own for what
//! goes wrong.

use std::{fmt, sync::Arc};

use anyhow::{Result, bail};
use axum::{Router, extract::Request, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    archive::Keeping,
    call_log::Arrival,
    faults::Fault,
    gdbrns::Gdbrns,
    hooks::{Hook, body::Body, event::Event, posting::Posting},
    pairing::Step,
    positus::Positus,
    server::{Channel, Server},
    session::Change,
    whapi::Whapi,
    wsapi::Wsapi,
    wuzapi::Wuzapi,
};

/// Whose contract all channels of a simulator speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// asternic/wuzapi.
    #[default]
    Wuzapi,
    /// Positus, with Meta's coexistence behind it.
    Positus,
    /// wsapi.chat.
    Wsapi,
    /// Whapi.Cloud.
    Whapi,
    /// gdbrns/go-whatsapp-multi-session-rest-api.
    Gdbrns,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Wuzapi, Self::Positus, Self::Wsapi, Self::Whapi, Self::Gdbrns];

    /// The name that the product knows it by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wuzapi => "wuzapi",
            Self::Positus => "positus",
            Self::Wsapi => "wsapi",
            Self::Whapi => "whapi",
            Self::Gdbrns => "gdbrns",
        }
    }

    pub(crate) fn contract(self) -> &'static dyn Contract {
        match self {
            Self::Wuzapi => &Wuzapi,
            Self::Positus => &Positus,
            Self::Wsapi => &Wsapi,
            Self::Whapi => &Whapi,
            Self::Gdbrns => &Gdbrns,
        }
    }
}

/// One provider's contract.
pub(crate) trait Contract: fmt::Debug + Send + Sync {
    /// The calls it answers. Each handler finds the [`Pretence`](crate::gate::Pretence) of its call in the request.
    fn router(&self, server: Arc<Server>) -> Router;

    /// What a call is about, read from its head alone.
    fn arrival(&self, server: &Server, request: &Request) -> Arrival;

    /// Whether a fault can be told to this call at all.
    fn concerns(&self, fault: &Fault, arrival: &Arrival) -> bool;

    /// A fault that has words of the provider's own; none for those that look alike everywhere.
    fn tell(&self, server: &Server, fault: &Fault) -> Option<Response>;

    /// For calls that were kept waiting when the simulator stops.
    fn stopping(&self) -> Response;

    /// What its store keeps of a message, how it spells it, and in which order it gives a chat.
    fn keeping(&self) -> Keeping;

    /// The gateway's own name for a channel: an instance, a number, a device.
    fn name_of(&self, channel: &Channel) -> String;

    /// How its webhooks are sent.
    fn posting(&self) -> Posting;

    /// Whether an event of this name goes to the hook.
    fn wants(&self, hook: &Hook, event: &str) -> bool {
        hook.events.is_empty() || hook.events.iter().any(|wanted| wanted == event)
    }

    /// What a JSON body is put into.
    fn wrap(&self, _: &Server, _: &Channel, json: Body) -> Body {
        json
    }

    /// What stands in the head of every webhook, beside its signature.
    fn headers(&self, _: &Channel, _: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Has the body of an event name a number that no channel has.
    fn misaddress(&self, body: &mut Value);

    /// What is told of a session that came or went.
    fn told_of_session(&self, server: &Server, channel: &Channel, change: Change<'_>) -> Vec<Event>;

    /// Pairs a channel anew. Its session is up by then.
    fn pair(&self, _: &Server, _: &Channel, _: Step) {}

    /// A message that the phone holds and the gateway does not becomes readable.
    fn restore(&self, _: &Server, _: &Channel, _: &str) -> Result<()> {
        bail!("this provider restores no single message")
    }
}
