//! A person in a channel, known by a phone JID, a LID, or both.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, AddressKind},
    message::Pairing,
};

/// A contact's row in the ledger.
pub type ContactId = i64;

/// What a gateway or a request says about one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    phone: Option<Address>,
    lid: Option<Address>,
    /// The best name known, or none.
    pub name: Option<String>,
}

/// A contact needs at least one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a contact needs a phone_jid or a lid")]
pub struct Nameless;

impl Contact {
    /// A person under one address or both.
    pub fn new(phone: Option<Address>, lid: Option<Address>, name: Option<String>) -> Result<Self, Nameless> {
        let phone = phone.filter(|address| address.kind() == AddressKind::Phone);
        let lid = lid.filter(|address| address.kind() == AddressKind::Lid);
        if phone.is_none() && lid.is_none() {
            return Err(Nameless);
        }
        Ok(Self { phone, lid, name: name.filter(|name| !name.trim().is_empty()) })
    }

    /// A person under the one address we know.
    #[must_use]
    pub fn under(address: Address, name: Option<String>) -> Self {
        let (phone, lid) = match address.kind() {
            AddressKind::Phone => (Some(address), None),
            AddressKind::Lid => (None, Some(address)),
        };
        Self { phone, lid, name }
    }

    /// The phone JID, if known.
    #[must_use]
    pub fn phone(&self) -> Option<&Address> {
        self.phone.as_ref()
    }

    /// The LID, if known.
    #[must_use]
    pub fn lid(&self) -> Option<&Address> {
        self.lid.as_ref()
    }

    /// The address of that kind, if known.
    #[must_use]
    pub fn address(&self, kind: AddressKind) -> Option<&Address> {
        match kind {
            AddressKind::Phone => self.phone(),
            AddressKind::Lid => self.lid(),
        }
    }
}

impl Contact {
    /// The same person without the LID; none when nothing else is known of it.
    #[must_use]
    pub fn without_lid(self) -> Option<Self> {
        self.phone.is_some().then_some(Self { lid: None, ..self })
    }

    /// Takes over what the other record knows and this one does not.
    fn absorb(&mut self, other: Self) {
        self.phone = self.phone.take().or(other.phone);
        self.lid = self.lid.take().or(other.lid);
        self.name = self.name.take().or(other.name);
    }
}

/// One record per person: records that share an address, or whose addresses are paired, become one.
///
/// The first record keeps its place and its name. A LID that two phone numbers claim stays with the one that came first;
/// the other record goes on under its phone number alone, so that nobody who was listed is lost.
#[must_use]
pub fn unify(contacts: Vec<Contact>, pairings: &[Pairing]) -> Vec<Contact> {
    let listed: HashSet<Address> = contacts.iter().flat_map(|c| [c.phone.clone(), c.lid.clone()]).flatten().collect();
    // A pairing joins persons; it does not bring in persons nobody listed.
    let joining = pairings.iter().filter(|pair| listed.contains(&pair.phone) || listed.contains(&pair.lid));
    let joining =
        joining.map(|pair| Contact { phone: Some(pair.phone.clone()), lid: Some(pair.lid.clone()), name: None });
    let mut persons = Persons::default();
    for contact in joining.chain(contacts) {
        persons.add(contact);
    }
    persons.rows.into_iter().flatten().collect()
}

/// Persons, found by either of their addresses.
#[derive(Default)]
struct Persons {
    /// None where a record was absorbed by another one.
    rows: Vec<Option<Contact>>,
    places: HashMap<Address, usize>,
}

impl Persons {
    fn add(&mut self, mut contact: Contact) {
        let by_phone = contact.phone.as_ref().and_then(|phone| self.places.get(phone).copied());
        let by_lid = contact.lid.as_ref().and_then(|lid| self.places.get(lid).copied());
        let (place, other) = match (by_phone, by_lid) {
            (Some(by_phone), Some(by_lid)) if by_phone != by_lid => {
                if self.can_join(by_phone, by_lid) {
                    (by_phone.min(by_lid), Some(by_phone.max(by_lid)))
                } else {
                    contact.lid = None;
                    (by_phone, None)
                }
            }
            (None, Some(by_lid)) if contact.phone.is_some() && self.knows_phone(by_lid) => {
                contact.lid = None;
                (self.rows.len(), None)
            }
            (by_phone, by_lid) => (by_phone.or(by_lid).unwrap_or(self.rows.len()), None),
        };
        let absorbed = other.and_then(|other| self.rows[other].take());
        if place == self.rows.len() {
            self.rows.push(Some(contact));
        } else if let Some(person) = &mut self.rows[place] {
            for more in absorbed.into_iter().chain([contact]) {
                person.absorb(more);
            }
        }
        if let Some(person) = &self.rows[place] {
            for address in [&person.phone, &person.lid].into_iter().flatten() {
                self.places.insert(address.clone(), place);
            }
        }
    }

    /// Whether the one knows a phone number alone and the other a LID alone.
    fn can_join(&self, by_phone: usize, by_lid: usize) -> bool {
        let lacks_lid = self.rows[by_phone].as_ref().is_some_and(|person| person.lid.is_none());
        lacks_lid && !self.knows_phone(by_lid)
    }

    fn knows_phone(&self, place: usize) -> bool {
        self.rows[place].as_ref().is_some_and(|person| person.phone.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(phone: &str, lid: &str, name: &str) -> Contact {
        let address = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Contact::new(address(phone), address(lid), Some(name.to_owned())).unwrap()
    }

    #[test]
    fn records_that_share_an_address_become_one_person() {
        let persons = unify(
            vec![
                contact("5511911110000@s.whatsapp.net", "", "Ana"),
                contact("", "190000000000001@lid", "ana"),
                contact("5511911110000@s.whatsapp.net", "190000000000001@lid", ""),
                contact("5511922220000@s.whatsapp.net", "", "Bia"),
            ],
            &[],
        );
        assert_eq!(
            persons,
            [
                contact("5511911110000@s.whatsapp.net", "190000000000001@lid", "Ana"),
                contact("5511922220000@s.whatsapp.net", "", "Bia")
            ]
        );
    }

    #[test]
    fn a_pairing_joins_two_records_and_brings_in_nobody_new() {
        let pairing = |phone: &str, lid: &str| Pairing { phone: phone.parse().unwrap(), lid: lid.parse().unwrap() };
        let persons = unify(
            vec![contact("5511911110000@s.whatsapp.net", "", "Ana"), contact("", "190000000000001@lid", "")],
            &[
                pairing("5511911110000@s.whatsapp.net", "190000000000001@lid"),
                pairing("5511933330000@s.whatsapp.net", "190000000000003@lid"),
            ],
        );
        assert_eq!(persons, [contact("5511911110000@s.whatsapp.net", "190000000000001@lid", "Ana")]);
    }

    #[test]
    fn a_lid_that_two_phone_numbers_claim_stays_with_the_first_and_nobody_is_lost() {
        let (one, two) = ("5511911110000@s.whatsapp.net", "5511922220000@s.whatsapp.net");
        let (first, second) = ("190000000000001@lid", "190000000000002@lid");
        assert_eq!(
            unify(vec![contact(one, first, "Ana"), contact(two, first, "Bia")], &[]),
            [contact(one, first, "Ana"), contact(two, "", "Bia")]
        );
        assert_eq!(
            unify(vec![contact(one, first, "Ana"), contact(two, second, "Bia"), contact(one, second, "")], &[]),
            [contact(one, first, "Ana"), contact(two, second, "Bia")]
        );
    }
}
