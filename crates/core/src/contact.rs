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
    /// Takes over what the other record knows and this one does not.
    fn absorb(&mut self, other: Self) {
        self.phone = self.phone.take().or(other.phone);
        self.lid = self.lid.take().or(other.lid);
        self.name = self.name.take().or(other.name);
    }
}

/// One record per person: records that share an address, or whose addresses are paired, become one.
///
/// The first record keeps its place and its name. Where records disagree (two phone numbers for one LID) the
/// one that came first keeps the LID.
#[must_use]
pub fn unify(contacts: Vec<Contact>, pairings: &[Pairing]) -> Vec<Contact> {
    let paired = pairings.iter().map(|pairing| Contact {
        phone: Some(pairing.phone.clone()),
        lid: Some(pairing.lid.clone()),
        name: None,
    });
    let known: HashSet<Address> = contacts.iter().flat_map(|c| [c.phone.clone(), c.lid.clone()]).flatten().collect();
    // A pairing joins persons; it does not bring in persons nobody listed.
    let paired = paired.filter(|c| [&c.phone, &c.lid].into_iter().flatten().any(|address| known.contains(address)));

    let mut persons: Vec<Option<Contact>> = Vec::with_capacity(contacts.len());
    let mut places: HashMap<Address, usize> = HashMap::with_capacity(contacts.len() * 2);
    for contact in paired.chain(contacts).collect::<Vec<_>>() {
        let mut found: Vec<usize> =
            [&contact.phone, &contact.lid].into_iter().flatten().filter_map(|a| places.get(a).copied()).collect();
        found.sort_unstable();
        found.dedup();
        let place = found.first().copied().unwrap_or(persons.len());
        if place == persons.len() {
            persons.push(Some(contact));
        } else {
            let absorbed = found.iter().skip(1).filter_map(|&i| persons[i].take()).collect::<Vec<_>>();
            if let Some(person) = persons[place].as_mut() {
                for other in absorbed {
                    person.absorb(other);
                }
                person.absorb(contact);
            }
        }
        if let Some(person) = &persons[place] {
            for address in [&person.phone, &person.lid].into_iter().flatten() {
                places.insert(address.clone(), place);
            }
        }
    }
    persons.into_iter().flatten().collect()
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
}
