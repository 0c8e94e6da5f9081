//! Everything one simulated channel holds, found by address.
//!
//! Only people are kept in memory; a chat is drawn again from the seed whenever it is asked for, so a large population costs
//! little and no answer depends on what was asked before. Changes nothing after it is built.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    dice::{self, Purpose},
    messages::{self, Message},
    people::{Person, Population},
};

/// The people of one channel and their chats.
#[derive(Debug)]
pub(crate) struct Archive {
    population: Population,
    seed: u64,
    people: Vec<Person>,
    by_address: HashMap<String, u32>,
}

/// One stored message seen from one address.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The number of the row, unique within the channel.
    pub(crate) row: u64,
    pub(crate) message: Message,
}

impl Archive {
    /// The archive of the `channel`-th channel; each channel has people of its own.
    pub(crate) fn draw(population: &Population, channel: usize) -> Self {
        let seed = dice::number(population.seed, Purpose::Channel, channel as u64, 0);
        let people: Vec<Person> =
            (0..population.contacts).map(|number| Person::draw(population, seed, number)).collect();
        let by_address = people
            .iter()
            .flat_map(|person| person.addresses().map(|address| (address.to_owned(), person.number)))
            .collect();
        Self { population: population.clone(), seed, people, by_address }
    }

    /// A number that tells this channel from others.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn people(&self) -> &[Person] {
        &self.people
    }

    /// Who can be reached under this exact address.
    pub(crate) fn person(&self, address: &str) -> Option<&Person> {
        self.by_address.get(address).and_then(|number| self.people.get(*number as usize))
    }

    /// What is stored under this exact address, the last stored first, at most `limit`.
    pub(crate) fn chat(&self, address: &str, limit: usize) -> Vec<Stored> {
        let Some(person) = self.person(address) else { return Vec::new() };
        let by_lid = person.lid.as_deref() == Some(address);
        let mut chat: Vec<Stored> = messages::draw_all(&self.population, self.seed, person)
            .into_iter()
            .filter(|message| if by_lid { message.in_lid_chat } else { message.in_phone_chat })
            .map(|message| Stored { row: self.row(person, &message, by_lid), message })
            .collect();
        chat.sort_by_key(|stored| Reverse((stored.message.stored_at, stored.row)));
        chat.truncate(limit);
        chat
    }

    fn row(&self, person: &Person, message: &Message, by_lid: bool) -> u64 {
        let rows_per_person = 2 * u64::from(self.population.messages_max);
        1 + u64::from(person.number) * rows_per_person + 2 * u64::from(message.ordinal) + u64::from(by_lid)
    }
}
