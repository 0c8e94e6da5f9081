//! The contact list of a request: every entry checked, every refusal naming the entry.

use std::collections::HashSet;

use serde::Deserialize;
use sincro_core::{
    address::{Address, AddressKind},
    contact::Contact,
};

use crate::{
    body::AtMost,
    problem::{Code, Problem},
};

/// Contacts in one request.
pub(super) const MOST: usize = 100_000;
const LONGEST_NAME: usize = 1_000;

/// One person, known by a phone JID, a LID, or both.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactInput {
    /// `<digits>@s.whatsapp.net`.
    #[schema(example = "5511988887777@s.whatsapp.net", min_length = 1)]
    phone_jid: Option<String>,
    /// `<digits>@lid`.
    #[schema(example = "190000000000001@lid", min_length = 1)]
    lid: Option<String>,
    /// A name for people to read, at most 1000 characters.
    #[schema(max_length = 1000)]
    name: Option<String>,
}

/// Reads a list; it must not be empty, too long, or name an address twice.
pub(super) fn read(list: AtMost<ContactInput, MOST>) -> Result<Vec<Contact>, Problem> {
    let refused = |code, detail: String| Err(Problem::of(code, "contacts", detail));
    match list.total {
        0 => {
            return refused(Code::NoContacts, "leave the list out to sync the gateway's whole contact list".to_owned());
        }
        total if total > MOST => {
            return refused(Code::TooManyContacts, format!("{total} contacts; at most {MOST} fit into one request"));
        }
        _ => {}
    }
    let mut known = HashSet::with_capacity(list.total);
    let numbered = list.items.into_iter().enumerate();
    numbered.map(|(i, contact)| read_one(i, contact, &mut known)).collect()
}

fn read_one(i: usize, given: ContactInput, known: &mut HashSet<Address>) -> Result<Contact, Problem> {
    let phone = address(i, "phone_jid", AddressKind::Phone, given.phone_jid, known)?;
    let lid = address(i, "lid", AddressKind::Lid, given.lid, known)?;
    let name_refused = |detail: String| Problem::of(Code::InvalidValue, format!("contacts[{i}].name"), detail);
    if let Some(name) = &given.name {
        if name.chars().nth(LONGEST_NAME).is_some() {
            return Err(name_refused(format!("must have at most {LONGEST_NAME} characters")));
        }
        // No text in the ledger holds NUL.
        if name.contains('\0') {
            return Err(name_refused("must not hold NUL".to_owned()));
        }
    }
    Contact::new(phone, lid, given.name)
        .map_err(|error| Problem::of(Code::ContactWithoutAddress, format!("contacts[{i}]"), error.to_string()))
}

fn address(
    i: usize,
    name: &str,
    kind: AddressKind,
    given: Option<String>,
    known: &mut HashSet<Address>,
) -> Result<Option<Address>, Problem> {
    let Some(text) = given else { return Ok(None) };
    let field = || format!("contacts[{i}].{name}");
    let address = Address::parse_as(kind, &text).map_err(|error| Problem::of_address(field(), &error))?;
    if !known.insert(address.clone()) {
        return Err(Problem::of(Code::DuplicateContact, field(), format!("{address} is in the list already")));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::parse;

    fn refusal(json: &str) -> (Code, String) {
        let problem = read(parse(json.as_bytes()).unwrap()).unwrap_err();
        (problem.code(), problem.field().unwrap_or_default().to_owned())
    }

    #[test]
    fn persons_come_with_one_address_or_both() {
        let list = r#"[{"phone_jid":"5511988887777:3@s.whatsapp.net","lid":"190000000000001@lid","name":"Ana"},
                       {"lid":"190000000000002@lid"},{"phone_jid":"5511977776666@c.us","name":null}]"#;
        let contacts = read(parse(list.as_bytes()).unwrap()).unwrap();
        assert_eq!(contacts.len(), 3);
        assert_eq!(contacts[0].phone().unwrap().as_str(), "5511988887777@s.whatsapp.net");
        assert_eq!(contacts[2].phone().unwrap().as_str(), "5511977776666@s.whatsapp.net");
    }

    #[test]
    fn a_bad_entry_is_named() {
        for (json, code, field) in [
            ("[]", Code::NoContacts, "contacts"),
            ("[{}]", Code::ContactWithoutAddress, "contacts[0]"),
            (r#"[{"name":"Ana"}]"#, Code::ContactWithoutAddress, "contacts[0]"),
            (r#"[{"lid":"190000000000002@lid"},{"phone_jid":"5511"}]"#, Code::MalformedJid, "contacts[1].phone_jid"),
            (r#"[{"phone_jid":""}]"#, Code::MalformedJid, "contacts[0].phone_jid"),
            (r#"[{"phone_jid":"120363000000000000@g.us"}]"#, Code::NotAPerson, "contacts[0].phone_jid"),
            (r#"[{"lid":"5511988887777@s.whatsapp.net"}]"#, Code::WrongJidKind, "contacts[0].lid"),
            (r#"[{"lid":"190000000000002@lid","name":"a\u0000b"}]"#, Code::InvalidValue, "contacts[0].name"),
        ] {
            assert_eq!(refusal(json), (code, field.to_owned()), "{json}");
        }
    }

    #[test]
    fn an_address_that_comes_twice_is_named_by_its_second_place_however_it_is_written() {
        let list = r#"[{"phone_jid":"5511988887777@s.whatsapp.net"},{"lid":"190000000000002@lid"},
                       {"lid":"190000000000003@lid","phone_jid":"5511988887777:12@c.us"}]"#;
        assert_eq!(refusal(list), (Code::DuplicateContact, "contacts[2].phone_jid".to_owned()));
    }

    #[test]
    fn a_list_may_have_the_limit_and_not_one_more() {
        let list = |n: usize| {
            let entries: Vec<_> = (0..n).map(|i| format!(r#"{{"phone_jid":"55119{i:08}@c.us"}}"#)).collect();
            format!("[{}]", entries.join(","))
        };
        assert_eq!(read(parse(list(MOST).as_bytes()).unwrap()).unwrap().len(), MOST);
        assert_eq!(refusal(&list(MOST + 1)), (Code::TooManyContacts, "contacts".to_owned()));
    }
}
