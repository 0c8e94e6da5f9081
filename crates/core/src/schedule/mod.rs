//! Which job may be claimed next, and when: the queue's rules as a model of their own, under a clock of the caller's.
//!
//! The queue carries these rules out on Redis, in Lua; this is what it is compared with, step by step, and what computes
//! ahead how long planned work will take. All times are microseconds, all arithmetic is whole numbers.
//!
//! | module | what it holds |
//! |---|---|
//! | `level` | the limiter of a channel or a server |
//! | `lane` | the jobs of one sync |
//! | `channel` | a channel's level, pause and lanes |
//! | `line` | who is served when: rounds of channels, lines of servers |
//! | `apply` | what the ledger tells |
//! | `claim` | jobs together with their permits |
//! | `settle` | what becomes of them |
//! | `text` | the order of numbers in Redis |

mod apply;
mod channel;
mod claim;
mod lane;
mod level;
mod line;
mod settle;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

pub use claim::{Batch, Given, HeldBack};
pub use level::{FULL_PACE, Level, Slot, Why};
pub use settle::{Ruling, Settlement};

use self::{
    channel::Channel,
    lane::{Entry, Lane},
    line::{Class, Server},
    text::Text,
};
use crate::{
    channel::{ChannelId, PausedBy},
    job::JobId,
    sync::SyncId,
};

/// One shard of the queue: servers, their channels, the lanes of these, and who holds what.
#[derive(Debug, Default)]
pub struct Schedule {
    servers: Vec<Server>,
    server_numbers: HashMap<Arc<str>, usize>,
    channels: Vec<Channel>,
    channel_numbers: HashMap<ChannelId, usize>,
    lanes: Vec<Lane>,
    lane_numbers: HashMap<SyncId, usize>,
    /// The servers of each class by the time from which they can serve it.
    ready: [BTreeSet<(i64, Arc<str>, usize)>; 2],
    /// The lanes with delayed jobs by the time of their first.
    delayed: BTreeSet<(i64, SyncId, usize)>,
    leases: BTreeSet<(i64, Text, JobId)>,
    held: HashMap<JobId, Hold>,
    /// The last that was given out.
    ticket: i64,
    probes: i64,
    /// Jobs that wait without being delayed.
    queued: i64,
    /// What the call under way has changed.
    touched: Vec<usize>,
    touched_servers: Vec<usize>,
}

/// Who holds a job.
#[derive(Debug, Clone, Copy)]
struct Hold {
    channel: usize,
    /// None: it is a look at the channel's session.
    lane: Option<usize>,
    attempt: i32,
    ticket: i64,
    expires: i64,
}

/// How many jobs are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for their turn.
    pub queued: i64,
    /// At workers, looks at sessions included.
    pub running: i64,
    /// Waiting for their next attempt.
    pub delayed: i64,
}

impl Schedule {
    /// An empty shard.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many jobs are where.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let delayed: usize = self.lanes.iter().map(|lane| lane.later.len()).sum();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Depth { queued: self.queued, running: count(self.held.len()), delayed: count(delayed) }
    }

    /// The jobs of a channel that workers hold, ascending.
    #[must_use]
    pub fn running(&self, channel: ChannelId) -> Vec<JobId> {
        let of_channel = |hold: &Hold| self.channels[hold.channel].id == channel;
        let mut jobs: Vec<JobId> = self.held.iter().filter(|(_, hold)| of_channel(hold)).map(|(job, _)| *job).collect();
        jobs.sort_unstable();
        jobs
    }

    /// The jobs that workers hold behind a server, ascending.
    #[must_use]
    pub fn running_at(&self, server: &str) -> Vec<JobId> {
        let at_server = |hold: &Hold| *self.servers[self.channels[hold.channel].server].key == *server;
        let mut jobs: Vec<JobId> = self.held.iter().filter(|(_, hold)| at_server(hold)).map(|(job, _)| *job).collect();
        jobs.sort_unstable();
        jobs
    }

    /// A channel's limiter.
    #[must_use]
    pub fn channel_level(&self, channel: ChannelId) -> Option<&Level> {
        self.channel_numbers.get(&channel).map(|number| &self.channels[*number].level)
    }

    /// A server's limiter.
    #[must_use]
    pub fn server_level(&self, server: &str) -> Option<&Level> {
        self.server_numbers.get(server).map(|number| &self.servers[*number].level)
    }

    /// How long a job is at its worker lately (µs); 0 before the first.
    #[must_use]
    pub fn hold_us(&self, server: &str) -> i64 {
        self.server_numbers.get(server).map_or(0, |number| self.servers[*number].hold_us)
    }

    /// Who or what paused a channel.
    #[must_use]
    pub fn paused(&self, channel: ChannelId) -> Option<PausedBy> {
        self.channel_numbers.get(&channel).and_then(|number| self.channels[*number].paused)
    }

    /// When the next call of a channel can be made, and which level decides that.
    #[must_use]
    pub fn next_slot(&self, channel: ChannelId, urgent: bool, now: i64) -> Option<(Slot, crate::limit::Level)> {
        let class = if urgent { Class::Urgent } else { Class::Bulk };
        self.channel_numbers.get(&channel).map(|number| self.slot_of(*number, class, now))
    }

    /// Takes a job from its holder.
    fn release(&mut self, job: JobId) -> Option<Hold> {
        let hold = self.held.remove(&job)?;
        self.leases.remove(&(hold.expires, Text::from(job), job));
        self.touch(hold.channel);
        let server = self.channels[hold.channel].server;
        self.channels[hold.channel].level.running -= 1;
        self.servers[server].level.running -= 1;
        Some(hold)
    }

    /// Back to the front of its lane; dropped when the lane is gone.
    fn put_back(&mut self, lane: usize, job: JobId, attempts: i32, going_on: bool) {
        if self.lanes[lane].is_alive() {
            self.lanes[lane].put_back(job, attempts, going_on);
            self.queued += 1;
            self.file_lane(lane);
        }
    }

    /// Behind all that waits in its lane; dropped when the lane is gone.
    fn put_last(&mut self, lane: usize, job: JobId, attempts: i32) {
        if self.lanes[lane].is_alive() {
            self.lanes[lane].push(Entry::One { job, attempts, going_on: false });
            self.queued += 1;
            self.file_lane(lane);
        }
    }

    /// Not before `due`; dropped when the lane is gone.
    fn delay(&mut self, lane: usize, job: JobId, attempts: i32, due: i64) {
        if self.lanes[lane].is_alive() {
            self.lanes[lane].delay(job, attempts, due);
            self.file_delayed(lane);
        }
    }

    /// Puts a lane in its order among the lanes of its channel, or takes it out when nothing of it can be claimed.
    fn file_lane(&mut self, number: usize) {
        let lane = &mut self.lanes[number];
        let (was, wanted) = (lane.order, lane.wanted_order());
        lane.order = wanted;
        let channel = lane.channel;
        self.touch(channel);
        if was != wanted {
            let lanes = &mut self.channels[channel].lanes;
            was.map(|order| lanes.remove(&(order, number)));
            wanted.map(|order| lanes.insert((order, number)));
        }
    }

    /// Files a lane under the time of its first delayed job.
    fn file_delayed(&mut self, number: usize) {
        let lane = &mut self.lanes[number];
        let (was, first) = (lane.delayed_at, lane.later.first_key_value().map(|(key, _)| key.0));
        lane.delayed_at = first;
        let sync = lane.sync;
        was.map(|at| self.delayed.remove(&(at, sync, number)));
        first.map(|at| self.delayed.insert((at, sync, number)));
    }
}
