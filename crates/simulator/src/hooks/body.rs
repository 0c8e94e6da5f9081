//! The body of a webhook: a text, with filler in the middle where it is to be large. The filler is made while it is read.

use std::fmt::Write as _;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use axum::body::Bytes;

const PIECE: u64 = 64 * 1_024;
/// What stands before and behind the filler of an object.
const BEFORE: &str = r#"{"padding":""#;
const BEHIND: &str = "\",";

/// A body that can be sent, and signed, more than once.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    head: Bytes,
    filler: u64,
    tail: Bytes,
}

impl Body {
    /// A JSON object, with a field more of about so many bytes.
    pub(crate) fn json(object: &str, padding: u64) -> Self {
        let content_type = "application/json";
        match object.strip_prefix('{').filter(|_| padding > 0) {
            None => Self { content_type, head: Bytes::from(object.to_owned()), filler: 0, tail: Bytes::new() },
            Some(fields) => Self {
                content_type,
                head: Bytes::from_static(BEFORE.as_bytes()),
                filler: padding,
                tail: Bytes::from(format!("{BEHIND}{fields}")),
            },
        }
    }

    /// The same as one field of a form, between what is before and behind it.
    pub(crate) fn in_form(self, before: &str, behind: &str) -> Self {
        let encoded = |bytes: &[u8]| form_encoded(&String::from_utf8_lossy(bytes));
        Self {
            content_type: "application/x-www-form-urlencoded",
            head: Bytes::from(format!("{before}{}", encoded(&self.head))),
            // Letters stand for themselves in a form.
            filler: self.filler,
            tail: Bytes::from(format!("{}{behind}", encoded(&self.tail))),
        }
    }

    /// The first half of it.
    pub(crate) fn cut(self) -> Self {
        let (head, tail) = (self.head.slice(..self.head.len().div_ceil(2)), Bytes::new());
        Self { head, filler: self.filler / 2, tail, ..self }
    }

    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.filler + self.tail.len() as u64
    }

    /// All of it in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let whole = usize::try_from(self.filler / PIECE).unwrap_or(usize::MAX);
        let rest = usize::try_from(self.filler % PIECE).unwrap_or_default();
        let filler = Bytes::from(vec![b'x'; usize::try_from(self.filler.min(PIECE)).unwrap_or_default()]);
        let rest = filler.slice(..rest);
        std::iter::once(self.head.clone())
            .chain(std::iter::repeat_n(filler, whole))
            .chain([rest, self.tail.clone()])
            .filter(|piece| !piece.is_empty())
    }

    /// HMAC-SHA256 over all of it, in hexadecimal.
    pub(crate) fn signature(&self, key: &str) -> String {
        let mut made = Context::with_key(&Key::new(HMAC_SHA256, key.as_bytes()));
        self.pieces().for_each(|piece| made.update(&piece));
        hexadecimal(made.sign().as_ref())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// As Go encodes the values of a form.
pub(crate) fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                // Writing into a text cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Body) -> String {
        body.pieces().map(|piece| String::from_utf8_lossy(&piece).into_owned()).collect()
    }

    #[test]
    fn padding_is_a_field_of_the_object_and_counts_in_its_length() {
        let padded = Body::json(r#"{"a":1}"#, 3 * PIECE + 5);
        let text = read(&padded);
        assert_eq!(text.len() as u64, padded.len());
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["a"], 1);
        assert_eq!(parsed["padding"].as_str().map(|text| text.len() as u64), Some(3 * PIECE + 5));
        assert_eq!(read(&Body::json(r#"{"a":1}"#, 0)), r#"{"a":1}"#);
    }

    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let body = Body::json("what do ya want for nothing?", 0);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(body.signature("Jefe"), expected, "RFC 4231, test case 2");
    }

    #[test]
    fn a_form_escapes_what_is_not_a_letter() {
        let form = Body::json(r#"{"a":"é &"}"#, 0).in_form("x=1&jsonData=", "&y=2");
        assert_eq!(read(&form), "x=1&jsonData=%7B%22a%22%3A%22%C3%A9+%26%22%7D&y=2");
    }
}
