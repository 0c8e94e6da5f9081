//! Whose turn it is: nobody who can be served is passed over for longer than one round.
//!
//! A call is worth 1/weight of its channel. While a channel waits that can be served, each other channel of its server
//! may be served for as much as the waiting one's own last call was worth, and for the one call that goes beyond; a
//! channel that was not served yet lets each other go first once.

use std::collections::BTreeMap;

use sincro_core::channel::ChannelId;

/// What a call is worth at weight 1.
const CALL: i64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// What the last call of a channel was worth, behind the server where it is now.
    last: BTreeMap<ChannelId, i64>,
    /// Who waits with work of a class, and for how much each other was served meanwhile.
    waiting: BTreeMap<(ChannelId, Class), BTreeMap<ChannelId, i64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Urgent,
    Bulk,
}

impl Turns {
    /// Whether a channel could be served, at this moment.
    pub(crate) fn note(&mut self, channel: ChannelId, class: Class, could: bool) {
        if could {
            self.waiting.entry((channel, class)).or_default();
        } else {
            self.waiting.remove(&(channel, class));
        }
    }

    /// It has no part in the round of another server.
    pub(crate) fn move_away(&mut self, channel: ChannelId) {
        self.last.remove(&channel);
        self.stop_waiting(channel);
    }

    fn stop_waiting(&mut self, channel: ChannelId) {
        self.waiting.retain(|(waiting, _), _| *waiting != channel);
    }

    /// A channel is served, out of the round of that class if it is known; who was passed over for too long, and by how
    /// much.
    pub(crate) fn serve(
        &mut self,
        channel: ChannelId,
        class: Option<Class>,
        weight: i64,
        others: &[ChannelId],
    ) -> Option<String> {
        self.stop_waiting(channel);
        let worth = CALL / weight;
        self.last.insert(channel, worth);
        let class = class?;
        others.iter().find_map(|other| {
            let allowed = self.last.get(other).copied().unwrap_or(0);
            let so_far = self.waiting.get_mut(&(*other, class))?.entry(channel).or_default();
            let before = *so_far;
            *so_far += worth;
            (before > allowed).then(|| {
                format!("{other} waits with {class:?} work, {channel} was served for {before}, allowed are {allowed}")
            })
        })
    }
}
