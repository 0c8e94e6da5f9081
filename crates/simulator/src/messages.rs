//! What a person and the channel wrote to each other, as facts: id, time, kind, text, and how the gateway came by it.
//!
//! No wire format here; a provider's folder turns a [`Message`] into its rows. The facts that make reading hard are kept: a
//! gateway stores a message later than it was sent, the history blob is stored newest first, and some records lost their
//! event.

use chrono::{DateTime, Duration, Utc};
use rand::{Rng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{
    dice::{self, Purpose},
    people::{Person, Population, pick},
};

/// 2026-04-03T12:00:00Z: when the channel was paired. History is older, live messages are younger.
const PAIRED_AT_UNIX_S: i64 = 1_775_217_600;
const DAY_S: i64 = 86_400;
const TEXTS: [&str; 12] = [
    "oi",
    "Bom dia! Tudo bem?",
    "Pode me mandar o orçamento até amanhã?",
    "ok 👍",
    "Segue o endereço:\nRua das Flores, 120 — apto 4",
    "R$ 1.250,00 à vista & 3x <sem juros>",
    "\"Confirmado\" às 14h30 \\o/",
    "مرحبا، هل الموعد مناسب؟",
    "👨‍👩‍👧‍👦 família toda",
    "obrigada!!",
    "O pedido 4471 ainda não chegou, alguém consegue ver isso pra mim por favor?",
    "https://loja.example/produto?id=9&cor=azul",
];

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Words, alone or in answer to another message.
    Text,
    /// A picture, with or without a caption.
    Image,
    /// A film, with or without a caption.
    Video,
    /// A voice note.
    Audio,
    /// A file, with or without a caption.
    Document,
    /// A sticker.
    Sticker,
    /// A place with a name.
    Location,
    /// A business card.
    Contact,
    /// An emoji put on another message.
    Reaction,
}

/// How the gateway came by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was connected when the message passed.
    Live,
    /// The phone sent it in the history blob at pairing.
    HistorySync,
    /// It was sent through the gateway's own API.
    Api,
}

/// What is left of the event in the gateway's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// All of it.
    Whole,
    /// The event's time is missing; the phone's seconds are there.
    WithoutEventTime,
    /// An empty object.
    Unreadable,
    /// Nothing was recorded (messages sent by API).
    Absent,
}

/// One message and where the gateway keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Counts from 0 within the person, oldest first.
    pub(crate) ordinal: u32,
    pub(crate) id: String,
    pub(crate) from_me: bool,
    pub(crate) kind: Kind,
    /// Words, caption, place or card name, emoji; empty where the kind has none.
    pub(crate) text: String,
    /// The message this one answers or reacts to.
    pub(crate) quoted: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) record: Record,
    /// When it really was sent, to the second unless the gateway sent it itself.
    pub(crate) sent_at: DateTime<Utc>,
    /// When the gateway inserted its row.
    pub(crate) stored_at: DateTime<Utc>,
    pub(crate) in_phone_chat: bool,
    pub(crate) in_lid_chat: bool,
}

impl Message {
    /// The best a careful reader can say about the sending time from what the gateway kept.
    pub(crate) fn readable_at(&self) -> DateTime<Utc> {
        match self.record {
            Record::Whole | Record::WithoutEventTime => self.sent_at,
            Record::Unreadable | Record::Absent => self.stored_at,
        }
    }
}

/// The first ordinal of those that only the phone holds.
const FIRST_OLDER: u32 = 1 << 31;

/// The latest time at which anything was sent; what is told of a whole account at once is told then.
pub(crate) fn told_at() -> DateTime<Utc> {
    paired_at() + Duration::days(60)
}

