//! The field `smb_app_state_sync`: contacts of the phone app, at first all of them, later what their owner changes.

use serde_json::Value;
use sincro_core::{
    contact::Contact,
    hook::{Event, Told},
    provider::Provider,
};

use super::hooks::flaw;
use crate::{
    events::PIECE,
    json, name, person,
    rows::{Flaw, Flaws},
};

const NAMES: [&str; 2] = ["full_name", "first_name"];

/// Tells who was added. Whoever was removed stays known: what was written stays, too.
pub(super) fn read(field: &str, value: &str, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [list] = json::pick(value, ["state_sync"]).map_err(|error| flaw(&error))?;
    let (mut gathered, mut flaws, mut told) = (Vec::new(), Flaws::default(), false);
    if let Some(list) = list {
        json::each_item(list.get(), |raw| {
            match json::object(raw.get()).map(|item| added(&item)) {
                Some(Some(Ok(contact))) => gathered.push(contact),
                Some(Some(Err(flaw))) => flaws.note(flaw),
                Some(None) => {}
                None => flaws.note(Flaw::Unreadable),
            }
            if gathered.len() == PIECE {
                told = true;
                tell(Told { name: field.to_owned(), event: Event::Contacts(std::mem::take(&mut gathered)) });
            }
        })
        .map_err(|error| flaw(&error))?;
    }
    if !flaws.is_empty() {
        let reasons = flaws.count(Provider::Positus, "webhook");
        tracing::warn!(provider = %Provider::Positus, event = field, %reasons, "contacts of a webhook were left out");
    }
    let event = match (gathered.is_empty(), told) {
        (false, _) => Event::Contacts(gathered),
        (true, true) => return Ok(()),
        (true, false) if flaws.is_empty() && list.is_some() => Event::Ignored,
        (true, false) => Event::Unknown,
    };
    tell(Told { name: field.to_owned(), event });
    Ok(())
}

/// None where nobody was added.
fn added(item: &Value) -> Option<Result<Contact, Flaw>> {
    let is = |name, expected: &str| {
        json::field(item, name).and_then(json::text).is_none_or(|word| word.eq_ignore_ascii_case(expected))
    };
    if !is("type", "contact") || !is("action", "add") {
        return None;
    }
    let contact = json::field(item, "contact")?;
    let phone = json::field(contact, "phone_number").and_then(json::text).and_then(|number| person::phone(&number));
    Some(phone.map(|phone| Contact::under(phone, name::best(contact, &NAMES))).ok_or(Flaw::UnknownChat))
}
