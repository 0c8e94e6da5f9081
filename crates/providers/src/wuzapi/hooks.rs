//! What a webhook of this gateway tells: `{"type","event"}`, as JSON or in the field `jsonData` of a form.
//!
//! Deliveries come in any order and more than once, without a name of their own: messages are known by their ids. Nothing in them says
//! which credentials they belong to; where these name the instance, what is about another one is foreign.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sincro_core::{
    hook::{Event, SessionChange, Source, Told},
    provider::Provider,
};
use url::form_urlencoded;

use crate::{
    batches::Batches,
    excerpt::{self, excerpt},
    json, whatsmeow,
};

const FORM: &str = "application/x-www-form-urlencoded";
const FORM_FIELD: &str = "jsonData";
/// Whose a webhook is, by id and by name.
const INSTANCE: [&str; 2] = ["userID", "instanceName"];
/// Reasons of a failed connection that no waiting mends: banned, the phone's own session taken away. 402 is a ban for a time.
const BANNING: [&str; 2] = ["403", "406"];
/// Known, and of no use here (asternic/wuzapi, `supportedEventTypes` as of September 2026).
const IGNORED: [&str; 28] = [
    "UndecryptableMessage",
    "Receipt",
    "ReadReceipt",
    "MediaRetry",
    "KeepAliveTimeout",
    "KeepAliveRestored",
    "StreamError",
    "OfflineSyncPreview",
    "OfflineSyncCompleted",
    "AppState",
    "AppStateSyncComplete",
    "PushNameSetting",
    "Presence",
    "ChatPresence",
    "GroupInfo",
    "JoinedGroup",
    "Picture",
    "BlocklistChange",
    "Blocklist",
    "PrivacySettings",
    "UserAbout",
    "QR",
    "QRTimeout",
    "QRScannedWithoutMultidevice",
    "PairError",
    "IdentityChange",
    "CATRefreshError",
    "FBMessage",
];
/// Families of the same.
const IGNORED_FAMILIES: [&str; 3] = ["Call", "Label", "Newsletter"];

/// Tells what is in a webhook. `own` is the channel's instance, where it is known.
pub(crate) fn read(
    content_type: &str,
    body: &str,
    own: Option<&str>,
    tell: &mut dyn FnMut(Told),
) -> Result<(), String> {
    let body = body.trim();
    let is_form = content_type.trim_start().get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM));
    if !is_form && (body.starts_with('{') || !body.contains(FORM_FIELD)) {
        return event(body, [None, None], own, tell);
    }
    let fields = || form_urlencoded::parse(body.as_bytes());
    let field = |wanted: &str| fields().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
    let json = field(FORM_FIELD).ok_or("a form without `jsonData`")?;
    let names = INSTANCE.map(|name| field(name).map(Cow::into_owned));
    event(&json, names, own, tell)
}

/// `names`: whose it is, where something around it says so.
fn event(body: &str, names: [Option<String>; 2], own: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [kind, event, id, instance] = json::pick(body.trim(), ["type", "event", INSTANCE[0], INSTANCE[1]])
        .map_err(|error| format!("an event that is {}", json::flaw(&error)))?;
    let names: Vec<String> = names.into_iter().chain([json::word(id), json::word(instance)]).flatten().collect();
    if let (Some(own), Some(other)) = (own, names.first())
        && !names.iter().any(|name| name == own)
    {
        let foreign = Event::Foreign(format!("instance {}", excerpt(other, excerpt::BODY)));
        tell(Told { name: json::word(kind).unwrap_or_else(|| "unknown".to_owned()), event: foreign });
        return Ok(());
    }
    let name = json::word(kind).unwrap_or_else(|| "unknown".to_owned());
    match (name.as_str(), event) {
        ("HistorySync", Some(event)) => {
            let [data] = json::members(Some(event), ["Data"]);
            whatsmeow::blob::read(Provider::Wuzapi, &name, Source::Unasked, data.unwrap_or(event).get(), tell)?
                .say(&name, tell);
        }
        ("Message", Some(event)) => message(&name, event, tell),
        (other, event) => {
            // Older releases wrote `Logged Out`.
            let known = other.replace(' ', "");
            let is_ignored =
                IGNORED.contains(&known.as_str()) || IGNORED_FAMILIES.iter().any(|family| known.starts_with(family));
            let told = session(&known, event).unwrap_or(if is_ignored { Event::Ignored } else { Event::Unknown });
            tell(Told { name, event: told });
        }
    }
    Ok(())
}

fn message(name: &str, event: &RawValue, tell: &mut dyn FnMut(Told)) {
    let mut batches = Batches::new(Provider::Wuzapi, name, Source::Live, tell);
    match whatsmeow::live::read(event) {
        Ok(Some((person, message))) => batches.add(person, message),
        Ok(None) => {}
        Err(flaw) => batches.leave_out(flaw),
    }
    batches.finish().say(name, tell);
}

/// What an event says of the session; none where it says nothing.
fn session(name: &str, event: Option<&RawValue>) -> Option<Event> {
    let [reason, code, expire, message] = json::members(event, ["Reason", "Code", "Expire", "Message"]);
    let reason = json::word(reason).or_else(|| json::word(code)).map(|reason| excerpt(&reason, excerpt::BODY));
    let told = |what: &str| reason.as_ref().map_or_else(|| what.to_owned(), |reason| format!("{what}: {reason}"));
    Some(Event::Session(match name {
        "Connected" | "PairSuccess" => SessionChange::Up,
        // It connects again by itself, and what it stored can be read meanwhile; a request to the phone says so where it cannot be made.
        "Disconnected" => return Some(Event::Ignored),
        "LoggedOut" => SessionChange::Lost(told("logged out")),
        "StreamReplaced" => SessionChange::Lost("another client took the connection over".to_owned()),
        "ClientOutdated" => SessionChange::Lost("the gateway is outdated and has to be upgraded".to_owned()),
        "TemporaryBan" => {
            let until = json::word(expire).map(|expire| format!(", ends {}", ends(&expire))).unwrap_or_default();
            // It ends by itself, and the session is looked at until then.
            SessionChange::Lost(format!("{}{until}", told("temporary ban")))
        }
        "ConnectFailure" => {
            let failure = reason.clone().unwrap_or_default();
            let said =
                json::word(message).map(|said| format!(" {}", excerpt(&said, excerpt::BODY))).unwrap_or_default();
            let told = format!("{}{said}", told("connection failed"));
            match failure.as_str() {
                banning if BANNING.contains(&banning) => SessionChange::Ended(told),
                // A server of WhatsApp's failed: the library tries again by itself.
                server if server.len() == 3 && server.starts_with('5') => return Some(Event::Ignored),
                _ => SessionChange::Lost(told),
            }
        }
        _ => return None,
    }))
}

/// A time, or nanoseconds from now on.
fn ends(expire: &str) -> String {
    match expire.parse::<u64>() {
        Ok(nanoseconds) => format!("in {} s", nanoseconds / 1_000_000_000),
        Err(_) => excerpt(expire, excerpt::BODY),
    }
}

#[cfg(test)]
mod tests;
