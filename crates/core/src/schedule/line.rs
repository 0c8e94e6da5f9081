//! The lines: of the channels of a server, and of the servers of the shard.
//!
//! A channel waits twice for its turn, once with urgent and once with bulk work (the classes): first for the time at
//! which its own level admits a call (`due`), then in the round of its server, ordered by tags. A call moves a channel's
//! tag on by what it is worth at the channel's weight, so that each gets its share whenever it is that it can be served;
//! and whoever was away starts from the tag that was served last, without a claim to what it missed. A server
//! stands in the shard's line under the time at which it can serve the class. Only what can be claimed, or will be at a
//! known time, is in any of these.

use std::{collections::BTreeSet, mem, sync::Arc};

use super::{
    Schedule,
    channel::Channel,
    level::{Level, Slot},
};
use crate::channel::ChannelId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Urgent = 0,
    Bulk = 1,
}

pub(super) const CLASSES: [Class; 2] = [Class::Urgent, Class::Bulk];
/// By so much a call moves the tag of a channel of weight 1.
const SERVICE: i64 = 1_000_000;
/// A claim stays short however many have come due.
const PROMOTED_AT_ONCE: usize = 256;

/// The channels of one server that wait with work of one class.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// By the time of their own slot.
    pub(super) due: BTreeSet<(i64, ChannelId, usize)>,
    /// By tag.
    pub(super) round: BTreeSet<(i64, ChannelId, usize)>,
    /// The tag that was served last.
    served_tag: i64,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) key: Arc<str>,
    pub(super) version: i64,
    pub(super) level: Level,
    pub(super) lines: [Line; 2],
    pub(super) hold_us: i64,
    /// Under which time it stands in the shard's lines.
    ready: [Option<i64>; 2],
    /// In this claim: the line's due channels are in the round; and which pick was the last here.
    promoted: [bool; 2],
    pub(super) picked: Option<i64>,
    pub(super) touched: bool,
}

impl Server {
    pub(super) fn new(key: Arc<str>) -> Self {
        Self {
            key,
            version: i64::MIN,
            level: Level::default(),
            lines: Default::default(),
            hold_us: 0,
            ready: [None; 2],
            promoted: [false; 2],
            picked: None,
            touched: false,
        }
    }

    /// When the first channel of a line can be served as far as the channels go.
    fn head(&self, class: Class) -> Option<i64> {
        let line = &self.lines[class as usize];
        if line.round.is_empty() { line.due.first().map(|first| first.0) } else { Some(0) }
    }
}

impl Line {
    fn enter_round(&mut self, channel: &mut Channel, number: usize, class: Class) {
        let tag = channel.tags[class as usize].max(self.served_tag);
        self.round.insert((tag, channel.id, number));
        channel.spots[class as usize].round = Some(tag);
    }

    fn leave_round(&mut self, channel: &mut Channel, number: usize, class: Class) {
        if let Some(tag) = channel.spots[class as usize].round.take() {
            self.round.remove(&(tag, channel.id, number));
        }
    }

    fn set_due(&mut self, channel: &mut Channel, number: usize, class: Class, due: Option<i64>) {
        let was = mem::replace(&mut channel.spots[class as usize].due, due);
        if was == due {
            return;
        }
        if let Some(at) = was {
            self.due.remove(&(at, channel.id, number));
        }
        if let Some(at) = due {
            self.due.insert((at, channel.id, number));
        }
    }
}

impl Schedule {
    pub(super) fn touch(&mut self, channel: usize) {
        if !mem::replace(&mut self.channels[channel].touched, true) {
            self.touched.push(channel);
        }
        self.touch_server(self.channels[channel].server);
    }

    pub(super) fn touch_server(&mut self, server: usize) {
        if !mem::replace(&mut self.servers[server].touched, true) {
            self.touched_servers.push(server);
        }
    }

    /// Puts whatever this call has touched where it belongs. `picks`: how many jobs the claim has given out.
    pub(super) fn place_touched(&mut self, now: i64, picks: i64) {
        while let Some(number) = self.touched.pop() {
            let waited = self.channels[number].waits();
            for class in CLASSES {
                self.place(number, class, now);
            }
            let channel = &mut self.channels[number];
            if channel.waits() && !waited && !channel.served {
                channel.level.wanted_at = now;
            }
            (channel.touched, channel.served) = (false, false);
        }
        while let Some(number) = self.touched_servers.pop() {
            self.file(number, now, picks);
            let server = &mut self.servers[number];
            (server.touched, server.promoted, server.picked) = (false, [false; 2], None);
        }
    }

