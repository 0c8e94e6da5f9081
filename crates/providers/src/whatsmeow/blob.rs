//! A piece of history (`HistorySync`): identities, names, and chats with their messages.
//!
//! It may have many megabytes, so it is walked: no more of it is read at once than one message. Identities come first, so that whoever
//! takes the chats knows them.

use serde_json::value::RawValue;
use sincro_core::{
    address::{Address, AddressKind},
    contact::Contact,
    hook::{Event, Source, Told},
    message::Pairing,
    provider::Provider,
};

use super::record;
use crate::{
    batches::{Batches, Found},
    events::PIECE,
    json, name, person,
    rows::Flaw,
};

/// The answer to a request for one chat.
const ON_DEMAND: [&str; 2] = ["6", "ON_DEMAND"];
/// The phone has nothing more of a chat, or gives no more.
const EXHAUSTED: [&str; 4] = [
    "1",
    "3",
    "COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY",
    "COMPLETE_ON_DEMAND_SYNC_WITH_MORE_MSG_ON_PRIMARY_BUT_NO_ACCESS",
];

/// Tells what is in a piece of history under `event`, the gateway's name for it; says whether that was anything. `unmarked`: what it is
/// where it is not marked as the answer to a request.
pub(crate) fn read(
    provider: Provider,
    event: &str,
    unmarked: Source,
    json: &str,
    tell: &mut dyn FnMut(Told),
) -> Result<Found, String> {
    let [kind, mappings, names, chats, loose] =
        json::pick(json, ["syncType", "phoneNumberToLidMappings", "pushnames", "conversations", "messages"])
            .map_err(|error| flaw(&error))?;
    let on_demand = json::word(kind).is_some_and(|kind| ON_DEMAND.iter().any(|one| one.eq_ignore_ascii_case(&kind)));
    let mut told = false;
    let mut also = |event_of: Event| {
        told = true;
        tell(Told { name: event.to_owned(), event: event_of });
    };
    pairings(mappings, &mut also)?;
    contacts(names, &mut also)?;
    let source = if on_demand { Source::OnDemand } else { unmarked };
    let mut batches = Batches::new(provider, event, source, tell);
    let (mut broken, mut more) = (Ok(()), Vec::new());
    if let Some(chats) = chats {
        json::each_item(chats.get(), |chat| {
            if broken.is_ok() {
                broken = conversation(chat, on_demand, &mut batches, &mut more);
            }
        })
        .map_err(|error| flaw(&error))?;
    }
    broken?;
    if let Some(loose) = loose {
        json::each_item(loose.get(), |item| loose_message(item, &mut batches)).map_err(|error| flaw(&error))?;
    }
    let found = batches.finish();
    for pairings in more.chunks(PIECE) {
        told = true;
        tell(Told { name: event.to_owned(), event: Event::Pairings(pairings.to_vec()) });
    }
    Ok(if told { Found::Something } else { found })
}

fn flaw(error: &serde_json::Error) -> String {
    format!("a history that is {}", json::flaw(error))
}

/// One chat; what a chat without messages says of a person's addresses goes to `pairings`.
fn conversation(
    raw: &RawValue,
    on_demand: bool,
    batches: &mut Batches<'_>,
    pairings: &mut Vec<Pairing>,
) -> Result<(), String> {
    let picked =
        json::pick(raw.get(), ["ID", "pnJID", "lidJID", "messages", "endOfHistoryTransferType", "displayName", "name"]);
    let Ok([id, phone, lid, messages, end, display_name, own_name]) = picked else {
        batches.leave_out(Flaw::Unreadable);
        return Ok(());
    };
    let id = json::word(id).unwrap_or_default();
    if person::is_many(&id) {
        return Ok(());
    }
    let addresses = [Some(id), json::word(phone), json::word(lid)].into_iter().flatten();
    let addresses = addresses.filter_map(|address| address.parse::<Address>().ok());
    let name = json::word(display_name).or_else(|| json::word(own_name)).and_then(|name| name::cleaned(&name));
    let chat = person::under(addresses, name);
    let mut count = 0;
    if let Some(messages) = messages {
        json::each_item(messages.get(), |item| {
            count += 1;
            match (record::read(item), &chat) {
                (Ok(record), Some(chat)) => batches.add(chat.clone(), record.message),
                // The chat says nothing that could be believed; then its messages may.
                (Ok(record), None) => add_by_itself(record, batches),
                (Err(flaw), _) => batches.leave_out(flaw),
            }
        })
        .map_err(|error| flaw(&error))?;
    }
    let Some(chat) = chat else {
        if count == 0 {
            batches.leave_out(Flaw::UnknownChat);
        }
        return Ok(());
    };
    let exhausted = json::word(end).is_some_and(|end| EXHAUSTED.iter().any(|one| one.eq_ignore_ascii_case(&end)));
    if count > 0 || exhausted || on_demand {
        batches.end_chat(chat, exhausted);
    } else if let (Some(phone), Some(lid)) = (chat.phone(), chat.lid()) {
        pairings.push(Pairing { phone: phone.clone(), lid: lid.clone() });
    }
    Ok(())
}

/// A message outside of a chat.
fn loose_message(item: &RawValue, batches: &mut Batches<'_>) {
    match record::read(item) {
        Ok(record) => add_by_itself(record, batches),
        Err(flaw) => batches.leave_out(flaw),
    }
}

fn add_by_itself(record: record::Record, batches: &mut Batches<'_>) {
    let chat = record.chat.unwrap_or_default();
    if person::is_many(&chat) {
        return;
    }
    let name = record.push_name.filter(|_| !record.message.from_me).and_then(|name| name::cleaned(&name));
    match chat.parse::<Address>() {
        Ok(chat) => batches.add(Contact::under(chat, name), record.message),
        Err(_) => batches.leave_out(Flaw::UnknownChat),
    }
}

fn pairings(list: Option<&RawValue>, tell: &mut dyn FnMut(Event)) -> Result<(), String> {
    let Some(list) = list else { return Ok(()) };
    let mut gathered = Vec::new();
    json::each_item(list.get(), |item| {
        let Ok([phone, lid]) = json::pick(item.get(), ["pnJID", "lidJID"]) else { return };
        let address = |kind, raw| json::word(raw).and_then(|text| Address::parse_as(kind, &text).ok());
        if let (Some(phone), Some(lid)) = (address(AddressKind::Phone, phone), address(AddressKind::Lid, lid)) {
            gathered.push(Pairing { phone, lid });
        }
        if gathered.len() == PIECE {
            tell(Event::Pairings(std::mem::take(&mut gathered)));
        }
    })
    .map_err(|error| flaw(&error))?;
    if !gathered.is_empty() {
        tell(Event::Pairings(gathered));
    }
    Ok(())
}

fn contacts(list: Option<&RawValue>, tell: &mut dyn FnMut(Event)) -> Result<(), String> {
    let Some(list) = list else { return Ok(()) };
    let mut gathered = Vec::new();
    json::each_item(list.get(), |item| {
        let Ok([id, name]) = json::pick(item.get(), ["ID", "pushname"]) else { return };
        let name = json::word(name).and_then(|name| name::cleaned(&name));
        if let (Some(address), Some(name)) = (json::word(id).and_then(|id| id.parse().ok()), name) {
            gathered.push(Contact::under(address, Some(name)));
        }
        if gathered.len() == PIECE {
            tell(Event::Contacts(std::mem::take(&mut gathered)));
        }
    })
    .map_err(|error| flaw(&error))?;
    if !gathered.is_empty() {
        tell(Event::Contacts(gathered));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
