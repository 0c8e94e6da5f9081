//! The fields `messages` and `smb_message_echoes`: what arrives from now on, from persons and from the phone app.

use std::collections::HashMap;

use serde_json::value::RawValue;
use sincro_core::{
    address::Address,
    hook::{Source, Told},
    provider::Provider,
};

use super::{
    hooks::{flaw, member},
    message::{self, Around},
};
use crate::{batches::Batches, json, name, person};

/// Tells what persons wrote. What became of what was sent is of no use here.
pub(super) fn received(field: &str, value: &str, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [metadata, messages, contacts] =
        json::pick(value, ["metadata", "messages", "contacts"]).map_err(|error| flaw(&error))?;
    live(field, metadata, messages, &names(contacts)?, tell)
}

/// Tells what was sent by the phone app.
pub(super) fn echoes(field: &str, value: &str, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [metadata, echoes, messages] =
        json::pick(value, ["metadata", "message_echoes", "messages"]).map_err(|error| flaw(&error))?;
    live(field, metadata, echoes.or(messages), &HashMap::new(), tell)
}

fn live(
    field: &str,
    metadata: Option<&RawValue>,
    messages: Option<&RawValue>,
    names: &HashMap<Address, String>,
    tell: &mut dyn FnMut(Told),
) -> Result<(), String> {
    let own = member(metadata, "display_phone_number").and_then(|number| person::phone(&json::word(Some(number))?));
    let around = Around { thread: None, own: own.as_ref() };
    let mut batches = Batches::new(Provider::Positus, field, Source::Live, tell);
    if let Some(messages) = messages {
        json::each_item(messages.get(), |raw| match message::read(raw, around) {
            Ok(Some((mut person, message))) => {
                person.name = person.phone().and_then(|phone| names.get(phone).cloned());
                batches.add(person, message);
            }
            Ok(None) => {}
            Err(flaw) => batches.leave_out(flaw),
        })
        .map_err(|error| flaw(&error))?;
    }
    batches.finish().say(field, tell);
    Ok(())
}

/// What persons call themselves.
fn names(contacts: Option<&RawValue>) -> Result<HashMap<Address, String>, String> {
    let mut names = HashMap::new();
    let Some(contacts) = contacts else { return Ok(names) };
    json::each_item(contacts.get(), |raw| {
        let Some(contact) = json::object(raw.get()) else { return };
        let phone = json::field(&contact, "wa_id").and_then(json::text).and_then(|number| person::phone(&number));
        let name = json::field(&contact, "profile").and_then(|profile| name::best(profile, &["name"]));
        names.extend(phone.zip(name));
    })
    .map_err(|error| flaw(&error))?;
    Ok(names)
}
