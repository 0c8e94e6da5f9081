//! Everything one simulated channel holds, found by address.
//!
//! Nothing is drawn before it is asked for: a person is found by working out the number behind the address, and drawn again
//! from the seed each time, and so is a chat. So a large population costs nothing, and no answer depends on what was asked
//! before. Only the whole crowd is kept, once the truth asked for it.

use std::{cmp::Reverse, sync::OnceLock};

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::{
    dice::{self, Purpose},
    messages::{self, Message},
    people::{self, Person, Population},
};

/// What a gateway keeps of a message, and in which order it gives a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Rows of a table: the last inserted first. Some have lost the time of sending.
    Inserted,
    /// Messages with their times in whole seconds: the last sent first.
    Sent,
}

/// The people of one channel and their chats.
#[derive(Debug)]
pub(crate) struct Archive {
    population: Population,
    keeping: Keeping,
    seed: u64,
    people: OnceLock<Vec<Person>>,
}

/// One stored message seen from one address.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The number of the row, unique within the channel.
    pub(crate) row: u64,
    pub(crate) message: Message,
    /// The closest to its sending that what is kept allows a reader to know.
    pub(crate) readable_at: DateTime<Utc>,
}

impl Archive {
    /// The archive of the `channel`-th channel; each channel has people of its own.
    pub(crate) fn new(population: Population, channel: usize, keeping: Keeping) -> Self {
        let seed = dice::number(population.seed, Purpose::Channel, channel as u64, 0);
        Self { population, keeping, seed, people: OnceLock::new() }
    }

    /// A number that tells this channel from others.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Everybody, by number, drawn one after the other.
    pub(crate) fn draw_people(&self) -> impl Iterator<Item = Person> {
        (0..self.population.contacts).map(|number| Person::draw(&self.population, self.seed, number))
    }

    /// Everybody, by number, kept from the first time on.
    pub(crate) fn people(&self) -> &[Person] {
        self.people.get_or_init(|| self.draw_people().collect())
    }

    /// Who can be reached under this exact address.
    pub(crate) fn person(&self, address: &str) -> Option<Person> {
        let number = people::number_behind(self.seed, address).filter(|number| *number < self.population.contacts)?;
        let person = Person::draw(&self.population, self.seed, number);
        let reached = person.addresses().any(|known| known == address);
        reached.then_some(person)
    }

    /// What is stored under this exact address, in the order of its keeping, at most `limit`.
    pub(crate) fn chat(&self, address: &str, limit: usize) -> Vec<Stored> {
        let Some(person) = self.person(address) else { return Vec::new() };
        let by_lid = person.lid.as_deref() == Some(address);
        let mut chat: Vec<Stored> = messages::draw_all(&self.population, self.seed, &person)
            .into_iter()
            .filter(|message| if by_lid { message.in_lid_chat } else { message.in_phone_chat })
            .map(|message| Stored {
                row: self.row(&person, &message, by_lid),
                readable_at: match self.keeping {
                    Keeping::Inserted => message.readable_at(),
                    Keeping::Sent => message.sent_at.trunc_subsecs(0),
                },
                message,
            })
            .collect();
        chat.sort_by_key(|stored| {
            let at = match self.keeping {
                Keeping::Inserted => stored.message.stored_at,
                Keeping::Sent => stored.readable_at,
            };
            Reverse((at, stored.row))
        });
        chat.truncate(limit);
        chat
    }

    fn row(&self, person: &Person, message: &Message, by_lid: bool) -> u64 {
        let rows_per_person = 2 * u64::from(self.population.messages_max);
        1 + u64::from(person.number) * rows_per_person + 2 * u64::from(message.ordinal) + u64::from(by_lid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_found_under_each_of_their_addresses_and_nobody_else() {
        let mixed = Population { contacts: 3_000, share_lid_only: 0.2, share_paired: 0.2, ..Population::default() };
        let (archive, other) =
            (Archive::new(mixed.clone(), 3, Keeping::Inserted), Archive::new(mixed, 4, Keeping::Sent));
        for person in archive.draw_people() {
            for address in person.addresses() {
                assert_eq!(archive.person(address).as_ref(), Some(&person), "{address}");
                assert_eq!(other.person(address), None, "{address} of another channel");
            }
        }
        for nobody in ["", "@lid", "abc@lid", "5511999990000@s.whatsapp.net", "0190000000000000@lid", "190@lid"] {
            assert_eq!(archive.person(nobody), None, "{nobody}");
        }
    }
}
