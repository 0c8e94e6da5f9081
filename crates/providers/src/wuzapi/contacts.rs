//! `GET /user/contacts`: the whole contact list in one map, keyed by JIDs of both kinds.
//!
//! The key alone makes a contact; names are looked for and may be missing. It says nothing about which phone JID and which
//! LID are one person, so there are no pairings. A list may be of any length: it is walked entry by entry, and nothing of it
//! is kept.

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use sincro_core::{address::Address, contact::Contact};

use super::wire::Envelope;
use crate::{
    json, name,
    spool::{Left, Spool, Text},
};

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The best first: the address book's names, then the person's own, then the shop's.
const NAMES: [&str; 4] = ["FullName", "FirstName", "PushName", "BusinessName"];

/// What a walk through an answer has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Everything but the data.
    pub(super) envelope: Envelope<'static>,
    /// Whether there was data, be it `null`.
    pub(super) data: bool,
    /// Groups, broadcasts and keys that are no JIDs of persons.
    pub(super) left_out: usize,
    jids: usize,
}

/// Walks through an answer to its end, and says why where it is no contact list.
pub(super) fn look_through(spool: &mut Spool) -> Result<Seen, String> {
    let left = Left::new();
    let text = spool.read(&left).map_err(|error| error.to_string())?;
    let seen = walk(text, &left, &mut |_| true)?;
    if seen.left_out > 0 && seen.jids == 0 {
        return Err("a contact list without a single JID".to_owned());
    }
    Ok(seen)
}

/// Hands out the persons of an answer that was looked through, until `take` wants no more.
pub(super) fn read(spool: &mut Spool, take: &mut dyn FnMut(Contact) -> bool) -> Result<(), String> {
    let left = Left::new();
    let text = spool.read(&left).map_err(|error| error.to_string())?;
    let mut stopped = false;
    let walked = walk(text, &left, &mut |contact| {
        stopped = !take(contact);
        !stopped
    });
    if stopped { Ok(()) } else { walked.map(drop) }
}

/// How many persons an answer of these bytes names, as a walk without a file would find.
pub(crate) fn persons_in(answer: &[u8]) -> Result<usize, String> {
    let (left, mut persons) = (Left::new(), 0);
    let text = Text::new(answer, &left);
    walk(text, &left, &mut |_| {
        persons += 1;
        true
    })
    .map(|_| persons)
}

fn walk(mut text: impl Read, left: &Left, take: &mut dyn FnMut(Contact) -> bool) -> Result<Seen, String> {
    let mut head = Vec::new();
    (&mut text).take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head).map_err(|error| error.to_string())?;
    let head = if head == BYTE_ORDER_MARK { Vec::new() } else { head };
    let place = Cell::new(Place::Before);
    let mut json = serde_json::Deserializer::from_reader(io::Cursor::new(head).chain(text));
    let walked = json.deserialize_any(Answer { left, place: &place, take });
    walked.and_then(|seen| json.end().map(|()| seen)).map_err(|error| match place.get() {
        Place::Before if error.is_eof() => "an empty body".to_owned(),
        Place::Data => format!("a contact list that is {}", json::flaw(&error)),
        Place::Before | Place::Envelope => json::flaw(&error),
    })
}

/// How far a walk came.
#[derive(Clone, Copy)]
enum Place {
    Before,
    Envelope,
    Data,
}

/// The envelope.
struct Answer<'w> {
    left: &'w Left,
    place: &'w Cell<Place>,
    take: &'w mut dyn FnMut(Contact) -> bool,
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Seen, A::Error> {
        self.place.set(Place::Envelope);
        let mut seen = Seen::default();
        while let Some(name) = members.next_key::<String>()? {
            if name == "data" {
                self.place.set(Place::Data);
                seen.data = true;
                members.next_value_seed(Entries { left: self.left, take: &mut *self.take, seen: &mut seen })?;
                self.place.set(Place::Envelope);
            } else if let Some(member) = seen.envelope.member(&name) {
                *member = members.next_value()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
            self.left.renew();
        }
        Ok(seen)
    }
}

/// The data.
struct Entries<'w> {
    left: &'w Left,
    take: &'w mut dyn FnMut(Contact) -> bool,
    seen: &'w mut Seen,
}

impl Entries<'_> {
    /// Whether more is wanted.
    fn entry(&mut self, key: &str, value: &RawValue) -> bool {
        self.left.renew();
        self.seen.jids += usize::from(key.contains('@'));
        let Ok(address) = key.parse::<Address>() else {
            self.seen.left_out += 1;
            return true;
        };
        (self.take)(Contact::under(address, best_name(value)))
    }
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, data: D) -> Result<(), D::Error> {
        data.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a contact list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match list.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom("a list with items")),
            None => Ok(()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value::<Box<RawValue>>()?;
            if !self.entry(&key, &value) {
                return Err(A::Error::custom("no more is wanted"));
            }
        }
        Ok(())
    }

    /// Some builds wrap the data in a text once more; one of more than a megabyte is not read.
    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        json::each_entry(text, |key, value| {
            self.entry(&key, value);
        })
        .map_err(E::custom)
    }
}

