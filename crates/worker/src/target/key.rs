//! The name of a message's file: the message's id, fit for every file system and store.
//!
//! Different ids have different names, whatever they hold, and no name leads anywhere else.

use std::fmt::Write as _;

use aws_lc_rs::digest;

/// File systems take names of 255 bytes.
const LONGEST: usize = 200;
/// How much of a longer one is kept for people.
const KEPT: usize = 100;

/// Letters, digits, `-` and `_` as they are, every other byte as `%XX`. A long one ends in a hash of the whole id.
pub(super) fn name(message: &str) -> String {
    let mut name = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            other => {
                let _ = write!(name, "%{other:02X}");
            }
        }
    }
    if name.len() > LONGEST || name.is_empty() {
        name.truncate(KEPT);
        // No id alone is written with this sign.
        name.push('~');
        for byte in digest::digest(&digest::SHA256, message.as_bytes()).as_ref() {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn whatever_an_id_holds_its_name_is_one_name_in_one_folder() {
        let long = "é".repeat(200);
        let longer = format!("{long}x");
        let ids = [
            "3EB0A1",
            "wamid.HBg=",
            "a/b",
            "../../etc/passwd",
            "..",
            ".",
            "",
            "a%2Fb",
            "a\\b",
            "a b",
            ".hidden",
            "a~b",
            "\u{0}",
            "CON:",
            &long,
            &longer,
        ];
        let names: Vec<String> = ids.iter().map(|id| name(id)).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), ids.len(), "{names:?}");
        for name in &names {
            assert!((1..=LONGEST).contains(&name.len()), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_%~".contains(&byte)), "{name}");
        }
        assert_eq!(names[..4], ["3EB0A1", "wamid%2EHBg%3D", "a%2Fb", "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd"]);
    }
}
