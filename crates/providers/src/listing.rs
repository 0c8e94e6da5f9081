//! A contact list in records, of any length: it lies in a file and is walked record by record.
//!
//! The records are the answer itself, or its `data` or `contacts`. What a record says is the provider's to read.

use std::{
    fmt,
    io::{self, Read},
};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use sincro_core::{contact::Contact, gateway::Refusal};

use crate::{
    contacts::ContactList,
    http::{Http, Reply, Request},
    json,
    spool::{Left, Spool, Text},
    wording::Wording,
};

/// How much of a list is shown where it cannot be read, at most; far more than is shown in the end.
const LOOKED_AT: u64 = 8_192;
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// Where the records may be.
const PLACES: [&str; 2] = ["data", "contacts"];

/// What a record is.
pub(crate) enum Record {
    /// A person.
    Person(Contact),
    /// A group, a broadcast list, or an identity of no kind that is known.
    Nobody,
    /// It has no id at all.
    Nameless,
}

/// Reads a record.
pub(crate) type Reader = fn(&Value) -> Record;

#[derive(Debug, Default)]
struct Seen {
    /// Whether there was a list, be it `null`.
    list: bool,
    left_out: usize,
    /// Records that have an id.
    named: usize,
}

/// Asks for a contact list and looks through it before anybody may take it. `refuse` is the provider's verdict on a bad status.
pub(crate) async fn ask(
    http: &Http,
    request: Request,
    wording: &Wording<'_>,
    reader: Reader,
    refuse: impl FnOnce(&Reply) -> Refusal,
) -> Result<ContactList, Refusal> {
    let (reply, spool) = http.fetch(request).await?;
    let Some(mut spool) = spool else { return Err(refuse(&reply)) };
    let looking = tokio::task::spawn_blocking(move || {
        let seen = look_through(&mut spool, reader);
        let beginning = spool.beginning(LOOKED_AT).unwrap_or_default();
        (seen, beginning, spool)
    });
    let (seen, beginning, mut spool) = looking.await.map_err(|error| wording.unreadable(&error.to_string(), ""))?;
    let seen = seen.map_err(|flaw| wording.unreadable(&flaw, &beginning))?;
    Ok(ContactList::new(Box::new(move |take| read(&mut spool, reader, take)), seen.left_out, None))
}

fn look_through(spool: &mut Spool, reader: Reader) -> Result<Seen, String> {
    let left = Left::new();
    let text = spool.read(&left).map_err(|error| error.to_string())?;
    let seen = walk(text, &left, reader, &mut |_| true)?;
    if !seen.list {
        return Err("an object without a contact list".to_owned());
    }
    if seen.left_out > 0 && seen.named == 0 {
        return Err("a contact list without a single id".to_owned());
    }
    Ok(seen)
}

/// Hands out the persons of an answer that was looked through, until `take` wants no more.
fn read(spool: &mut Spool, reader: Reader, take: &mut dyn FnMut(Contact) -> bool) -> Result<(), String> {
    let left = Left::new();
    let text = spool.read(&left).map_err(|error| error.to_string())?;
    let mut stopped = false;
    let walked = walk(text, &left, reader, &mut |contact| {
        stopped = !take(contact);
        !stopped
    });
    if stopped { Ok(()) } else { walked.map(drop) }
}

/// How many persons an answer of these bytes names, as a walk without a file would find.
pub(crate) fn persons_in(answer: &[u8], reader: Reader) -> Result<usize, String> {
    let (left, mut persons) = (Left::new(), 0);
    walk(Text::new(answer, &left), &left, reader, &mut |_| {
        persons += 1;
        true
    })
    .map(|_| persons)
}

