//! Addresses of a person: the phone JID and the LID, normalised on the way in.
//!
//! Domains and the device part follow what whatsmeow stores; groups, broadcasts and newsletters
//! are refused, because a channel sync is about persons.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::word::words;

const PHONE_DOMAIN: &str = "s.whatsapp.net";
const LEGACY_PHONE_DOMAIN: &str = "c.us";
const LID_DOMAIN: &str = "lid";
/// E.164 allows 15 digits; LIDs seen so far have 14 or 15. The bound is there to refuse rubbish.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=20;

words! {
    /// Which of a person's two identities an address is.
    pub enum AddressKind {
        /// A phone JID, `<digits>@s.whatsapp.net`.
        Phone = "phone",
        /// A hidden identity, `<digits>@lid`.
        Lid = "lid",
    }
}

/// Why a text is not an address of a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing on one of its sides.
    #[error("{0:?} is not a JID: expected digits@s.whatsapp.net or digits@lid")]
    Malformed(String),
    /// A group, broadcast list, newsletter or bot.
    #[error("{0:?} is not a person: only @s.whatsapp.net and @lid can be synced")]
    NotAPerson(String),
    /// A person, but under the other identity than the one asked for.
    #[error("{found:?} is not a {expected} address")]
    WrongKind {
        /// What was given.
        found: String,
        /// What the field takes.
        expected: AddressKind,
    },
}

/// One identity of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    kind: AddressKind,
    jid: String,
}

impl Address {
    /// Phone or LID.
    #[must_use]
    pub const fn kind(&self) -> AddressKind {
        self.kind
    }

    /// The JID as gateways write it, without a device part.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.jid
    }

    /// Reads an address and insists on its kind.
    pub fn parse_as(kind: AddressKind, text: &str) -> Result<Self, AddressError> {
        let address: Self = text.parse()?;
        if address.kind == kind {
            Ok(address)
        } else {
            Err(AddressError::WrongKind { found: text.to_owned(), expected: kind })
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.chars().take(80).collect());
        let (user, domain) = text.split_once('@').ok_or_else(malformed)?;
        let kind = match domain {
            PHONE_DOMAIN | LEGACY_PHONE_DOMAIN => AddressKind::Phone,
            LID_DOMAIN => AddressKind::Lid,
            "g.us" | "broadcast" | "newsletter" | "bot" | "hosted" | "hosted.lid" => {
                return Err(AddressError::NotAPerson(text.chars().take(80).collect()));
            }
            _ => return Err(malformed()),
        };
        // `5511...:12@s.whatsapp.net` and `5511..._1:12@lid` name a device of the same person.
        let user = user.split([':', '_', '.']).next().unwrap_or_default();
        if !DIGITS.contains(&user.len()) || !user.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let domain = if kind == AddressKind::Phone { PHONE_DOMAIN } else { LID_DOMAIN };
        Ok(Self { kind, jid: format!("{user}@{domain}") })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.jid
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.jid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_part_and_the_legacy_domain_are_normalised_away() {
        for text in ["5511988887777@s.whatsapp.net", "5511988887777:12@s.whatsapp.net", "5511988887777@c.us"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.as_str(), "5511988887777@s.whatsapp.net");
            assert_eq!(address.kind(), AddressKind::Phone);
        }
        assert_eq!("190000000000001:3@lid".parse::<Address>().unwrap().as_str(), "190000000000001@lid");
    }

    #[test]
    fn groups_and_broadcasts_are_not_persons() {
        for text in ["120363000000000000@g.us", "status@broadcast", "120363@newsletter"] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::NotAPerson(_))), "{text}");
        }
    }

    #[test]
    fn rubbish_is_malformed() {
        for text in ["", "@", "5511", "ana@s.whatsapp.net", "1@s.whatsapp.net", "5511988887777@example.org", "@lid"] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn an_address_of_the_other_kind_is_refused_where_one_kind_is_meant() {
        assert!(matches!(
            Address::parse_as(AddressKind::Phone, "190000000000001@lid"),
            Err(AddressError::WrongKind { .. })
        ));
    }
}
