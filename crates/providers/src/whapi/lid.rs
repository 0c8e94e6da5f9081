//! `GET /contacts/lids/{digits}`: the LID behind a phone number.

use sincro_core::address::{Address, AddressKind};

use crate::json;

/// The LID, or none where the answer names none.
pub(super) fn read(body: &str) -> Result<Option<Address>, String> {
    let answer = json::object(body.trim_start_matches('\u{feff}')).ok_or("a LID lookup that is no object")?;
    let lid = match json::field(&answer, "lid") {
        None => return Ok(None),
        Some(lid) => json::text(lid).ok_or("a LID lookup whose `lid` is no text")?,
    };
    let lid = match lid.trim() {
        "" => return Ok(None),
        bare if bare.bytes().all(|byte| byte.is_ascii_digit()) => format!("{bare}@lid"),
        lid => lid.to_owned(),
    };
    Address::parse_as(AddressKind::Lid, &lid).map(Some).map_err(|error| format!("no LID: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lid_is_read_with_its_domain_and_without_it() {
        for body in
            [r#"{"lid":"190000000000001@lid"}"#, r#"{"lid":"190000000000001:7@lid"}"#, r#"{"lid":190000000000001}"#]
        {
            assert_eq!(read(body), Ok(Some("190000000000001@lid".parse().unwrap())), "{body}");
        }
    }

    #[test]
    fn no_lid_is_an_unknown_one() {
        for body in ["{}", r#"{"lid":null}"#, r#"{"lid":""}"#] {
            assert_eq!(read(body), Ok(None), "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_no_lid_is_unreadable_rather_than_believed() {
        for body in
            ["null", "[]", r#"{"lid":{}}"#, r#"{"lid":"5511988887777@s.whatsapp.net"}"#, r#"{"lid":"1203@g.us"}"#]
        {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