/// What the phone holds of a person beyond what the gateway stored, oldest first: all of it before this time.
pub(crate) fn draw_older(population: &Population, seed: u64, person: &Person, before: DateTime<Utc>) -> Vec<Message> {
    let most = population.older_on_phone;
    if most == 0 {
        return Vec::new();
    }
    let mut rng = dice::roll(seed, Purpose::Older, u64::from(person.number), 0);
    let count = rng.random_range(most.div_ceil(2)..=most);
    let mut sent_at = before;
    let mut messages: Vec<Message> = Vec::new();
    for ordinal in (0..count).rev() {
        sent_at -= Duration::seconds(rng.random_range(30..3 * DAY_S));
        let from_me = rng.random_bool(0.35);
        let (kind, text, quoted) = draw_content(population, Origin::HistorySync, None, &mut rng);
        messages.push(Message {
            ordinal: FIRST_OLDER + ordinal,
            id: message_id(seed, person.number, FIRST_OLDER + ordinal, from_me),
            from_me,
            kind,
            text,
            quoted,
            origin: Origin::HistorySync,
            record: Record::Whole,
            sent_at,
            stored_at: sent_at,
            in_phone_chat: true,
            in_lid_chat: true,
        });
    }
    messages.reverse();
    messages
}

/// Whether only the phone holds it.
pub(crate) fn is_older(message: &Message) -> bool {
    message.ordinal >= FIRST_OLDER
}

/// Whose message has this id; whether there is such a message is not said.
pub(crate) fn person_behind(seed: u64, id: &str) -> Option<u32> {
    let digits = id.strip_prefix("3EB0").or_else(|| id.strip_prefix("AC"))?.get(..16)?;
    let unique = u64::from_str_radix(digits, 16).ok()?;
    u32::try_from((dice::unscramble(unique) ^ seed) >> 32).ok()
}

/// Everything one person's chats hold, oldest sent first.
pub(crate) fn draw_all(population: &Population, seed: u64, person: &Person) -> Vec<Message> {
    let mut rng = dice::roll(seed, Purpose::Messages, u64::from(person.number), 0);
    let count = how_many(population, &mut rng);
    let origins = draw_origins(population, count, &mut rng);
    let times = draw_times(&origins, &mut rng);
    let lid_share = [0.0, 0.5, 1.0][rng.random_range(0..3)];
    let blob_size = origins.iter().filter(|origin| **origin == Origin::HistorySync).count();

    let mut messages: Vec<Message> = Vec::with_capacity(origins.len());
    for (ordinal, (origin, sent_at)) in (0..count).zip(origins.into_iter().zip(times)) {
        let from_me = origin == Origin::Api || rng.random_bool(0.35);
        let quotable = messages.last().map(|previous| previous.id.as_str());
        let (kind, text, quoted) = draw_content(population, origin, quotable, &mut rng);
        let (in_phone_chat, in_lid_chat) = draw_place(population, person, lid_share, &mut rng);
        let younger_in_blob = blob_size.saturating_sub(messages.len() + 1);
        let (sent_at, stored_at) = draw_storing(origin, sent_at, person.number, younger_in_blob, &mut rng);
        messages.push(Message {
            ordinal,
            id: message_id(seed, person.number, ordinal, from_me),
            from_me,
            kind,
            text,
            quoted,
            origin,
            record: draw_record(population, origin, &mut rng),
            sent_at,
            stored_at,
            in_phone_chat,
            in_lid_chat,
        });
    }
    messages
}

fn how_many(population: &Population, rng: &mut StdRng) -> u32 {
    if rng.random_bool(population.share_empty) {
        return 0;
    }
    if population.messages_mean >= population.messages_max {
        return population.messages_max;
    }
    let stop_here = 1.0 / f64::from(population.messages_mean);
    let mut count = 1;
    while count < population.messages_max && !rng.random_bool(stop_here) {
        count += 1;
    }
    count
}

/// History first, then what came after pairing.
fn draw_origins(population: &Population, count: u32, rng: &mut StdRng) -> Vec<Origin> {
    let mut origins: Vec<Origin> = (0..count)
        .map(|_| {
            if rng.random_bool(population.share_sent_by_api) {
                Origin::Api
            } else if rng.random_bool(population.share_history_sync) {
                Origin::HistorySync
            } else {
                Origin::Live
            }
        })
        .collect();
    origins.sort_by_key(|origin| *origin != Origin::HistorySync);
    origins
}

/// Sending times in order, whole seconds: up to a year before pairing for history, up to two months after it for the rest.
fn draw_times(origins: &[Origin], rng: &mut StdRng) -> Vec<DateTime<Utc>> {
    let mut seconds: Vec<i64> = origins
        .iter()
        .map(|origin| match origin {
            Origin::HistorySync => rng.random_range(-365 * DAY_S..-3_600),
            Origin::Live | Origin::Api => rng.random_range(3_600..60 * DAY_S),
        })
        .collect();
    seconds.sort_unstable();
    seconds.into_iter().map(|offset| paired_at() + Duration::seconds(offset)).collect()
}

