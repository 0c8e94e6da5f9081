//! What is wrapped in a webhook: changes of fields, in Meta's envelope, in that of somebody who passes them on, or bare; and Positus'
//! own events about a number.

use serde_json::value::RawValue;
use sincro_core::hook::{Event, Told};

use super::{account, contacts, history, messages, workspace};
use crate::{
    excerpt::{self, excerpt},
    json,
};

/// Wrappers within wrappers end somewhere.
const DEEPEST: usize = 5;
/// Fields of a subscription that are of no use here.
const IGNORED: [&str; 14] = [
    "account_alerts",
    "account_review_update",
    "business_capability_update",
    "business_status_update",
    "calls",
    "flows",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "template_category_update",
    "user_preferences",
];

/// Which number the channel is.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Positus' id of it.
    pub(super) number_id: Option<String>,
    /// Meta's id of it.
    pub(super) phone_number_id: Option<String>,
}

/// Tells what is in a webhook.
pub(super) fn read(body: &str, own: &Own, tell: &mut dyn FnMut(Told)) -> Result<(), String> {
    Reader { own, tell }.anything(body.trim(), 0)
}

struct Reader<'r> {
    own: &'r Own,
    tell: &'r mut dyn FnMut(Told),
}

impl Reader<'_> {
    fn anything(&mut self, body: &str, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            self.say("unknown", Event::Unknown);
            return Ok(());
        }
        if body.starts_with('[') {
            return self.each(body, depth);
        }
        let [entry, changes, field, value, event, data, workspace, number] =
            json::pick(body, ["entry", "changes", "field", "value", "event", "data", "workspace", "number"])
                .map_err(|error| flaw(&error))?;
        if let Some(list) = entry.or(changes).filter(|list| list.get().starts_with('[')) {
            return self.each(list.get(), depth);
        }
        if let (Some(field), Some(value)) = (json::word(field), value) {
            return self.change(&field, value.get());
        }
        if let Some(event) = json::word(event) {
            return match data {
                Some(data) if is_wrapped(data.get()) => self.anything(data.get(), depth + 1),
                Some(data) => self.change(&event, data.get()),
                None if workspace.or(number).is_some() => self.of_workspace(&event, body),
                // What is inside of an account's update looks like that.
                None => self.change("account_update", body),
            };
        }
        self.bare(body)
    }

    /// Items of a list, each of them anything.
    fn each(&mut self, list: &str, depth: usize) -> Result<(), String> {
        let mut broken = Ok(());
        let mut count = 0;
        json::each_item(list, |item| {
            count += 1;
            if broken.is_ok() {
                broken = self.anything(item.get(), depth + 1);
            }
        })
        .map_err(|error| flaw(&error))?;
        if count == 0 {
            self.say("empty", Event::Ignored);
        }
        broken
    }

    /// The inside of a change whose field nobody names.
    fn bare(&mut self, body: &str) -> Result<(), String> {
        let [history, contacts, echoes, messages, statuses] =
            json::pick(body, ["history", "state_sync", "message_echoes", "messages", "statuses"])
                .map_err(|error| flaw(&error))?;
        let fields = [
            (history, "history"),
            (contacts, "smb_app_state_sync"),
            (echoes, "smb_message_echoes"),
            (messages.or(statuses), "messages"),
        ];
        if let Some((_, field)) = fields.iter().find(|(value, _)| value.is_some()) {
            return self.change(field, body);
        }
        self.say("unknown", Event::Unknown);
        Ok(())
    }

    fn change(&mut self, field: &str, value: &str) -> Result<(), String> {
        if let Some(foreign) = self.foreign(value)? {
            self.say(field, foreign);
            return Ok(());
        }
        match field.to_ascii_lowercase().as_str() {
            "history" => history::read(field, value, self.tell),
            "smb_app_state_sync" => contacts::read(field, value, self.tell),
            "smb_message_echoes" => messages::echoes(field, value, self.tell),
            "messages" => messages::received(field, value, self.tell),
            // Two of its events are fields of their own in newer subscriptions.
            "account_update" | "account_offboarded" | "account_reconnected" => {
                self.say(field, account::read(field, value));
                Ok(())
            }
            known => {
                let is_known = IGNORED.contains(&known);
                self.say(field, if is_known { Event::Ignored } else { Event::Unknown });
                Ok(())
            }
        }
    }

    /// Whether a change names another number than the channel's; without the channel's id nobody can tell.
    fn foreign(&self, value: &str) -> Result<Option<Event>, String> {
        let Some(own) = &self.own.phone_number_id else { return Ok(None) };
        let [metadata, id] = json::pick(value, ["metadata", "phone_number_id"]).map_err(|error| flaw(&error))?;
        let id = json::word(member(metadata, "phone_number_id").or(id)).filter(|id| id != own);
        Ok(id.map(|id| Event::Foreign(format!("phone number {}", excerpt(&id, excerpt::BODY)))))
    }

    fn of_workspace(&mut self, event: &str, body: &str) -> Result<(), String> {
        let told = workspace::read(event, body, self.own.number_id.as_deref());
        let told = told.ok_or("an event of a workspace that is JSON of another shape")?;
        self.say(event, told);
        Ok(())
    }

    fn say(&mut self, name: &str, event: Event) {
        (self.tell)(Told { name: name.to_owned(), event });
    }
}

/// Whether it is an envelope of its own.
fn is_wrapped(data: &str) -> bool {
    data.starts_with('[')
        || json::pick(data, ["entry", "changes", "field"]).is_ok_and(|found| found.iter().any(Option::is_some))
}

pub(super) fn flaw(error: &serde_json::Error) -> String {
    format!("a webhook that is {}", json::flaw(error))
}

/// A member of an object that is left unread otherwise.
pub(super) fn member<'a>(raw: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
    let [found] = json::members(raw, [name]);
    found
}

#[cfg(test)]
mod tests;