fn walk(
    mut text: impl Read,
    left: &Left,
    reader: Reader,
    take: &mut dyn FnMut(Contact) -> bool,
) -> Result<Seen, String> {
    let mut head = Vec::new();
    (&mut text).take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head).map_err(|error| error.to_string())?;
    let head = if head == BYTE_ORDER_MARK { Vec::new() } else { head };
    let is_empty = head.is_empty();
    let mut seen = Seen::default();
    let mut json = serde_json::Deserializer::from_reader(io::Cursor::new(head).chain(text));
    let walked = json.deserialize_any(Answer { left, reader, take, seen: &mut seen, inside: false });
    let ended = walked.and_then(|()| json.end());
    match ended {
        Ok(()) => Ok(seen),
        Err(error) if is_empty && error.is_eof() => Err("an empty body".to_owned()),
        Err(error) if seen.list => Err(format!("a contact list that is {}", json::flaw(&error))),
        Err(error) => Err(json::flaw(&error)),
    }
}

/// The answer; once inside of it, the list.
struct Answer<'w> {
    left: &'w Left,
    reader: Reader,
    take: &'w mut dyn FnMut(Contact) -> bool,
    seen: &'w mut Seen,
    inside: bool,
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, answer: D) -> Result<(), D::Error> {
        answer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a contact list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.seen.list = true;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.seen.list = true;
        while let Some(record) = list.next_element::<Box<RawValue>>()? {
            self.left.renew();
            match json::object(record.get()).map_or(Record::Nameless, |record| (self.reader)(&record)) {
                Record::Person(contact) => {
                    self.seen.named += 1;
                    if !(self.take)(contact) {
                        return Err(A::Error::custom("no more is wanted"));
                    }
                }
                Record::Nobody => {
                    self.seen.named += 1;
                    self.seen.left_out += 1;
                }
                Record::Nameless => self.seen.left_out += 1,
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if self.inside {
            return Err(A::Error::custom("an object in the place of a list"));
        }
        let Self { left, reader, take, seen, .. } = self;
        while let Some(name) = members.next_key::<String>()? {
            if PLACES.iter().any(|place| name.eq_ignore_ascii_case(place)) {
                members.next_value_seed(Answer { left, reader, take: &mut *take, seen: &mut *seen, inside: true })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
            left.renew();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person;

    fn record(record: &Value) -> Record {
        match json::field(record, "id").and_then(json::text) {
            None => Record::Nameless,
            Some(id) => {
                person::address(&id).map_or(Record::Nobody, |address| Record::Person(Contact::under(address, None)))
            }
        }
    }

    fn walked(body: &str) -> Result<(Seen, usize), String> {
        let (left, mut persons) = (Left::new(), 0);
        let seen = walk(body.as_bytes(), &left, record, &mut |_| {
            persons += 1;
            true
        })?;
        Ok((seen, persons))
    }

    #[test]
    fn records_are_the_answer_or_stand_in_it() {
        let list = r#"[{"id":"5511988887777"},{"id":"1203@g.us"},{},7]"#;
        for body in [
            list.to_owned(),
            format!("\u{feff}{list}"),
            format!(r#"{{"status":true,"data":{list},"code":200}}"#),
            format!(r#"{{"Contacts":{list}}}"#),
        ] {
            let (seen, persons) = walked(&body).unwrap();
            assert_eq!((seen.list, persons, seen.left_out, seen.named), (true, 1, 3, 2), "{body}");
        }
        for body in ["[]", "null", r#"{"data":null}"#, r#"{"data":[]}"#] {
            assert!(walked(body).unwrap().0.list, "{body}");
        }
        assert!(!walked(r#"{"status":false,"message":"no"}"#).unwrap().0.list);
        assert_eq!(persons_in(list.as_bytes(), record), Ok(1));
    }

    #[test]
    fn what_is_no_list_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an empty body"),
            ("<html>hush</html>", "no JSON, at line 1 column 1"),
            (r#"[{"id":"hush"#, "a contact list that is JSON that ends too early, at line 1 column 12"),
            (r#"{"data":{"hush":1}}"#, "JSON of another shape"),
            (r#""hush""#, "JSON of another shape"),
            ("[] x", "a contact list that is no JSON, at line 1 column 4"),
        ] {
            assert_eq!(walked(body).unwrap_err(), flaw, "{body}");
        }
    }
}
