//! Everything one simulated channel holds, found by address.
//!
//! Nothing is drawn before it is asked for: a person is found by working out the number behind the address, and drawn again
//! from the seed each time, and so is a chat. So a large population costs nothing, and no answer depends on what was asked
//! before. Only the whole crowd is kept, once the truth asked for it.

use std::{cmp::Reverse, sync::OnceLock};

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::{
    account::Account,
    dice::{self, Purpose},
    messages::{self, Message},
    people::{self, Person, Population},
};

/// In which order a gateway gives a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Rows of a table: the last inserted first. Some have lost the time of sending.
    Inserted,
    /// Messages with their times in whole seconds: the last sent first.
    Sent,
}

/// How a provider spells the id of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// As WhatsApp does.
    Plain,
    /// In two parts, with a dash and a point.
    Parted,
    /// As Meta does.
    Wamid,
}

impl Ids {
    fn spell(self, id: &str) -> String {
        match self {
            Self::Plain => id.to_owned(),
            Self::Parted => {
                let (first, rest) = id.split_at(4);
                let (second, third) = rest.split_at(6);
                format!("{first}.{second}-{third}")
            }
            Self::Wamid => format!("wamid.HBgM{id}AA=="),
        }
    }

    /// As WhatsApp spells it.
    fn plain(self, id: &str) -> Option<String> {
        Some(match self {
            Self::Plain => id.to_owned(),
            Self::Parted => id.replace(['.', '-'], ""),
            Self::Wamid => id.strip_prefix("wamid.HBgM")?.strip_suffix("AA==")?.to_owned(),
        })
    }
}

/// What a gateway keeps of a message and tells of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    pub(crate) order: Order,
    pub(crate) ids: Ids,
    /// What it tells of a whole account, where it does.
    pub(crate) account: Option<Account>,
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
        let in_chat = |message: &Message| if by_lid { message.in_lid_chat } else { message.in_phone_chat };
        let messages = self.stored(&person).into_iter().filter(in_chat);
        let mut chat: Vec<Stored> = messages.map(|message| self.seen(&person, message, by_lid)).collect();
        chat.sort_by_key(|stored| {
            let at = match self.keeping.order {
                Order::Inserted => stored.message.stored_at,
                Order::Sent => stored.readable_at,
            };
            Reverse((at, stored.row))
        });
        chat.truncate(limit);
        chat
    }

    /// The newest of what is stored under this address, as far as they are among the hundred that were kept last: more than that a gateway
    /// gives nobody at once.
    pub(crate) fn newest(&self, address: &str, limit: usize) -> Vec<Stored> {
        let mut chat = self.chat(address, limit.max(100));
        chat.sort_by_key(|stored| Reverse(stored.readable_at));
        chat.truncate(limit);
        chat
    }

    /// Everything the gateway stored of a person, whatever chat it is in, oldest sent first.
    pub(crate) fn stored(&self, person: &Person) -> Vec<Message> {
        self.spelled(messages::draw_all(&self.population, self.seed, person))
    }

    /// What only the phone holds of a person, oldest first.
    pub(crate) fn older(&self, person: &Person) -> Vec<Message> {
        if self.population.older_on_phone == 0 {
            return Vec::new();
        }
        let stored = messages::draw_all(&self.population, self.seed, person);
        let Some(first) = stored.first() else { return Vec::new() };
        self.spelled(messages::draw_older(&self.population, self.seed, person, first.sent_at))
    }

    /// Everything the phone holds of a person, oldest first.
    pub(crate) fn thread(&self, person: &Person) -> Vec<Message> {
        let mut thread = self.older(person);
        thread.extend(self.stored(person));
        thread.sort_by_key(|message| (message.sent_at, message.ordinal));
        thread
    }

    /// The message with this id, whose it is, and whether the gateway stored it.
    pub(crate) fn find(&self, id: &str) -> Option<(Person, Message, bool)> {
        let plain = self.keeping.ids.plain(id)?;
        let number = messages::person_behind(self.seed, &plain).filter(|number| *number < self.population.contacts)?;
        let person = Person::draw(&self.population, self.seed, number);
        let found = |messages: Vec<Message>| messages.into_iter().find(|message| message.id == id);
        let (message, stored) = match found(self.stored(&person)) {
            Some(message) => (message, true),
            None => (found(self.older(&person))?, false),
        };
        Some((person, message, stored))
    }

    /// A message as it is seen from one address.
    pub(crate) fn seen(&self, person: &Person, message: Message, by_lid: bool) -> Stored {
        Stored {
            row: self.row(person, &message, by_lid),
            readable_at: match self.keeping.order {
                Order::Inserted => message.readable_at(),
                Order::Sent => message.sent_at.trunc_subsecs(0),
            },
            message,
        }
    }

    /// The phone of a person of whom the gateway knows the LID only.
    pub(crate) fn hidden_phone(&self, person: &Person) -> Option<String> {
        person.phone_jid.is_none().then(|| people::phone_jid(self.seed, person.number))
    }

    /// What is told of a whole account, where something is.
    pub(crate) fn account(&self) -> Option<Account> {
        self.keeping.account
    }

    /// How many people there are.
    pub(crate) fn crowd(&self) -> u32 {
        self.population.contacts
    }

    /// The person with this number.
    pub(crate) fn numbered(&self, number: u32) -> Person {
        Person::draw(&self.population, self.seed, number)
    }

    fn spelled(&self, mut messages: Vec<Message>) -> Vec<Message> {
        let ids = self.keeping.ids;
        for message in &mut messages {
            message.id = ids.spell(&message.id);
            message.quoted = message.quoted.as_deref().map(|quoted| ids.spell(quoted));
        }
        messages
    }

    fn row(&self, person: &Person, message: &Message, by_lid: bool) -> u64 {
        let rows_per_person = 2 * u64::from(self.population.messages_max);
        let row = 1 + u64::from(person.number) * rows_per_person + 2 * u64::from(message.ordinal) + u64::from(by_lid);
        // Rows of what came later stand behind all others, and no two of them are the same.
        if messages::is_older(message) { row + (u64::from(person.number) << 34) } else { row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping(ids: Ids) -> Keeping {
        Keeping { order: Order::Inserted, ids, account: None }
    }

    #[test]
    fn every_message_is_found_by_its_id_however_it_is_spelled() {
        let population = Population { contacts: 40, older_on_phone: 6, ..Population::default() };
        for ids in [Ids::Plain, Ids::Parted, Ids::Wamid] {
            let archive = Archive::new(population.clone(), 2, keeping(ids));
            for person in archive.draw_people() {
                for (messages, stored) in [(archive.stored(&person), true), (archive.older(&person), false)] {
                    for message in messages {
                        assert_eq!(archive.find(&message.id), Some((person.clone(), message, stored)));
                    }
                }
            }
            for nobody in ["", "AC", "3EB0000000000000000000", "wamid.HBgMAC00AA=="] {
                assert_eq!(archive.find(nobody), None, "{nobody}");
            }
        }
    }

    #[test]
    fn everybody_is_found_under_each_of_their_addresses_and_nobody_else() {
        let mixed = Population { contacts: 3_000, share_lid_only: 0.2, share_paired: 0.2, ..Population::default() };
        let (archive, other) =
            (Archive::new(mixed.clone(), 3, keeping(Ids::Plain)), Archive::new(mixed, 4, keeping(Ids::Plain)));
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