fn best_name(value: &RawValue) -> Option<String> {
    name::best(&json::object(value.get())?, &NAMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(body: &str) -> Result<(Seen, Vec<Contact>), String> {
        let mut contacts = Vec::new();
        let seen = walk(body.as_bytes(), &Left::new(), &mut |contact| {
            contacts.push(contact);
            true
        })?;
        Ok((seen, contacts))
    }

    fn answer(data: &str) -> String {
        format!(r#"{{"code":200,"data":{data},"success":true}}"#)
    }

    fn listed(data: &str) -> Vec<(String, Option<String>)> {
        let address = |contact: &Contact| contact.phone().or(contact.lid()).map(Address::to_string).unwrap();
        let (_, contacts) = walked(&answer(data)).unwrap();
        contacts.iter().map(|contact| (address(contact), contact.name.clone())).collect()
    }

    #[test]
    fn the_list_of_the_page_is_read_in_its_order() {
        let data = r#"{
            "5511988887777@s.whatsapp.net":{"Found":true,"FirstName":"Ana","FullName":"Ana P","PushName":"ana","BusinessName":"","RedactedPhone":""},
            "190000000000001@lid":{"Found":true,"FirstName":"","FullName":"","PushName":"ana","BusinessName":"","RedactedPhone":""}}"#;
        let expected = [
            ("5511988887777@s.whatsapp.net".to_owned(), Some("Ana P".to_owned())),
            ("190000000000001@lid".to_owned(), Some("ana".to_owned())),
        ];
        assert_eq!(listed(data), expected);
        let wrapped = serde_json::to_string(data).unwrap();
        assert_eq!(listed(&wrapped), expected);
        assert_eq!(walked(&format!("\u{feff}{}", answer(data))).unwrap().1.len(), 2);
    }

    #[test]
    fn what_is_around_the_data_is_kept_in_whatever_order_it_comes() {
        for body in [
            r#"{"success":false,"data":{"1203@g.us":{}},"code":500,"error":"no session"}"#,
            r#"{"code":500,"error":"no session","extra":[1,{}],"data":{"1203@g.us":{}},"success":false}"#,
        ] {
            let (seen, _) = walked(body).unwrap();
            assert_eq!(seen.envelope.disguised_failure(), Some(500));
            assert_eq!((seen.envelope.error().as_str(), seen.data, seen.left_out), ("no session", true, 1));
        }
        assert!(!walked(r#"{"code":200,"success":true}"#).unwrap().0.data);
    }

    #[test]
    fn the_best_name_wins_and_no_name_is_none() {
        for (value, name) in [
            (r#"{"FullName":" ","FirstName":"Ana","PushName":"ana"}"#, Some("Ana")),
            (r#"{"FullName":null,"PushName":"a\u0000na\n","BusinessName":"Loja"}"#, Some("ana")),
            (r#"{"BusinessName":"Loja & Cia"}"#, Some("Loja & Cia")),
            (r#"{"FullName":"x\ud83d"}"#, Some("x\u{fffd}")),
            (r#"{"FullName":""}"#, None),
            ("null", None),
            ("[]", None),
        ] {
            let data = format!(r#"{{"5511988887777@s.whatsapp.net":{value}}}"#);
            assert_eq!(listed(&data), [("5511988887777@s.whatsapp.net".to_owned(), name.map(str::to_owned))]);
        }
    }

    #[test]
    fn what_is_no_person_is_counted_and_devices_have_the_address_of_their_person() {
        let data = r#"{"120363000000000000@g.us":{},"status@broadcast":{},"0@s.whatsapp.net":{},"":{},
            "5511988887777@s.whatsapp.net":{},"5511988887777:3@s.whatsapp.net":{"PushName":"ana"},"5511988887777@c.us":{}}"#;
        assert_eq!(walked(&answer(data)).unwrap().0.left_out, 4);
        let ana = |name: Option<&str>| ("5511988887777@s.whatsapp.net".to_owned(), name.map(str::to_owned));
        assert_eq!(listed(data), [ana(None), ana(Some("ana")), ana(None)]);
    }

    #[test]
    fn an_empty_list_is_good_and_another_shape_is_not() {
        for data in ["null", "{}", "[]", "\"{}\""] {
            assert_eq!(listed(data), [], "{data}");
        }
        for data in ["\"unexpected\"", "[1]", "7", "true"] {
            let refused = walked(&answer(data)).unwrap_err();
            assert!(refused.starts_with("a contact list that is "), "{data}: {refused}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_named_and_not_quoted() {
        for (body, flaw) in [
            ("", "an empty body"),
            ("  \n", "an empty body"),
            ("<html>hush</html>", "no JSON, at line 1 column 1"),
            (r#"{"data":{"hush"#, "a contact list that is JSON that ends too early, at line 1 column 14"),
            (r#"{"data":{}"#, "JSON that ends too early, at line 1 column 10"),
            (r#"{"data":{}} x"#, "no JSON, at line 1 column 13"),
            (r#""hush""#, "JSON of another shape"),
            ("null", "JSON of another shape"),
        ] {
            assert_eq!(walked(body).unwrap_err(), flaw, "{body}");
        }
    }

    #[test]
    fn a_record_without_end_is_given_up() {
        let body = io::Cursor::new(br#"{"data":{"5511988887777@s.whatsapp.net":{"FullName":""#).chain(io::repeat(b'x'));
        let left = Left::new();
        let text = crate::spool::Text::new(io::BufReader::new(body), &left);
        assert_eq!(
            walk(text, &left, &mut |_| true).unwrap_err(),
            "a contact list that is JSON with a record of more than a megabyte"
        );
    }

    #[test]
    fn a_list_of_many_records_may_be_longer_than_any_one_of_them() {
        let entries = (0..20_000).map(|n| format!(r#""55119{n:08}@s.whatsapp.net":{{"FullName":"{n:0>64}"}}"#));
        let body = answer(&format!("{{{}}}", entries.collect::<Vec<_>>().join(",")));
        assert!(body.len() > 2 * 1_024 * 1_024);
        let left = Left::new();
        let text = crate::spool::Text::new(io::BufReader::new(body.as_bytes()), &left);
        let mut count = 0;
        let mut take = |_| {
            count += 1;
            true
        };
        walk(text, &left, &mut take).unwrap();
        assert_eq!(count, 20_000);
    }
}
