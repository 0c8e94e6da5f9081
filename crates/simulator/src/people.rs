//! Who a simulated channel knows: how many people, under which addresses, with which names.
//!
//! Everything follows from the seed and a person's number. What they wrote is in `messages`; which keys a gateway lists them
//! under is decided here, how it spells them on the wire is not.

use anyhow::{Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::dice::{self, Purpose};

const AREA_CODES: [u32; 10] = [19, 21, 31, 41, 51, 61, 71, 81, 85, 91];
const FIRST_NAMES: [&str; 12] =
    ["Ana", "Bruno", "Carla", "Diego", "Elisa", "Fábio", "Gabriela", "Heitor", "Íris", "João", "Lívia", "Márcio"];
const LAST_NAMES: [&str; 9] =
    ["Almeida", "Barros", "Conceição", "D'Ávila", "Esteves", "Figueiró", "Gonçalves", "Moura & Filhos", "Nogueira"];

/// A prime just under 10^8: multiplying by a smaller number modulo it maps person numbers to distinct subscriber numbers.
const SUBSCRIBERS: u64 = 99_999_989;
/// LIDs of two neighbours differ by this much, plus an offset below it that comes from the seed.
const LID_STRIDE: u64 = 7_919;
const FIRST_LID: u64 = 190_000_000_000_000;
const SUBSCRIBER_STEP: u64 = 48_271;
/// Undoes a multiplication by [`SUBSCRIBER_STEP`].
const STEP_BACK: u64 = inverse(SUBSCRIBER_STEP);

/// How many people there are, how they are known, and how much they wrote. Shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Population {
    /// Everything random follows from it.
    pub seed: u64,
    /// Persons, not keys of the contact list.
    pub contacts: u32,
    /// Messages of a person who wrote any, on average before `messages_max` cuts; at or above the maximum, all have the
    /// maximum.
    pub messages_mean: u32,
    /// The most messages of one person.
    pub messages_max: u32,
    /// Persons without a single stored message.
    pub share_empty: f64,
    /// Persons known by phone JID whose LID nobody knows.
    pub share_without_lid: f64,
    /// Persons known by LID whose phone JID nobody knows.
    pub share_lid_only: f64,
    /// Persons the contact list holds twice: under the phone JID and under the LID.
    pub share_paired: f64,
    /// Messages of two-address persons that are stored under both chats (older gateways and merged stores do this).
    pub share_cross_posted: f64,
    /// Messages that were sent through the gateway's own API.
    pub share_sent_by_api: f64,
    /// Messages that came with the history blob at pairing rather than live.
    pub share_history_sync: f64,
    /// Records of history messages that lack the event's time and only keep the phone's seconds.
    pub share_without_event_time: f64,
    /// Records of live messages that the gateway failed to serialize and kept as `{}`.
    pub share_unreadable: f64,
    /// The most messages of a person that the phone holds beyond what the gateway stored, all of them older; at least half as
    /// many. Persons without stored messages have none.
    pub older_on_phone: u32,
    /// Messages whose text carries a NUL character, which Postgres text cannot hold.
    pub share_with_nul: f64,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            seed: 1,
            contacts: 1_000,
            messages_mean: 18,
            messages_max: 60,
            share_empty: 0.08,
            share_without_lid: 0.12,
            share_lid_only: 0.0,
            share_paired: 0.0,
            share_cross_posted: 0.05,
            share_sent_by_api: 0.15,
            share_history_sync: 0.6,
            share_without_event_time: 0.2,
            share_unreadable: 0.02,
            older_on_phone: 0,
            share_with_nul: 0.0,
        }
    }
}

impl Population {
    /// Refuses what cannot be drawn, and names the field.
    pub(crate) fn check(&self) -> Result<()> {
        let shares = [
            ("share_empty", self.share_empty),
            ("share_without_lid", self.share_without_lid),
            ("share_lid_only", self.share_lid_only),
            ("share_paired", self.share_paired),
            ("share_cross_posted", self.share_cross_posted),
            ("share_sent_by_api", self.share_sent_by_api),
            ("share_history_sync", self.share_history_sync),
            ("share_without_event_time", self.share_without_event_time),
            ("share_unreadable", self.share_unreadable),
            ("share_with_nul", self.share_with_nul),
            ("the sum of share_without_lid, share_lid_only and share_paired", self.share_one_sided()),
        ];
        for (name, share) in shares {
            ensure!((0.0..=1.0).contains(&share), "{name} must be between 0 and 1, not {share}");
        }
        ensure!(
            self.messages_mean >= 1,
            "messages_mean must be at least 1; use share_empty for persons without messages"
        );
        ensure!(self.messages_max <= 100_000, "messages_max must be at most 100000");
        ensure!(self.contacts <= 10_000_000, "contacts must be at most 10000000");
        Ok(())
    }

    fn share_one_sided(&self) -> f64 {
        self.share_without_lid + self.share_lid_only + self.share_paired
    }
}

