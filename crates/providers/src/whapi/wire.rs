//! What every answer may have around its data, and the two shapes of an error: `{"error":{"code":404,"message":"..."}}`, and
//! the same without its wrapper.
//!
//! Lists are left as they came: their records are read one by one.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use crate::json;

/// An answer taken apart, its lists still unread.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    details: Value,
    #[serde(default)]
    count: Value,
    #[serde(default)]
    total: Value,
    #[serde(default, borrow, deserialize_with = "present")]
    pub(super) messages: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    pub(super) contacts: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(data: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(data).map(Some)
}

/// What an error says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// The status it names itself.
    pub(super) code: Option<u16>,
    /// The message and its details; empty when there are none.
    pub(super) text: String,
}

impl<'a> Envelope<'a> {
    /// Takes a body apart, or says why it is none of the gateway's without quoting it.
    pub(super) fn read(body: &'a str) -> Result<Self, String> {
        match body.trim_start_matches('\u{feff}') {
            blank if blank.trim().is_empty() => Err("an empty body".to_owned()),
            // A list would pass as an object whose members come in the order of the fields.
            list if list.trim_start().starts_with('[') => Err("JSON of another shape".to_owned()),
            body => serde_json::from_str(body).map_err(|error| json::flaw(&error)),
        }
    }

    /// The error, in either of its shapes; none where this is no error of the gateway's, though it may be somebody else's.
    pub(super) fn failure(&self) -> Option<Failure> {
        let status = |code: &Value| json::text(code)?.parse::<u16>().ok().filter(|code| (400..600).contains(code));
        let words = |text: &Value| json::text(text).filter(|text| !text.trim().is_empty());
        let (code, message, details) = if self.error.is_object() {
            let member = |name| json::field(&self.error, name);
            let message = member("message").and_then(words);
            let code = member("code").and_then(status);
            // Any object could stand there.
            if code.is_none() && message.is_none() {
                return None;
            }
            (code, message, member("details").and_then(words))
        } else {
            // Somebody in front may write a message, but hardly a code beside it.
            let code = status(&self.code)?;
            (Some(code), Some(words(&self.message)?), words(&self.details))
        };
        let details = details.filter(|details| Some(details) != message.as_ref());
        let text = message.into_iter().chain(details).collect::<Vec<_>>().join(": ");
        Some(Failure { code, text })
    }

    /// What somebody else's error says, as far as that can be told.
    pub(super) fn hearsay(&self) -> String {
        [&self.error, &self.message].into_iter().find_map(json::text).unwrap_or_default()
    }

    /// How many records the gateway says it gives at once.
    pub(super) fn count(&self) -> Option<u64> {
        json::text(&self.count)?.parse().ok()
    }

    /// How many records there are, where it says so.
    pub(super) fn total(&self) -> Option<u64> {
        json::text(&self.total)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(body: &str) -> Option<Failure> {
        Envelope::read(body).unwrap().failure()
    }

    fn said(code: u16, text: &str) -> Failure {
        Failure { code: Some(code), text: text.to_owned() }
    }

    #[test]
    fn an_error_is_read_with_its_wrapper_and_without_it() {
        for body in [
            r#"{"error":{"code":404,"message":"message not found","details":"..","href":"..","support":".."}}"#,
            r#"{"code":404,"message":"message not found","details":"..","href":"..","support":".."}"#,
            r#"{"error":null,"code":404,"message":"message not found","details":".."}"#,
            r#"{"error":{"code":"404","Message":"message not found","details":".."}}"#,
        ] {
            assert_eq!(failure(body), Some(said(404, "message not found: ..")), "{body}");
        }
        assert_eq!(failure(r#"{"error":{"code":500,"message":"no","details":{"a":1}}}"#), Some(said(500, "no")));
        assert_eq!(failure(r#"{"error":{"code":500}}"#), Some(said(500, "")));
        assert_eq!(failure(r#"{"error":{"message":"no"}}"#), Some(Failure { code: None, text: "no".into() }));
    }

    #[test]
    fn good_answers_and_other_peoples_errors_are_no_failure_of_the_gateway() {
        for body in [
            "{}",
            r#"{"messages":[],"count":100,"total":0,"offset":0}"#,
            r#"{"lid":"190000000000001@lid"}"#,
            r#"{"message":"API rate limit exceeded"}"#,
            r#"{"error":"upstream is away"}"#,
            r#"{"code":200,"message":"ok"}"#,
            r#"{"error":{}}"#,
        ] {
            assert_eq!(failure(body), None, "{body}");
        }
        assert_eq!(
            Envelope::read(r#"{"message":"API rate limit exceeded"}"#).unwrap().hearsay(),
            "API rate limit exceeded"
        );
        assert_eq!(Envelope::read(r#"{"error":"upstream is away"}"#).unwrap().hearsay(), "upstream is away");
    }

    #[test]
    fn a_null_list_is_a_list_and_an_absent_one_is_not() {
        assert_eq!(Envelope::read(r#"{"messages":null}"#).unwrap().messages.map(RawValue::get), Some("null"));
        assert!(Envelope::read("{}").unwrap().messages.is_none());
        let envelope = Envelope::read(r#"{"contacts":[1, 2],"count":"500","total":1000}"#).unwrap();
        assert_eq!(envelope.contacts.map(RawValue::get), Some("[1, 2]"));
        assert_eq!((envelope.count(), envelope.total()), (Some(500), Some(1_000)));
    }

    #[test]
    fn what_is_no_object_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an empty body"),
            ("<html>hush</html>", "no JSON, at line 1 column 1"),
            (r#"{"messages":["hush"#, "JSON that ends too early, at line 1 column 18"),
            (r#""hush""#, "JSON of another shape"),
            ("[]", "JSON of another shape"),
        ] {
            assert_eq!(Envelope::read(body).unwrap_err(), flaw, "{body}");
        }
    }
}
