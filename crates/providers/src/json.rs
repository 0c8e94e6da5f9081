//! Reading JSON that somebody else wrote, and making it fit for Postgres.
//!
//! Readers here forgive the case of a name and a number where a text was expected. Lists and objects are walked piece by
//! piece, so that an answer costs little more memory than its bytes.

use std::{borrow::Cow, fmt, io};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// `\ufffd`, the character that stands for an unreadable one.
const REPLACEMENT: &str = "\\ufffd";
/// `\uXXXX`.
const ESCAPE: usize = 6;

/// A member by its name, exactly or else in any case; `null` counts as missing.
pub(crate) fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members
        .get(name)
        .or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        .filter(|value| !value.is_null())
}

/// [`field`] after [`field`].
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| field(value, name))
}

/// A text, or a number as one, without the NULs that Postgres keeps in no text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.replace('\0', "")),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A truth value, or its word.
pub(crate) fn flag(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.trim().to_ascii_lowercase().parse().ok())
}

/// An object written as JSON. Text that only half a surrogate pair keeps from being read is repaired first.
pub(crate) fn object(json: &str) -> Option<Value> {
    // A list as long as an answer may be would cost many times its bytes, only to be refused.
    if !json.trim_start().starts_with('{') {
        return None;
    }
    read(json)
}

/// JSON that is read whole, if need be after it was repaired.
fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok().or_else(|| serde_json::from_str(&repaired(json)?).ok())
}

/// The provider's JSON as it came, but for what Postgres refuses in `jsonb`: an escaped NUL or half a surrogate pair becomes
/// the escaped replacement character. Where there is none of these, not a byte changes.
pub(crate) fn storable(raw: &RawValue) -> Box<RawValue> {
    repaired(raw.get()).and_then(|json| RawValue::from_string(json).ok()).unwrap_or_else(|| raw.to_owned())
}

/// The text with its NULs and lone surrogates replaced; none when it has none.
fn repaired(json: &str) -> Option<String> {
    let mut repaired = String::new();
    let (mut copied, mut position) = (0, 0);
    // A backslash occurs in JSON only within a text, and begins an escape there.
    while let Some(found) = json[position..].find('\\') {
        let escape = position + found;
        let Some(unit) = utf16_unit(json, escape) else {
            // The escaped character is one byte wherever this is JSON; if it is not, the end is as good a place as any.
            position = (escape + 2).min(json.len());
            if !json.is_char_boundary(position) {
                break;
            }
            continue;
        };
        let pair =
            matches!(unit, 0xd800..=0xdbff) && matches!(utf16_unit(json, escape + ESCAPE), Some(0xdc00..=0xdfff));
        if !pair && matches!(unit, 0 | 0xd800..=0xdfff) {
            repaired.push_str(&json[copied..escape]);
            repaired.push_str(REPLACEMENT);
            copied = escape + ESCAPE;
        }
        position = escape + if pair { 2 * ESCAPE } else { ESCAPE };
    }
    (copied > 0).then(|| repaired + &json[copied..])
}

/// The unit of a `\uXXXX` that begins here.
fn utf16_unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

/// Hands over every item of a list; `null` is an empty one.
pub(crate) fn each_item<'a>(json: &'a str, take: impl FnMut(&'a RawValue)) -> Result<(), serde_json::Error> {
    walk(json, Walk { what: "a list", item: Some(take), entry: None::<fn(Cow<'a, str>, &'a RawValue)> })
}