/// Under which keys the contact list holds a person, and whether the other address can be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// Listed by phone JID; the LID can be looked up.
    Phone,
    /// Listed by phone JID; no LID is known.
    PhoneWithoutLid,
    /// Listed by LID; no phone JID is known.
    LidOnly,
    /// Listed under both.
    Both,
}

/// One person and every address a reader can reach them under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Counts from 0.
    pub number: u32,
    /// As in the phone's address book; empty where only the push name is known.
    pub full_name: String,
    /// As the person calls themselves.
    pub push_name: String,
    /// How the contact list knows them.
    pub known_by: KnownBy,
    /// `55...@s.whatsapp.net`, absent for [`KnownBy::LidOnly`].
    pub phone_jid: Option<String>,
    /// `...@lid`, absent for [`KnownBy::PhoneWithoutLid`].
    pub lid: Option<String>,
}

impl Person {
    /// The person with this number.
    pub(crate) fn draw(population: &Population, seed: u64, number: u32) -> Self {
        let mut rng = dice::roll(seed, Purpose::Identity, u64::from(number), 0);
        let known_by = draw_known_by(population, rng.random());
        let (first, last) = (pick(&FIRST_NAMES, &mut rng), pick(&LAST_NAMES, &mut rng));
        let in_address_book = known_by != KnownBy::LidOnly && rng.random_bool(0.8);
        Self {
            number,
            full_name: if in_address_book { format!("{first} {last}") } else { String::new() },
            push_name: first.to_lowercase(),
            known_by,
            phone_jid: (known_by != KnownBy::LidOnly).then(|| phone_jid(seed, number)),
            lid: (known_by != KnownBy::PhoneWithoutLid).then(|| lid(seed, number)),
        }
    }

    /// Every address that has a chat of its own: phone JID first, then LID.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.phone_jid.as_deref().into_iter().chain(self.lid.as_deref())
    }

    /// The keys of the contact list that mean this person.
    pub fn listed_keys(&self) -> impl Iterator<Item = &str> {
        let lid_listed = matches!(self.known_by, KnownBy::LidOnly | KnownBy::Both);
        self.phone_jid.as_deref().into_iter().chain(self.lid.as_deref().filter(move |_| lid_listed))
    }
}

fn draw_known_by(population: &Population, point: f64) -> KnownBy {
    let without_lid = population.share_without_lid;
    let lid_only = without_lid + population.share_lid_only;
    if point < without_lid {
        KnownBy::PhoneWithoutLid
    } else if point < lid_only {
        KnownBy::LidOnly
    } else if point < population.share_one_sided() {
        KnownBy::Both
    } else {
        KnownBy::Phone
    }
}

/// The phone of the person with this number, whether anybody knows it or not.
pub(crate) fn phone_jid(seed: u64, number: u32) -> String {
    let subscriber = (u64::from(number) * SUBSCRIBER_STEP + subscriber_offset(seed)) % SUBSCRIBERS;
    let area = AREA_CODES[number as usize % AREA_CODES.len()];
    format!("55{area}9{subscriber:08}@s.whatsapp.net")
}

fn lid(seed: u64, number: u32) -> String {
    format!("{}@lid", first_lid(seed) + u64::from(number) * LID_STRIDE)
}

/// The only number whose address this can be; whether it is, and whether there is such a person, is not said.
pub(crate) fn number_behind(seed: u64, address: &str) -> Option<u32> {
    let number = match address.split_once('@')? {
        (user, "lid") => user.parse::<u64>().ok()?.checked_sub(first_lid(seed))? / LID_STRIDE,
        (user, _) => {
            // Behind country code, area code and the nine of mobile numbers.
            let subscriber = user.get(5..)?.parse::<u64>().ok().filter(|subscriber| *subscriber < SUBSCRIBERS)?;
            (subscriber + SUBSCRIBERS - subscriber_offset(seed)) % SUBSCRIBERS * STEP_BACK % SUBSCRIBERS
        }
    };
    u32::try_from(number).ok()
}

fn first_lid(seed: u64) -> u64 {
    FIRST_LID + dice::scramble(!seed) % LID_STRIDE
}

fn subscriber_offset(seed: u64) -> u64 {
    dice::scramble(seed) % SUBSCRIBERS
}

/// The number that multiplied by this one leaves 1 modulo the prime [`SUBSCRIBERS`] (Fermat: its power to the prime less 2).
const fn inverse(number: u64) -> u64 {
    let (mut result, mut square, mut exponent) = (1, number, SUBSCRIBERS - 2);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = result * square % SUBSCRIBERS;
        }
        square = square * square % SUBSCRIBERS;
        exponent /= 2;
    }
    result
}

/// One of `choices`, which must not be empty.
pub(crate) fn pick<'a>(choices: &[&'a str], rng: &mut impl Rng) -> &'a str {
    choices[rng.random_range(0..choices.len())]
}