    /// Puts a channel where it belongs among the channels of its server.
    fn place(&mut self, number: usize, class: Class, now: i64) {
        let channel = &mut self.channels[number];
        let line = &mut self.servers[channel.server].lines[class as usize];
        let slot = channel.slot(class);
        line.set_due(channel, number, class, slot.at.filter(|at| *at > now));
        if !slot.is_open(now) {
            line.leave_round(channel, number, class);
        } else if channel.spots[class as usize].round.is_none() {
            line.enter_round(channel, number, class);
        }
    }

    /// Takes the channels of a line into its round whose own slot has come.
    pub(super) fn promote(&mut self, server: usize, class: Class, now: i64) {
        if mem::replace(&mut self.servers[server].promoted[class as usize], true) {
            return;
        }
        for _ in 0..PROMOTED_AT_ONCE {
            let line = &mut self.servers[server].lines[class as usize];
            let Some(&(_, _, number)) = line.due.first().filter(|first| first.0 <= now) else { return };
            let channel = &mut self.channels[number];
            line.set_due(channel, number, class, None);
            line.enter_round(channel, number, class);
            self.touch(number);
        }
    }

    /// The channel whose turn it is, if any is left that can be served.
    pub(super) fn next_in_round(&mut self, server: usize, class: Class, now: i64) -> Option<usize> {
        loop {
            let line = &mut self.servers[server].lines[class as usize];
            let &(_, _, number) = line.round.first()?;
            let channel = &mut self.channels[number];
            if channel.slot(class).is_open(now) {
                return Some(number);
            }
            line.leave_round(channel, number, class);
            self.touch(number);
        }
    }

    /// A channel was served: it goes behind those who have had less for their weight.
    pub(super) fn pass_turn(&mut self, number: usize, class: Class, now: i64) {
        let channel = &mut self.channels[number];
        let line = &mut self.servers[channel.server].lines[class as usize];
        channel.served = true;
        let Some(tag) = channel.spots[class as usize].round else { return };
        line.leave_round(channel, number, class);
        line.served_tag = line.served_tag.max(tag);
        channel.tags[class as usize] = tag + SERVICE / channel.level.weight();
        if channel.slot(class).is_open(now) {
            line.enter_round(channel, number, class);
        }
    }

    /// Files a server in the shard's lines under the time at which it can serve the class.
    fn file(&mut self, number: usize, now: i64, picks: i64) {
        let server = &mut self.servers[number];
        let slot = server.level.slot();
        // Served in this order, servers stand in this order behind all who have waited longer.
        let mark = server.picked.map(|pick| now - picks + pick);
        let was_wanted = server.ready.iter().any(Option::is_some) && server.level.wanted_at <= now;
        // When the first of its channels wants a call.
        let mut first: Option<i64> = None;
        for class in CLASSES {
            let was = server.ready[class as usize];
            let head = slot.at.and_then(|_| server.head(class));
            first = first.into_iter().chain(head).min();
            let at = slot.at.and_then(|at| head.map(|head| head.max(at)));
            let at = match at {
                Some(at) if at > now => Some(at),
                // One that waits for a worker keeps its place.
                Some(_) if mark.is_none() && was.is_some_and(|was| was <= now) => was,
                Some(_) => Some(mark.unwrap_or(now)),
                None => None,
            };
            if at == was {
                continue;
            }
            let line = &mut self.ready[class as usize];
            if let Some(was) = was {
                line.remove(&(was, Arc::clone(&server.key), number));
            }
            if let Some(at) = at {
                line.insert((at, Arc::clone(&server.key), number));
            }
            server.ready[class as usize] = at;
        }
        match first {
            Some(at) if at > now => server.level.wanted_at = at,
            Some(_) if !was_wanted && mark.is_none() => server.level.wanted_at = now,
            _ => {}
        }
    }

    /// Takes a channel out of the lines of its server.
    pub(super) fn leave_lines(&mut self, number: usize) {
        let channel = &mut self.channels[number];
        for class in CLASSES {
            let line = &mut self.servers[channel.server].lines[class as usize];
            line.leave_round(channel, number, class);
            line.set_due(channel, number, class, None);
        }
    }

    /// When the next call of a channel can be made, and what decides that: its own level, or the server's.
    pub(super) fn slot_of(&self, number: usize, class: Class, now: i64) -> (Slot, crate::limit::Level) {
        let channel = &self.channels[number];
        let own = channel.slot(class);
        if own.is_open(now) {
            (self.servers[channel.server].level.slot(), crate::limit::Level::Server)
        } else {
            (own, crate::limit::Level::Channel)
        }
    }
}