/// Hands over every member of an object; `null` and an empty list are empty ones.
pub(crate) fn each_entry<'a>(
    json: &'a str,
    take: impl FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), serde_json::Error> {
    walk(json, Walk { what: "an object", item: None::<fn(&'a RawValue)>, entry: Some(take) })
}

/// The members of an object by their names, each exactly or else in any case, and all of them unread; `null` counts as missing.
/// One walk finds them all.
pub(crate) fn pick<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    let mut picked = Picked::new(names);
    each_entry(json, |name, value| picked.take(&name, value))?;
    Ok(picked.found)
}

/// [`pick`] from what may be missing, or no object; nothing is found in either.
pub(crate) fn members<'a, const N: usize>(object: Option<&'a RawValue>, names: [&str; N]) -> [Option<&'a RawValue>; N] {
    object.and_then(|object| pick(object.get(), names).ok()).unwrap_or([None; N])
}

/// [`pick`] from an object whose values are nested and numbered as readers of JSON bear it; none of anything else.
pub(crate) fn pick_bounded<'a, const N: usize>(
    object: &'a RawValue,
    names: [&str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    let (mut picked, mut bounded) = (Picked::new(names), object.get().starts_with('{'));
    each_entry(object.get(), |name, value| {
        bounded = bounded && is_bounded(value);
        picked.take(&name, value);
    })
    .ok()?;
    bounded.then_some(picked.found)
}

/// Whether it is nested at most 128 levels deep, and each number is one of 64 bits: whoever reads the ledger must be able to read it, too.
fn is_bounded(value: &RawValue) -> bool {
    let json = value.get();
    json.starts_with(['"', 't', 'f', 'n']) || read::<Bounded>(json).is_some()
}

/// Members that are looked for, as far as they were met.
struct Picked<'a, 'n, const N: usize> {
    names: [&'n str; N],
    found: [Option<&'a RawValue>; N],
    /// Whether it was met under exactly its name.
    exact: [bool; N],
}

impl<'a, 'n, const N: usize> Picked<'a, 'n, N> {
    const fn new(names: [&'n str; N]) -> Self {
        Self { names, found: [None; N], exact: [false; N] }
    }

    fn take(&mut self, met: &str, value: &'a RawValue) {
        for (place, name) in self.names.iter().enumerate() {
            let is_exact = met == *name;
            if is_exact || (!self.exact[place] && met.eq_ignore_ascii_case(name)) {
                self.found[place] = (value.get() != "null").then_some(value);
                self.exact[place] |= is_exact;
            }
        }
    }
}

/// A text, a number or a truth value that was left unread; none of a list or an object, which may be long.
pub(crate) fn scalar(raw: &RawValue) -> Option<Value> {
    let raw = raw.get();
    if raw.starts_with(['{', '[']) {
        return None;
    }
    read(raw)
}

/// [`text`] of what was left unread; copied only where it has escapes.
pub(crate) fn unread_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let plain = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => text(&scalar(raw)?).map(Cow::Owned),
    }
}

/// The same without the blanks around it; an empty one counts as missing.
pub(crate) fn word(raw: Option<&RawValue>) -> Option<String> {
    let text = unread_text(raw?)?;
    let word = text.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

fn walk<'a, V: Visitor<'a, Value = ()>>(json: &'a str, visitor: V) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_any(visitor)?;
    json.end()
}

struct Walk<I, E> {
    what: &'static str,
    item: Option<I>,
    entry: Option<E>,
}

impl<'a, I: FnMut(&'a RawValue), E: FnMut(Cow<'a, str>, &'a RawValue)> Visitor<'a> for Walk<I, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_unit<Error>(self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&RawValue>()? {
            match &mut self.item {
                Some(take) => take(item),
                None => return Err(A::Error::custom("a list with items")),
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> Result<(), A::Error> {
        let Some(mut take) = self.entry else { return Err(A::Error::custom("an object")) };
        while let Some((Name(name), value)) = object.next_entry()? {
            take(name, value);
        }
        Ok(())
    }
}

/// The name of a member; copied only where it has escapes. It is not repaired: an object that has half a surrogate pair in a name cannot
/// be walked.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value that could be read, and is not kept.
struct Bounded;

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }
}

