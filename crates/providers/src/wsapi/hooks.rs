//! What a webhook of this gateway tells: `{"eventId","instanceId","eventType","receivedAt","eventData"}`.
//!
//! Its wiki calls the data `data`, which is read as well. Deliveries are numbered, and what comes twice is known by the ids of its
//! messages.

use serde_json::value::RawValue;
use sincro_core::{
    hook::{Event, SessionChange, Source, Told},
    provider::Provider,
};

use super::message;
use crate::{
    batches::Batches,
    excerpt::{self, excerpt},
    json, moment, person,
};

/// A device was removed with all it had.
const INSTANCE_DELETED: &str = "instance_deleted";
/// Known, and of no use here (open build, v2.0.1).
const IGNORED: [&str; 5] = ["login_error", "contact", "group", "newsletter", "user_presence"];
/// Families of the same.
const IGNORED_FAMILIES: [&str; 3] = ["chat_", "call_", "group_"];

/// Tells what is in a webhook. `instance` is the channel's own.
pub(crate) fn read(body: &str, instance: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let body = body.trim();
    if !body.starts_with('[') {
        return event(body, instance, tell);
    }
    // A pull of several events looks like that.
    let mut broken = Ok(());
    json::each_item(body, |item| {
        if broken.is_ok() {
            broken = event(item.get(), instance, tell);
        }
    })
    .map_err(|error| json::flaw(&error))?;
    broken
}

fn event(body: &str, instance: Option<&str>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [kind, data, also_data, of, at] =
        json::pick(body, ["eventType", "eventData", "data", "instanceId", "receivedAt"])
            .map_err(|error| format!("an event that is {}", json::flaw(&error)))?;
    let name = json::word(kind).unwrap_or_else(|| "unknown".to_owned());
    let mut say = |event| tell(Told { name: name.clone(), event });
    if let (Some(of), Some(instance)) = (json::word(of), instance)
        && of != instance
    {
        say(Event::Foreign(format!("instance {}", excerpt(&of, excerpt::BODY))));
        return Ok(());
    }
    let data = data.or(also_data);
    // What comes again, or behind what followed on it, is known by its time.
    let at = json::word(at).and_then(|at| moment::read(&at.into()));
    match (name.to_ascii_lowercase().as_str(), data) {
        ("message_history_sync", Some(data)) => history(&name, data, tell)?,
        ("logged_out", data) => say(Event::Session(logged_out(data))),
        ("logged_in", _) => {
            say(Event::Paired(at));
            say(Event::Session(SessionChange::Up));
        }
        ("initial_sync_finished", _) => say(Event::InitialSync(at)),
        (live, Some(data)) if live == "message" || live.starts_with("message_") => live_message(&name, data, tell),
        (known, _) if IGNORED.contains(&known) => say(Event::Ignored),
        (known, _) if IGNORED_FAMILIES.iter().any(|family| known.starts_with(family)) => say(Event::Ignored),
        _ => say(Event::Unknown),
    }
    Ok(())
}

fn history(name: &str, data: &RawValue, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let flaw = |error: serde_json::Error| format!("a history that is {}", json::flaw(&error));
    let [chat, messages] = json::pick(data.get(), ["chatId", "messages"]).map_err(flaw)?;
    let chat = json::word(chat);
    let mut batches = Batches::new(Provider::Wsapi, name, Source::History, tell);
    let mut seen = 0;
    if let Some(messages) = messages {
        json::each_item(messages.get(), |raw| {
            seen += 1;
            match message::read(raw, chat.as_deref()) {
                Ok(Some((person, message))) => batches.add(person, message),
                Ok(None) => {}
                Err(flaw) => batches.leave_out(flaw),
            }
        })
        .map_err(flaw)?;
    }
    // The phone's answer that it has nothing, should one ever come.
    let empty = chat.filter(|_| seen == 0).and_then(|chat| person::address(&chat));
    if let Some(person) = empty.and_then(|address| person::under([address], None)) {
        batches.end_chat(person, false);
    }
    batches.finish().say(name, tell);
    Ok(())
}

/// A new message, where the event holds one; a star or a receipt about one does not.
fn live_message(name: &str, data: &RawValue, tell: &mut dyn FnMut(Told)) {
    let mut batches = Batches::new(Provider::Wsapi, name, Source::Live, tell);
    let is_message = |raw: &RawValue| {
        let [id, time, timestamp, kind] = json::members(Some(raw), ["id", "time", "timestamp", "type"]);
        id.is_some() && kind.is_some() && time.or(timestamp).is_some()
    };
    let [inner] = json::members(Some(data), ["message"]);
    let found = [Some(data), inner].into_iter().flatten().find(|raw| is_message(raw));
    match found.map(|raw| message::read(raw, None)) {
        Some(Ok(Some((person, message)))) => batches.add(person, message),
        Some(Err(flaw)) => batches.leave_out(flaw),
        Some(Ok(None)) | None => {}
    }
    batches.finish().say(name, tell);
}

fn logged_out(data: Option<&RawValue>) -> SessionChange {
    let [reason] = json::members(data, ["reason"]);
    let reason = json::word(reason).unwrap_or_else(|| "without a reason".to_owned());
    let told = format!("logged out: {}", excerpt(&reason, excerpt::BODY));
    if reason.eq_ignore_ascii_case(INSTANCE_DELETED) { SessionChange::Ended(told) } else { SessionChange::Lost(told) }
}

#[cfg(test)]
mod tests;
