//! Positus' own events about a number: `{"event":"phone_number_status_update","workspace":{..},"number":{..}}`.

use serde_json::Value;
use sincro_core::hook::{Event, SessionChange};

use crate::{
    excerpt::{self, excerpt},
    json,
};

/// The one event that may say what became of a session.
const STATUS: &str = "phone_number_status_update";
const IGNORED: [&str; 2] = ["phone_number_sync", "number_activation_status_update"];

/// Where the status of a number may be. Which words come there is known of one only: `CONNECTED`.
const PLACES: [&[&str]; 3] = [&["quality_status", "code"], &["status", "code"], &["status", "description"]];
const UP: [&str; 1] = ["CONNECTED"];
const LOST: [&str; 2] = ["DISCONNECTED", "OFFLINE"];
const ENDED: [&str; 6] = ["BANNED", "BLOCKED", "DELETED", "DISABLED", "MIGRATED", "OFFBOARDED"];

/// What an event tells of the number `own`; none where it cannot be read.
pub(super) fn read(event: &str, body: &str, own: Option<&str>) -> Option<Event> {
    let body = json::object(body)?;
    let number = json::field(&body, "number").unwrap_or(&Value::Null);
    let id = json::field(number, "id").and_then(json::text);
    if let (Some(id), Some(own)) = (&id, own)
        && id != own
    {
        return Some(Event::Foreign(format!("number {}", excerpt(id, excerpt::BODY))));
    }
    Some(match event {
        STATUS => session(number),
        known if IGNORED.contains(&known) => Event::Ignored,
        _ => Event::Unknown,
    })
}

/// The worst that is said counts.
fn session(number: &Value) -> Event {
    let words = PLACES.iter().filter_map(|place| json::at(number, place).and_then(json::text));
    let words: Vec<String> = words.map(|word| word.trim().to_ascii_uppercase()).collect();
    let said = |known: &[&str]| words.iter().find(|word| known.contains(&word.as_str())).cloned();
    match (said(&ENDED), said(&LOST), said(&UP)) {
        (Some(ended), _, _) => Event::Session(SessionChange::Ended(format!("the number is {ended}"))),
        (_, Some(lost), _) => Event::Session(SessionChange::Lost(format!("the number is {lost}"))),
        (_, _, Some(_)) => Event::Session(SessionChange::Up),
        (None, None, None) => Event::Ignored,
    }
}
