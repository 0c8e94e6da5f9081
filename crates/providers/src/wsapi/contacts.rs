//! `GET /contacts`: records that hold both identities of a person, where the gateway knows both.

use serde_json::Value;

use crate::{json, listing::Record, name, person};

/// The best first: the address book's names, then the person's own, then the shop's.
const NAMES: [&str; 4] = ["fullName", "firstName", "pushName", "businessName"];

/// A record of the list. Its `id` is the phone's address where that is known.
pub(crate) fn read(record: &Value) -> Record {
    let ids = ["id", "lid", "phone"].map(|name| json::field(record, name).and_then(json::text));
    let ids: Vec<String> = ids.into_iter().flatten().filter(|id| !id.trim().is_empty()).collect();
    if ids.is_empty() {
        return Record::Nameless;
    }
    if ids.iter().any(|id| person::is_many(id)) {
        return Record::Nobody;
    }
    let addresses = ids.iter().filter_map(|id| person::address(id));
    person::under(addresses, name::best(record, &NAMES)).map_or(Record::Nobody, Record::Person)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::{address::Address, contact::Contact};

    use super::*;

    fn person(record: &Value) -> Contact {
        match read(record) {
            Record::Person(person) => person,
            _ => panic!("{record}"),
        }
    }

    #[test]
    fn one_record_holds_both_identities_so_no_lookup_is_needed() {
        let record = json!({"id": "5511988887777@s.whatsapp.net", "lid": "190000000000001@lid", "phone": "5511988887777",
            "fullName": "Ana P", "pushName": "ana", "inPhoneAddressBook": true});
        let ana = person(&record);
        assert_eq!(ana.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
        assert_eq!((ana.lid().map(Address::as_str), ana.name.as_deref()), (Some("190000000000001@lid"), Some("Ana P")));
        let by_lid = person(&json!({"id": "190000000000001@lid", "phone": "5511988887777", "fullName": ""}));
        assert!(by_lid.phone().is_some() && by_lid.lid().is_some() && by_lid.name.is_none());
        assert!(person(&json!({"id": "190000000000001@lid"})).phone().is_none());
    }

    #[test]
    fn groups_are_nobody_and_a_record_without_any_id_is_nameless() {
        assert!(matches!(read(&json!({"id": "1203@g.us", "phone": "5511988887777"})), Record::Nobody));
        assert!(matches!(read(&json!({"id": "?"})), Record::Nobody));
        assert!(matches!(read(&json!({"fullName": "Ana"})), Record::Nameless));
    }
}
