//! A person by a bare number, or by an address.

use sincro_core::{address::Address, contact::Contact};

/// What a phone number has, country code included. Longer ones are groups, or identities of another kind.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The phone JID of a bare number, or a full address of either kind as it is; none of what is no person.
pub(crate) fn address(id: &str) -> Option<Address> {
    let id = id.trim();
    if id.contains('@') { id.parse().ok() } else { phone(id) }
}

/// The phone JID of a bare number, with a plus or without one.
pub(crate) fn phone(number: &str) -> Option<Address> {
    let digits = number.trim();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let is_number = DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{digits}@s.whatsapp.net").parse().ok())?
}

/// One person under all of these addresses, the first of each kind.
pub(crate) fn under(addresses: impl IntoIterator<Item = Address>, name: Option<String>) -> Option<Contact> {
    let (mut phone, mut lid) = (None, None);
    for address in addresses {
        let place = if address.kind() == sincro_core::address::AddressKind::Phone { &mut phone } else { &mut lid };
        place.get_or_insert(address);
    }
    Contact::new(phone, lid, name).ok()
}

/// Whether an id is written like one of several persons: a group, a broadcast list, a newsletter.
pub(crate) fn is_many(id: &str) -> bool {
    let domain = id.rsplit_once('@').map_or("", |(_, domain)| domain);
    matches!(domain, "g.us" | "broadcast" | "newsletter" | "bot" | "hosted" | "hosted.lid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: &str) -> Option<String> {
        address(id).map(|address| address.to_string())
    }

    #[test]
    fn a_bare_number_is_a_phone_and_an_address_is_what_it_says() {
        for id in [
            "5511988887777",
            "+5511988887777",
            " 5511988887777 ",
            "5511988887777@c.us",
            "5511988887777:3@s.whatsapp.net",
        ] {
            assert_eq!(read(id).as_deref(), Some("5511988887777@s.whatsapp.net"), "{id}");
        }
        assert_eq!(read("190000000000001@lid").as_deref(), Some("190000000000001@lid"));
        for id in ["", "0", "1203630000000000000", "1203@g.us", "US.1234567890", "5511999990000-1600000000"] {
            assert_eq!(read(id), None, "{id}");
        }
    }

    #[test]
    fn groups_are_known_by_their_domain() {
        assert!(is_many("120363000000000000@g.us") && is_many("status@broadcast") && is_many("1203@newsletter"));
        assert!(!is_many("5511988887777@s.whatsapp.net") && !is_many("5511988887777") && !is_many(""));
    }

    #[test]
    fn the_first_address_of_each_kind_is_the_persons() {
        let addresses =
            ["190000000000001@lid", "5511988887777@c.us", "190000000000002@lid"].map(|id| id.parse().unwrap());
        let person = under(addresses, Some("Ana".into())).unwrap();
        assert_eq!(person.phone().map(Address::as_str), Some("5511988887777@s.whatsapp.net"));
        assert_eq!(person.lid().map(Address::as_str), Some("190000000000001@lid"));
        assert!(under([], None).is_none());
    }
}
