//! The envelope of every answer: `{"code":200,"success":true,"data":...}` or `{"code":500,"success":false,"error":"..."}`
//! (`Respond` in asternic/wuzapi, handlers as of April 2026).
//!
//! Lenient about everything but one: a good answer has `data`, be it `null`. Without it nobody could tell an empty chat from
//! an answer that somebody cut down.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};

use crate::json;

/// An answer taken apart, the data still unread.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    success: Value,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    error: Value,
}

/// Keeps `null` apart from absence.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(data: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(data).map(Some)
}

impl<'a> Envelope<'a> {
    /// Takes a body apart, or says why it is no envelope without quoting it.
    pub(super) fn read(body: &'a str) -> Result<Self, String> {
        match body.trim_start_matches('\u{feff}') {
            blank if blank.trim().is_empty() => Err("an empty body".to_owned()),
            body => serde_json::from_str(body).map_err(|error| json::flaw(&error)),
        }
    }

    /// The place of a member by its name; none for the data and for what nobody asks for.
    pub(super) fn member(&mut self, name: &str) -> Option<&mut Value> {
        match name {
            "code" => Some(&mut self.code),
            "success" => Some(&mut self.success),
            "error" => Some(&mut self.error),
            _ => None,
        }
    }

    /// The status of a failure that came under a good HTTP status, or none when it is no failure.
    pub(super) fn disguised_failure(&self) -> Option<u16> {
        let code = self.code.as_u64().and_then(|code| u16::try_from(code).ok());
        let failed = json::flag(&self.success) == Some(false);
        failed.then(|| code.filter(|code| (400..600).contains(code)).unwrap_or(500))
    }

    /// Whether it holds what the gateway's own answers hold, and not just any JSON.
    pub(super) fn is_own(&self) -> bool {
        !self.code.is_null() && !self.success.is_null()
    }

    /// The text of a failure, empty when there is none.
    pub(super) fn error(&self) -> String {
        match &self.error {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The data as JSON. Some builds wrap it in a text once more.
    pub(super) fn data(&self) -> Option<Cow<'a, str>> {
        let data = self.data?.get();
        let inner: Option<String> = data.starts_with('"').then(|| serde_json::from_str(data).ok()).flatten();
        Some(inner.filter(|inner| inner.trim_start().starts_with(['[', '{'])).map_or(Cow::Borrowed(data), Cow::Owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(body: &str) -> Option<String> {
        Envelope::read(body).unwrap().data().map(Cow::into_owned)
    }

    #[test]
    fn null_data_is_data_and_absent_data_is_not() {
        assert_eq!(data(r#"{"code":200,"data":null,"success":true}"#).as_deref(), Some("null"));
        assert_eq!(data(r#"{"code":200,"success":true}"#), None);
        assert_eq!(data(r#"{"data":[1, 2],"extra":{}}"#).as_deref(), Some("[1, 2]"));
        assert_eq!(data(r#"{"data":"[{\"a\":1}]"}"#).as_deref(), Some(r#"[{"a":1}]"#));
        assert_eq!(data(r#"{"data":"unexpected"}"#).as_deref(), Some(r#""unexpected""#));
    }

    #[test]
    fn a_failure_under_a_good_status_is_seen() {
        let failure = |body| Envelope::read(body).unwrap().disguised_failure();
        assert_eq!(failure(r#"{"code":500,"success":false,"error":"no session"}"#), Some(500));
        assert_eq!(failure(r#"{"code":401,"success":false}"#), Some(401));
        assert_eq!(failure(r#"{"code":200,"success":"false"}"#), Some(500));
        assert_eq!(failure(r#"{"code":500,"success":true,"data":null}"#), None);
        assert_eq!(failure(r#"{"data":null}"#), None);
    }

    #[test]
    fn the_gateways_own_answers_are_told_from_other_json() {
        assert!(Envelope::read(r#"{"code":503,"success":false,"error":"no"}"#).unwrap().is_own());
        for foreign in ["{}", r#"{"message":"API rate limit exceeded"}"#, r#"{"error":"upstream is away"}"#] {
            assert!(!Envelope::read(foreign).unwrap().is_own(), "{foreign}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an empty body"),
            ("  \n", "an empty body"),
            ("<html>hush</html>", "no JSON, at line 1 column 1"),
            (r#"{"data":["hush"#, "JSON that ends too early, at line 1 column 14"),
            (r#""hush""#, "JSON of another shape"),
            ("null", "JSON of another shape"),
        ] {
            assert_eq!(Envelope::read(body).unwrap_err(), flaw, "{body}");
        }
    }
}
