//! The messages of a webhook, gathered chat by chat and told in batches that are never too long.
//!
//! What is left out is counted by reason like the rows of a page, and warned of once per webhook.

use std::collections::HashMap;

use sincro_core::{
    address::Address,
    contact::Contact,
    hook::{Batch, Event, Source, Told},
    message::Message,
    provider::Provider,
};

use crate::{
    events::PIECE,
    person,
    rows::{Flaw, Flaws},
};

/// Gathers and tells.
pub(crate) struct Batches<'t> {
    provider: Provider,
    name: &'t str,
    source: Source,
    tell: &'t mut dyn FnMut(Told),
    open: Vec<Batch>,
    /// Where a chat is among the open ones.
    places: HashMap<Address, usize>,
    /// Messages in all open batches.
    gathered: usize,
    flaws: Flaws,
    told: bool,
}

/// What came of a webhook's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Some were told.
    Something,
    /// There was nothing to tell.
    Nothing,
    /// There was something, and nobody could read it.
    Flaws,
}

impl Found {
    /// Says so where nothing else was told of the webhook.
    pub(crate) fn say(self, name: &str, tell: &mut dyn FnMut(Told)) {
        let event = match self {
            Self::Something => return,
            Self::Nothing => Event::Ignored,
            Self::Flaws => Event::Unknown,
        };
        tell(Told { name: name.to_owned(), event });
    }
}

impl<'t> Batches<'t> {
    /// `name` is the gateway's for the event.
    pub(crate) fn new(provider: Provider, name: &'t str, source: Source, tell: &'t mut dyn FnMut(Told)) -> Self {
        Self {
            provider,
            name,
            source,
            tell,
            open: Vec::new(),
            places: HashMap::new(),
            gathered: 0,
            flaws: Flaws::default(),
            told: false,
        }
    }

    /// Takes a message of a chat.
    pub(crate) fn add(&mut self, chat: Contact, message: Message) {
        if self.gathered >= PIECE {
            self.tell_open();
        }
        self.gathered += 1;
        self.chat(chat).messages.push(message);
    }

    /// Leaves a message out.
    pub(crate) fn leave_out(&mut self, flaw: Flaw) {
        self.flaws.note(flaw);
    }

    /// That was all of a chat. An answer that holds nothing is an answer as well.
    pub(crate) fn end_chat(&mut self, chat: Contact, exhausted: bool) {
        self.chat(chat).exhausted |= exhausted;
        self.tell_open();
    }

    /// Tells what is left.
    pub(crate) fn finish(mut self) -> Found {
        self.tell_open();
        if !self.flaws.is_empty() {
            let (provider, name) = (self.provider, self.name);
            let reasons = self.flaws.count(provider, "webhook");
            tracing::warn!(%provider, event = name, %reasons, "messages of a webhook were left out");
            if self.told {
                // What came with them is of use; for what was left out the webhook is kept.
                (self.tell)(Told { name: format!("left out of {name}"), event: Event::Unknown });
            }
        }
        match (self.told, self.flaws.is_empty()) {
            (true, _) => Found::Something,
            (false, true) => Found::Nothing,
            (false, false) => Found::Flaws,
        }
    }

    /// The open batch of a chat; whoever turns up with another address is known by both from then on.
    fn chat(&mut self, chat: Contact) -> &mut Batch {
        let addresses: Vec<Address> = [chat.phone(), chat.lid()].into_iter().flatten().cloned().collect();
        let place = addresses.iter().find_map(|address| self.places.get(address).copied()).unwrap_or(self.open.len());
        for address in addresses.iter().cloned() {
            self.places.entry(address).or_insert(place);
        }
        match self.open.get_mut(place) {
            None => {
                self.open.push(Batch { source: self.source, chat, messages: Vec::new(), exhausted: false });
            }
            Some(batch) => {
                let known = [batch.chat.phone(), batch.chat.lid()].into_iter().flatten().cloned();
                let name = batch.chat.name.clone().or(chat.name);
                if let Some(person) = person::under(known.chain(addresses).collect::<Vec<_>>(), name) {
                    batch.chat = person;
                }
            }
        }
        &mut self.open[place]
    }

