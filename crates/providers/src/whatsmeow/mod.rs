//! Messages and history as whatsmeow has them, which gateways over it pass on as plain JSON of its Go structures.
//!
//! Names come in the case that a release happens to write (`ID`, `remoteJID`, `pnJID`), numbers stand for words of the protocol, and
//! what a `oneof` holds is under its own name (`Response`). All of it is read in any case.
//!
//! | module | what it holds |
//! |---|---|
//! | `content` | what a message is, and its words |
//! | `record` | the phone's record of a message |
//! | `live` | a message as the library's event has it |
//! | `blob` | a piece of history: chats, names, identities |

pub(crate) mod blob;
pub(crate) mod content;
pub(crate) mod live;
pub(crate) mod record;

use crate::json;
use serde_json::Value;

/// The states of a web message by their numbers (whatsmeow, `WebMessageInfo.Status`).
pub(crate) const STATUSES: [&str; 6] = ["error", "pending", "server_ack", "delivery_ack", "read", "played"];

/// A state by its number or its word; others are none.
pub(crate) fn status(status: &str) -> Option<String> {
    let known = match status.parse::<usize>() {
        Ok(number) => STATUSES.get(number),
        Err(_) => STATUSES.iter().find(|known| known.eq_ignore_ascii_case(status)),
    };
    known.map(|&known| known.to_owned())
}

/// The text at the end of a path, without the blanks around it; an empty one counts as missing.
fn word(value: &Value, path: &[&str]) -> Option<String> {
    let word = json::at(value, path).and_then(json::text)?.trim().to_owned();
    (!word.is_empty()).then_some(word)
}
