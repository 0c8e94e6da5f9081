//! `GET /user/contacts`: the whole contact list in one map, keyed by JIDs of both kinds.
//!
//! The key alone makes a contact; names are looked for and may be missing. It says nothing about which phone JID and which
//! LID are one person, so there are no pairings in the page.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sincro_core::{address::Address, contact::Contact, gateway::ContactsPage};

use crate::json;

/// The best first: the address book's names, then the person's own, then the shop's.
const NAMES: [&str; 4] = ["FullName", "FirstName", "PushName", "BusinessName"];
/// Longer names are cut; WhatsApp itself allows far less.
const LONGEST_NAME: usize = 200;

/// Persons in the order of their JIDs. Devices of one person count once; groups, broadcasts and keys that are no JIDs of
/// persons are counted as left out.
pub(super) fn read(data: &str) -> Result<ContactsPage, String> {
    let mut persons: BTreeMap<String, (Address, Option<String>)> = BTreeMap::new();
    let (mut left_out, mut jids) = (0, 0);
    json::each_entry(data, |key, value| {
        jids += usize::from(key.contains('@'));
        match key.parse::<Address>() {
            Ok(address) => {
                let (_, name) = persons.entry(address.as_str().to_owned()).or_insert((address, None));
                *name = name.take().or_else(|| best_name(value));
            }
            Err(_) => left_out += 1,
        }
    })
    .map_err(|error| format!("a contact list that is {}", json::flaw(&error)))?;
    if left_out > 0 && jids == 0 {
        return Err("a contact list without a single JID".to_owned());
    }
    let contacts = persons.into_values().map(|(address, name)| Contact::under(address, name)).collect();
    Ok(ContactsPage { contacts, left_out, ..ContactsPage::default() })
}

fn best_name(value: &RawValue) -> Option<String> {
    let value = json::object(value.get())?;
    NAMES.iter().find_map(|name| json::field(&value, name).and_then(json::text).and_then(|name| cleaned(&name)))
}

fn cleaned(name: &str) -> Option<String> {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    (!name.trim().is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(data: &str) -> Vec<(String, Option<String>)> {
        let address = |contact: &Contact| contact.phone().or(contact.lid()).map(Address::to_string).unwrap();
        read(data).unwrap().contacts.iter().map(|contact| (address(contact), contact.name.clone())).collect()
    }

    #[test]
    fn the_list_of_the_page_is_read_in_the_order_of_its_jids() {
        let data = r#"{
            "5511988887777@s.whatsapp.net":{"Found":true,"FirstName":"Ana","FullName":"Ana P","PushName":"ana","BusinessName":"","RedactedPhone":""},
            "190000000000001@lid":{"Found":true,"FirstName":"","FullName":"","PushName":"ana","BusinessName":"","RedactedPhone":""}}"#;
        let page = read(data).unwrap();
        assert_eq!((page.left_out, page.pairings.len(), page.next), (0, 0, None));
        assert_eq!(
            listed(data),
            [
                ("190000000000001@lid".to_owned(), Some("ana".to_owned())),
                ("5511988887777@s.whatsapp.net".to_owned(), Some("Ana P".to_owned())),
            ]
        );
    }

    #[test]
    fn the_best_name_wins_and_no_name_is_none() {
        for (value, name) in [
            (r#"{"FullName":" ","FirstName":"Ana","PushName":"ana"}"#, Some("Ana")),
            (r#"{"FullName":null,"PushName":"a\u0000na\n","BusinessName":"Loja"}"#, Some("ana")),
            (r#"{"BusinessName":"Loja & Cia"}"#, Some("Loja & Cia")),
            (r#"{"FullName":"x\ud83d"}"#, Some("x\u{fffd}")),
            (r#"{"FullName":""}"#, None),
            ("null", None),
            ("[]", None),
        ] {
            let data = format!(r#"{{"5511988887777@s.whatsapp.net":{value}}}"#);
            assert_eq!(listed(&data), [("5511988887777@s.whatsapp.net".to_owned(), name.map(str::to_owned))]);
        }
    }

    #[test]
    fn what_is_no_person_is_counted_and_devices_of_one_person_count_once() {
        let data = r#"{"120363000000000000@g.us":{},"status@broadcast":{},"0@s.whatsapp.net":{},"":{},
            "5511988887777@s.whatsapp.net":{},"5511988887777:3@s.whatsapp.net":{"PushName":"ana"},"5511988887777@c.us":{}}"#;
        assert_eq!(read(data).unwrap().left_out, 4);
        assert_eq!(listed(data), [("5511988887777@s.whatsapp.net".to_owned(), Some("ana".to_owned()))]);
    }

    #[test]
    fn an_empty_list_is_good_and_another_shape_is_not() {
        for data in ["null", "{}", "[]"] {
            assert_eq!(read(data), Ok(ContactsPage::default()), "{data}");
        }
        for data in ["\"unexpected\"", "[1]", "7", r#"{"error":"x","code":5}"#] {
            assert!(read(data).is_err(), "{data}");
        }
    }
}