    fn tell_open(&mut self) {
        self.places.clear();
        self.gathered = 0;
        for batch in self.open.drain(..) {
            self.told = true;
            (self.tell)(Told { name: self.name.to_owned(), event: Event::Messages(batch) });
        }
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::{clock, message::MessageKind};

    use super::*;

    const PHONE: &str = "5511988887777@s.whatsapp.net";
    const LID: &str = "190000000000001@lid";

    fn message(id: usize) -> Message {
        Message {
            id: id.to_string(),
            from_me: false,
            sent_at: clock::now(),
            kind: MessageKind::Text,
            text: None,
            status: None,
            media: None,
            payload: serde_json::from_str("{}").unwrap(),
        }
    }

    fn chat(addresses: &[&str]) -> Contact {
        person::under(addresses.iter().map(|address| address.parse().unwrap()), None).unwrap()
    }

    fn gathered(gather: impl FnOnce(&mut Batches<'_>)) -> (Vec<Batch>, Found) {
        let mut told = Vec::new();
        let mut tell = |one: Told| match one.event {
            Event::Messages(batch) => told.push(batch),
            other => panic!("{other:?}"),
        };
        let mut batches = Batches::new(Provider::Wsapi, "history", Source::History, &mut tell);
        gather(&mut batches);
        let found = batches.finish();
        (told, found)
    }

    #[test]
    fn a_long_chat_comes_in_batches_of_500_in_its_order() {
        let (told, found) = gathered(|batches| (0..1_201).for_each(|id| batches.add(chat(&[PHONE]), message(id))));
        assert_eq!(told.iter().map(|batch| batch.messages.len()).collect::<Vec<_>>(), [500, 500, 201]);
        assert_eq!((told[1].messages[0].id.as_str(), found), ("500", Found::Something));
    }

    #[test]
    fn messages_of_several_chats_in_any_order_come_chat_by_chat() {
        let other = "5511977776666@s.whatsapp.net";
        let (told, _) = gathered(|batches| {
            for (id, address) in [PHONE, other, PHONE, other].into_iter().enumerate() {
                batches.add(chat(&[address]), message(id));
            }
        });
        assert_eq!(told.iter().map(|batch| batch.messages.len()).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn whoever_turns_up_with_both_addresses_is_one_person() {
        let (told, _) = gathered(|batches| {
            batches.add(chat(&[PHONE]), message(0));
            batches.add(chat(&[PHONE, LID]), message(1));
            batches.add(chat(&[LID]), message(2));
        });
        let [batch] = &told[..] else { panic!("{told:?}") };
        assert_eq!((batch.messages.len(), batch.chat.lid().map(Address::as_str)), (3, Some(LID)));
    }

    #[test]
    fn a_webhook_of_which_some_was_left_out_is_kept_for_people() {
        let mut told = Vec::new();
        let mut tell = |one: Told| told.push(one);
        let mut batches = Batches::new(Provider::Positus, "history", Source::History, &mut tell);
        batches.add(chat(&[PHONE]), message(0));
        batches.leave_out(Flaw::UnknownChat);
        assert_eq!(batches.finish(), Found::Something);
        let names: Vec<_> = told.iter().map(|one| (one.name.as_str(), matches!(one.event, Event::Unknown))).collect();
        assert_eq!(names, [("history", false), ("left out of history", true)]);
    }

    #[test]
    fn an_end_without_messages_is_told_and_a_webhook_of_flaws_alone_is_not_understood() {
        let (told, found) = gathered(|batches| batches.end_chat(chat(&[LID]), true));
        assert!(told[0].exhausted && told[0].messages.is_empty());
        assert_eq!(found, Found::Something);
        assert_eq!(gathered(|batches| batches.leave_out(Flaw::WithoutId)).1, Found::Flaws);
        assert_eq!(gathered(|_| ()).1, Found::Nothing);
    }
}