fn draw_content(
    population: &Population,
    origin: Origin,
    quotable: Option<&str>,
    rng: &mut StdRng,
) -> (Kind, String, Option<String>) {
    let mut text = pick(&TEXTS, rng).to_owned();
    if rng.random_bool(population.share_with_nul) {
        text.push_str("\0.");
    }
    let caption = if rng.random_bool(0.5) { text.clone() } else { String::new() };
    let kind = match rng.random_range(0..100) {
        0..64 => Kind::Text,
        64..76 => Kind::Image,
        76..80 => Kind::Video,
        80..87 => Kind::Audio,
        87..92 => Kind::Document,
        92..94 => Kind::Sticker,
        94..95 => Kind::Location,
        95..96 => Kind::Contact,
        _ => Kind::Reaction,
    };
    match (kind, quotable) {
        (Kind::Reaction, Some(target)) if origin != Origin::Api => (kind, "❤️".to_owned(), Some(target.to_owned())),
        (Kind::Text | Kind::Reaction, target) => {
            let answered = target.filter(|_| origin != Origin::Api && rng.random_bool(0.15));
            (Kind::Text, text, answered.map(str::to_owned))
        }
        (Kind::Image | Kind::Video | Kind::Document, _) => (kind, caption, None),
        (Kind::Audio | Kind::Sticker, _) => (kind, String::new(), None),
        (Kind::Location, _) => (kind, "Praça da Sé".to_owned(), None),
        (Kind::Contact, _) => (kind, "Oficina do Zé".to_owned(), None),
    }
}

fn draw_place(population: &Population, person: &Person, lid_share: f64, rng: &mut StdRng) -> (bool, bool) {
    let (in_lid, in_both) = (rng.random_bool(lid_share), rng.random_bool(population.share_cross_posted));
    match (person.phone_jid.is_some(), person.lid.is_some()) {
        (true, true) => (in_both || !in_lid, in_both || in_lid),
        only_one => only_one,
    }
}

fn draw_record(population: &Population, origin: Origin, rng: &mut StdRng) -> Record {
    match origin {
        Origin::Api => Record::Absent,
        Origin::HistorySync if rng.random_bool(population.share_without_event_time) => Record::WithoutEventTime,
        Origin::Live if rng.random_bool(population.share_unreadable) => Record::Unreadable,
        Origin::HistorySync | Origin::Live => Record::Whole,
    }
}

/// When it was sent and when the row went in. The history blob is written in one burst, newest first, so the oldest message
/// of a chat is the last inserted; the others follow their sending.
fn draw_storing(
    origin: Origin,
    sent_at: DateTime<Utc>,
    person: u32,
    younger_in_blob: usize,
    rng: &mut StdRng,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let micros = Duration::microseconds(rng.random_range(0..900));
    match origin {
        Origin::HistorySync => {
            let burst = Duration::seconds(90) + Duration::milliseconds(i64::from(person) * 7);
            let after_younger = Duration::milliseconds(3 * i64::try_from(younger_in_blob).unwrap_or_default());
            (sent_at, paired_at() + burst + after_younger + micros)
        }
        Origin::Live => (sent_at, sent_at + Duration::milliseconds(rng.random_range(150..2_500)) + micros),
        Origin::Api => (sent_at + micros, sent_at + micros),
    }
}

fn paired_at() -> DateTime<Utc> {
    DateTime::from_timestamp(PAIRED_AT_UNIX_S, 0).unwrap_or_default()
}

/// Unique within a seed: the scrambling is one-to-one, and ids of the two lengths cannot be equal.
fn message_id(seed: u64, person: u32, ordinal: u32, from_me: bool) -> String {
    let unique = dice::scramble((u64::from(person) << 32 | u64::from(ordinal)) ^ seed);
    let filler = dice::scramble(unique);
    if from_me {
        format!("3EB0{unique:016X}{:02X}", filler >> 56)
    } else {
        format!("AC{unique:016X}{:014X}", filler >> 8)
    }
}
