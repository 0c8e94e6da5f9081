//! The field `history`: chunks of the past in threads, media that come later, or the owner's refusal to share anything.

use serde_json::value::RawValue;
use sincro_core::{
    address::Address,
    hook::{Event, Progress, Source, Told},
    job::Failure,
    provider::Provider,
};

use super::{
    hooks::{flaw, member},
    message::{self, Around},
};
use crate::{
    batches::{Batches, Found},
    excerpt::{self, excerpt},
    json, person,
    rows::Flaw,
};

/// The phone's owner shares no history: nothing will come.
const DECLINED: &str = "2593109";

/// Tells what is in a change of the field.
pub(super) fn read(name: &str, value: &str, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [metadata, chunks, late, errors] =
        json::pick(value, ["metadata", "history", "messages", "errors"]).map_err(|error| flaw(&error))?;
    let own = member(metadata, "display_phone_number").and_then(|number| person::phone(&json::word(Some(number))?));
    let mut told = each_error(name, errors, tell)?;
    if let Some(chunks) = chunks {
        let mut broken = Ok(());
        json::each_item(chunks.get(), |raw| {
            if broken.is_ok() {
                broken = chunk(name, raw, own.as_ref(), tell).map(|()| told = true);
            }
        })
        .map_err(|error| flaw(&error))?;
        broken?;
    }
    if let Some(late) = late {
        told = true;
        let mut batches = Batches::new(Provider::Positus, name, Source::LateAsset, tell);
        each_message(late, Around { thread: None, own: own.as_ref() }, &mut batches)?;
        batches.finish().say(name, tell);
    }
    if !told {
        let event = if chunks.is_some() { Event::Ignored } else { Event::Unknown };
        tell(Told { name: name.to_owned(), event });
    }
    Ok(())
}

/// One chunk. How far it is comes behind its messages, so that nobody takes 100 percent for the end of them.
fn chunk(name: &str, raw: &RawValue, own: Option<&Address>, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    let [metadata, threads, errors] =
        json::pick(raw.get(), ["metadata", "threads", "errors"]).map_err(|error| flaw(&error))?;
    let failed = each_error(name, errors, tell)?;
    let mut found = Found::Nothing;
    if let Some(threads) = threads {
        let mut batches = Batches::new(Provider::Positus, name, Source::History, tell);
        let mut broken = Ok(());
        json::each_item(threads.get(), |raw| {
            if broken.is_ok() {
                broken = thread(raw, own, &mut batches);
            }
        })
        .map_err(|error| flaw(&error))?;
        found = batches.finish();
        broken?;
    }
    let progress = metadata.and_then(progress);
    let is_told = failed || progress.is_some();
    if !is_told || found == Found::Flaws {
        found.say(name, tell);
    }
    if let Some(progress) = progress {
        tell(Told { name: name.to_owned(), event: Event::Progress(progress) });
    }
    Ok(())
}

/// A thread has the bare number of its person. Under another kind of identity it cannot be kept yet: it is counted, and the webhook is
/// not understood where it holds nothing else.
fn thread(raw: &RawValue, own: Option<&Address>, batches: &mut Batches<'_>) -> Result<(), String> {
    let [id, messages] = json::pick(raw.get(), ["id", "messages"]).map_err(|error| flaw(&error))?;
    let id = json::word(id).unwrap_or_default();
    let Some(messages) = messages.filter(|_| !person::is_many(&id)) else { return Ok(()) };
    let Some(person) = person::phone(id.strip_suffix("@s.whatsapp.net").unwrap_or(&id)) else {
        json::each_item(messages.get(), |_| batches.leave_out(Flaw::UnknownChat)).map_err(|error| flaw(&error))?;
        return Ok(());
    };
    each_message(messages, Around { thread: Some(&person), own }, batches)
}

fn each_message(list: &RawValue, around: Around<'_>, batches: &mut Batches<'_>) -> Result<(), String> {
    json::each_item(list.get(), |raw| match message::read(raw, around) {
        Ok(Some((person, message))) => batches.add(person, message),
        Ok(None) => {}
        Err(flaw) => batches.leave_out(flaw),
    })
    .map_err(|error| flaw(&error))
}

/// Phases with nothing in them send no webhook, and chunks arrive in any order.
fn progress(metadata: &RawValue) -> Option<Progress> {
    let [phase, chunk, percent] = json::pick(metadata.get(), ["phase", "chunk_order", "progress"]).ok()?;
    let number = |raw| json::word(raw)?.parse::<u32>().ok();
    let progress = Progress {
        phase: number(phase),
        chunk: number(chunk),
        percent: number(percent).filter(|percent| *percent <= 100),
        conversations: None,
    };
    (progress != Progress::default()).then_some(progress)
}

/// Whether there was one.
fn each_error(name: &str, list: Option<&RawValue>, tell: &mut dyn FnMut(Told)) -> Result<bool, String> {
    let Some(list) = list else { return Ok(false) };
    let mut told = false;
    json::each_item(list.get(), |raw| {
        told = true;
        tell(Told { name: name.to_owned(), event: error(raw) });
    })
    .map_err(|error| flaw(&error))?;
    Ok(told)
}

fn error(raw: &RawValue) -> Event {
    let Some(error) = json::object(raw.get()) else { return Event::Unknown };
    let member = |path: &[&str]| json::at(&error, path).and_then(json::text).filter(|text| !text.trim().is_empty());
    if member(&["code"]).as_deref() != Some(DECLINED) {
        return Event::Unknown;
    }
    let mut words: Vec<String> = [&["title"][..], &["message"], &["error_data", "details"], &["details"]]
        .into_iter()
        .filter_map(member)
        .collect();
    words.dedup();
    let said = excerpt(&words.join(": "), excerpt::CAUSE);
    let detail = format!("whoever owns the number shares no history ({DECLINED}): {said}");
    Event::Declined(Failure::new("declined", detail))
}
