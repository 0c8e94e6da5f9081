//! `GET /user/lid/{jid}`: the LID behind a phone JID, from the gateway's own store.

use sincro_core::address::{Address, AddressKind};

use crate::json;

/// The LID without its device part, or none when the gateway says an empty one (the library's empty JID).
pub(super) fn read(data: &str) -> Result<Option<Address>, String> {
    let data = json::object(data).ok_or("a LID lookup that is no object")?;
    let lid = json::field(&data, "lid").and_then(json::text).ok_or("a LID lookup without `lid`")?;
    if lid.trim().is_empty() {
        return Ok(None);
    }
    Address::parse_as(AddressKind::Lid, lid.trim()).map(Some).map_err(|error| format!("no LID: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lid_is_normalised_and_an_empty_one_is_unknown() {
        for lid in ["190000000000001@lid", "190000000000001:12@lid", "190000000000001_1:7@lid"] {
            let data = format!(r#"{{"jid":"5511988887777@s.whatsapp.net","lid":"{lid}"}}"#);
            assert_eq!(read(&data), Ok(Some("190000000000001@lid".parse().unwrap())));
        }
        assert_eq!(read(r#"{"jid":"5511988887777@s.whatsapp.net","lid":""}"#), Ok(None));
    }

    #[test]
    fn an_answer_that_is_no_lid_is_unreadable_rather_than_believed() {
        for data in [
            "null",
            "[]",
            "{}",
            r#"{"lid":null}"#,
            r#"{"lid":"5511988887777@s.whatsapp.net"}"#,
            r#"{"lid":"1203@g.us"}"#,
        ] {
            assert!(read(data).is_err(), "{data}");
        }
    }
}