/// What is wrong with JSON, without quoting it: the reader's own message would repeat values.
pub(crate) fn flaw(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("JSON that ends too early, at {place}"),
        Category::Io if error.io_error_kind() == Some(io::ErrorKind::FileTooLarge) => {
            "JSON with a record of more than a megabyte".to_owned()
        }
        Category::Syntax | Category::Io => format!("no JSON, at {place}"),
        Category::Data => "JSON of another shape".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(json: &str) -> String {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        storable(&raw).get().to_owned()
    }

    #[test]
    fn a_payload_without_nul_keeps_every_byte() {
        for json in [
            r#"{ "b" :1.50, "a":"\u00e9\/ \ud83d\ude00",  "a":[1e3,null] }"#,
            r#"{"record":"{\"text\":\"a\\u0000b\"}"}"#,
            r#""C:\\u0000\\""#,
            "\"é😀\"",
        ] {
            assert_eq!(stored(json), json);
        }
    }

    #[test]
    fn an_escaped_nul_or_half_a_pair_becomes_the_replacement_character() {
        for (json, expected) in [
            (r#""a\u0000b\\\u0000""#, r#""a\ufffdb\\\ufffd""#),
            (r#"{"\u0000":"\ud83d"}"#, r#"{"\ufffd":"\ufffd"}"#),
            (r#""\ude00\ud83d\ude00\uD83D\n""#, r#""\ufffd\ud83d\ude00\ufffd\n""#),
            (r#""\ud83d\u0000\ud83dé""#, r#""\ufffd\ufffd\ufffdé""#),
        ] {
            assert_eq!(stored(json), expected);
        }
    }

    #[test]
    fn an_object_is_read_in_spite_of_half_a_pair_and_rubbish_is_none() {
        assert_eq!(object(r#"{"a":"x\ud83dy"}"#), Some(json!({"a": "x\u{fffd}y"})));
        for rubbish in ["", "{", "[1]", "\"\\", "\"\\é", "\\u12", "{\"a\":1e999}"] {
            assert_eq!(object(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_the_exact_one_wins() {
        let value = json!({"key": {"FROMME": null, "fromme": 2, "ID": "a\u{0}b"}});
        assert_eq!(at(&value, &["Key", "id"]).and_then(text).as_deref(), Some("ab"));
        assert_eq!(at(&value, &["key", "fromme"]), Some(&json!(2)));
        assert_eq!(at(&value, &["key", "ID", "deeper"]), None);
        assert_eq!(flag(&json!("True")), Some(true));
    }

    #[test]
    fn members_are_picked_unread_in_any_case_and_the_exact_name_wins() {
        let picked = |json: &'static str| {
            let found = pick(json, ["syncType", "conversations"]).unwrap();
            found.map(|found| found.map(RawValue::get))
        };
        assert_eq!(picked(r#"{"SyncType":6,"CONVERSATIONS":[ 1 ]}"#), [Some("6"), Some("[ 1 ]")]);
        assert_eq!(picked(r#"{"syncType":6,"synctype":7,"conversations":null}"#), [Some("6"), None]);
        assert_eq!(picked("null"), [None, None]);
        assert!(pick("[1]", ["a"]).is_err());
        let word = |json: &str| word(Some(&serde_json::from_str::<Box<RawValue>>(json).unwrap()));
        assert_eq!(
            (word("\" a \""), word("7"), word("\"\""), word("{}")),
            (Some("a".into()), Some("7".into()), None, None)
        );
        assert_eq!(word("\"x\\ud83d\"").as_deref(), Some("x\u{fffd}"));
    }

    #[test]
    fn members_are_picked_only_from_what_other_readers_bear() {
        let picks = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            pick_bounded(&raw, ["a"]).map(|[found]| found.is_some())
        };
        assert_eq!(picks(r#"{"a":{"b":["x\ud83dy",-1.5,null,true]}}"#), Some(true));
        assert_eq!(picks(r#"{"\u0061":1}"#), Some(true));
        assert_eq!(picks("{}"), Some(false));
        let deep = format!(r#"{{"b":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        for unfit in [deep.as_str(), r#"{"a":1,"b":1e999}"#, r#"{"b":{"c":-1e999}}"#, "[]", "null", "7"] {
            assert_eq!(picks(unfit), None, "{unfit}");
        }
    }

    #[test]
    fn lists_and_objects_are_walked_and_other_shapes_refused() {
        let mut items = Vec::new();
        each_item("[1, {\"a\":2}]", |item| items.push(item.get())).unwrap();
        assert_eq!(items, ["1", "{\"a\":2}"]);
        let mut names = Vec::new();
        each_entry("{\"a\":1,\"b\":{}}", |name, _| names.push(name)).unwrap();
        assert_eq!(names, ["a", "b"]);
        for json in ["[1", "[1] 2", "3", "\"x\"", "{}"] {
            assert!(each_item(json, |_| ()).is_err(), "{json}");
        }
        for json in ["[1]", "{\"a\"", "true"] {
            assert!(each_entry(json, |_, _| ()).is_err(), "{json}");
        }
        assert!(each_item("null", |_| panic!()).is_ok());
        assert!(each_entry("[]", |_, _| panic!()).is_ok());
    }
}
