//! `GET /users/me/contacts`: records keyed by an address of either kind, each a person of its own.

use serde_json::Value;
use sincro_core::contact::Contact;

use crate::{json, listing::Record, name, person};

/// The best first: the address book's names, then the person's own, then the shop's.
const NAMES: [&str; 4] = ["full_name", "first_name", "push_name", "business_name"];

/// A record of the list.
pub(crate) fn read(record: &Value) -> Record {
    let id = json::field(record, "jid").and_then(json::text).filter(|id| !id.trim().is_empty());
    let Some(id) = id else { return Record::Nameless };
    person::address(&id)
        .map_or(Record::Nobody, |address| Record::Person(Contact::under(address, name::best(record, &NAMES))))
}
