//! One channel: its level, its pause, its lanes, and where it stands in the lines of its server.

use std::collections::BTreeSet;

use super::{
    lane::Order,
    level::{Level, Slot, Why},
    line::Class,
};
use crate::{
    channel::{ChannelId, PausedBy},
    sync::SyncId,
};

/// No bulk lane comes before it.
const FIRST_BULK: Order = Order { bulk: true, starts: false, opened: i64::MIN, sync: SyncId::nil() };

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) server: usize,
    pub(super) version: i64,
    /// When the rule that holds was applied (µs).
    pub(super) ruled_at: i64,
    pub(super) level: Level,
    pub(super) paused: Option<PausedBy>,
    pub(super) probe_at: i64,
    pub(super) probes: u32,
    /// What it was served so far, in the time of the round of that class.
    pub(super) tags: [i64; 2],
    pub(super) spots: [Spot; 2],
    /// The lanes that something can be taken from, with their numbers.
    pub(super) lanes: BTreeSet<(Order, usize)>,
    pub(super) touched: bool,
    /// In this claim.
    pub(super) served: bool,
}

/// Where a channel stands in one line; at most one of them is set between two calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// It waits for its own slot, under this time.
    pub(super) due: Option<i64>,
    /// It waits for its turn, under this tag.
    pub(super) round: Option<i64>,
}

impl Channel {
    pub(super) fn new(id: ChannelId, server: usize) -> Self {
        Self {
            id,
            server,
            version: i64::MIN,
            ruled_at: 0,
            level: Level::default(),
            paused: None,
            probe_at: 0,
            probes: 0,
            tags: [0; 2],
            spots: [Spot::default(); 2],
            lanes: BTreeSet::new(),
            touched: false,
            served: false,
        }
    }

    /// Whether it stands in a line of its server.
    pub(super) fn waits(&self) -> bool {
        self.spots.iter().any(|spot| spot.due.is_some() || spot.round.is_some())
    }

    /// The lane that a job of that class would be taken from.
    pub(super) fn first_lane(&self, class: Class) -> Option<usize> {
        let first = match class {
            Class::Urgent => self.lanes.first().filter(|(order, _)| !order.bulk),
            Class::Bulk => self.lanes.range((FIRST_BULK, 0)..).next(),
        };
        first.map(|(_, lane)| *lane)
    }

    pub(super) fn has_work(&self, class: Class) -> bool {
        match class {
            Class::Urgent => self.lanes.first().is_some_and(|(order, _)| !order.bulk),
            Class::Bulk => self.lanes.last().is_some_and(|(order, _)| order.bulk),
        }
    }

    /// When its next call of that class may be made as far as its own level goes.
    pub(super) fn slot(&self, class: Class) -> Slot {
        match self.paused {
            Some(PausedBy::Operator | PausedBy::Gateway) => Slot::never(Why::Paused),
            Some(PausedBy::Session) if class != Class::Urgent || self.level.running > 0 => Slot::never(Why::Session),
            Some(PausedBy::Session) => {
                Slot { at: self.level.slot().at.map(|at| at.max(self.probe_at)), why: Why::Session }
            }
            None if !self.has_work(class) => Slot::never(Why::Idle),
            None => self.level.slot(),
        }
    }
}
