//! The name of a person, out of the several that a gateway knows.

use serde_json::Value;

use crate::json;

/// Longer names are cut; WhatsApp itself allows far less.
const LONGEST: usize = 200;

/// The first of these members that holds a name.
pub(crate) fn best(record: &Value, members: &[&str]) -> Option<String> {
    members.iter().find_map(|name| json::field(record, name).and_then(json::text).and_then(|name| cleaned(&name)))
}

/// A name without what no name holds; none when nothing is left.
pub(crate) fn cleaned(name: &str) -> Option<String> {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    (!name.trim().is_empty()).then_some(name)
}
