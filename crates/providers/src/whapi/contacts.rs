//! `GET /contacts`: a page of the contact list.
//!
//! A contact's `id` is its bare phone number. Whatever else stands there is no person and left out, but for full addresses of
//! persons, which cost nothing to understand. The list knows no LIDs.

use serde_json::{Value, value::RawValue};
use sincro_core::contact::Contact;

use super::{
    calls::LONGEST_PAGE,
    place::{Offset, full},
    wire::Envelope,
};
use crate::{json, name, person};

/// The best first: the address book's name, then the person's own.
const NAMES: [&str; 2] = ["name", "pushname"];

/// A page of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) contacts: Vec<Contact>,
    /// Groups, broadcasts, newsletters, and records that could not be read.
    pub(super) left_out: usize,
    pub(super) next: Option<String>,
}

/// The page behind a cursor, and where the list goes on.
pub(super) fn read(envelope: &Envelope<'_>, cursor: Option<&str>) -> Result<Listed, String> {
    let offset = Offset::read(cursor).map_err(|lost| lost.to_string())?;
    let list = envelope.contacts.ok_or("a contact list without `contacts`")?;
    let (mut contacts, mut seen, mut named) = (Vec::new(), 0, 0);
    json::each_item(list.get(), |raw| {
        seen += 1;
        let Some((record, id)) = identified(raw) else { return };
        named += 1;
        contacts.extend(person::address(&id).map(|address| Contact::under(address, name::best(&record, &NAMES))));
    })
    .map_err(|error| format!("a contact list that is {}", json::flaw(&error)))?;
    if seen > 0 && named == 0 {
        return Err("a contact list without a single id".to_owned());
    }
    let next = offset.behind(seen, full(LONGEST_PAGE, envelope.count()), envelope.total())?;
    Ok(Listed { left_out: seen - contacts.len(), contacts, next })
}

fn identified(raw: &RawValue) -> Option<(Value, String)> {
    let record = json::object(raw.get())?;
    let id = json::field(&record, "id").and_then(json::text)?;
    Some((record, id))
}

#[cfg(test)]
mod tests {
    use sincro_core::address::Address;

    use super::*;

    fn listed(body: &str, cursor: Option<&str>) -> Result<Listed, String> {
        read(&Envelope::read(body).unwrap(), cursor)
    }

    fn addresses(listed: &Listed) -> Vec<String> {
        let address = |contact: &Contact| contact.phone().or(contact.lid()).map(Address::to_string);
        listed.contacts.iter().filter_map(address).collect()
    }

    #[test]
    fn a_bare_number_is_a_phone_and_what_is_no_person_is_left_out() {
        let body = r#"{"contacts":[{"id":"5511988887777","name":"Ana P","pushname":"ana","is_business":false,"saved":true},
            {"id":"120363000000000000"},{"id":"120363000000000000@g.us"},{"id":"5511999990000-1600000000"},{"id":"0"},
            {"id":"status@broadcast"},{"id":"1203@newsletter"},{"name":"nobody"},null,[],"x",{"id":{}},
            {"id":"+5511977776666"},{"id":5511966665555},{"id":"5511955554444@c.us"},{"id":"190000000000001@lid","pushname":"bia"}],
            "count":500,"total":16,"offset":0}"#;
        let listed = listed(body, None).unwrap();
        assert_eq!(
            addresses(&listed),
            [
                "5511988887777@s.whatsapp.net",
                "5511977776666@s.whatsapp.net",
                "5511966665555@s.whatsapp.net",
                "5511955554444@s.whatsapp.net",
                "190000000000001@lid"
            ]
        );
        assert_eq!((listed.left_out, listed.next), (11, None));
        let names: Vec<_> = listed.contacts.iter().map(|contact| contact.name.as_deref()).collect();
        assert_eq!(names, [Some("Ana P"), None, None, None, Some("bia")]);
    }

    #[test]
    fn the_offset_counts_records_and_not_persons() {
        let records = |count: usize| vec![r#"{"id":"1203@g.us"}"#; count].join(",");
        let page = |count| format!(r#"{{"contacts":[{}],"count":500,"offset":500}}"#, records(count));
        assert_eq!(listed(&page(500), Some("500")).unwrap().next.as_deref(), Some("1000"));
        assert_eq!(listed(&page(499), Some("500")).unwrap().next, None);
    }

    #[test]
    fn an_empty_list_is_good_and_another_shape_is_not() {
        for body in [r#"{"contacts":[]}"#, r#"{"contacts":null,"count":500}"#] {
            assert_eq!(listed(body, Some("500")).unwrap().contacts.len(), 0, "{body}");
        }
        for body in ["{}", r#"{"contacts":"unexpected"}"#, r#"{"contacts":{}}"#, r#"{"contacts":[{"name":"ana"}]}"#] {
            assert!(listed(body, None).is_err(), "{body}");
        }
    }
}
