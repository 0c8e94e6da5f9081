//! Claims: jobs together with their permits, from the channel's level and from the server's.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Class, Hold, Schedule, Text,
    level::Why,
    line::{CLASSES, Server},
};
use crate::{channel::ChannelId, channel::PausedBy, job::JobId, sync::SyncId};

/// A claim stays short whatever is due.
const PER_CALL: usize = 256;
/// Servers that one claim looks at for one class.
const RING: usize = 1_000;
/// Urgent calls in a row; the next is a bulk one, if one waits.
const URGENT_RUN: u32 = 9;

/// A claim's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Fences the jobs; 0 when none was given.
    pub ticket: i64,
    /// In the order in which they were given.
    pub jobs: Vec<Given>,
    /// Until the next claim like this one can succeed (µs); none when only news can help.
    pub wait: Option<i64>,
    /// Why it is not more; none when it is as many as were asked for.
    pub held_back: Option<HeldBack>,
}

/// A job that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Below zero it is a look at the channel's session.
    pub job: JobId,
    /// Counts from 1.
    pub attempt: i32,
    /// None for a look at the session.
    pub sync: Option<SyncId>,
    /// Its channel.
    pub channel: ChannelId,
    /// Whether it came from an urgent lane; looks at sessions do as well.
    pub urgent: bool,
    /// Between two calls, by the tightest of the limits that admitted it (µs); 0 without any.
    pub spacing_us: i64,
}

/// What holds a shard back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    /// The first in line waits for the slot of a rate.
    Rate,
    /// It rests.
    Cooldown,
    /// Every channel with work is paused or at its concurrency.
    Channel,
    /// Nothing is queued.
    Idle,
}

/// A claim under way.
struct Run {
    now: i64,
    max: usize,
    bulk_left: usize,
    ticket: i64,
    expires: i64,
    jobs: Vec<Given>,
}

/// A server in the ring of a class.
struct Visit {
    server: usize,
    /// How many picks are left before the next server's turn.
    turn: i64,
}

impl Schedule {
    /// Claims at most `max` jobs, at most `max_bulk` of them bulk, under a lease (µs).
    pub fn claim(&mut self, now: i64, max: usize, max_bulk: usize, lease_us: i64) -> Batch {
        self.promote_due(now);
        self.recover_expired(now);
        self.place_touched(now, 0);
        let ticket = now.max(self.ticket + 1);
        let bulk_left = max_bulk.min(max);
        let mut run = Run { now, max, bulk_left, ticket, expires: now + lease_us, jobs: Vec::new() };
        for class in CLASSES {
            self.serve(class, &mut run);
        }
        if !run.jobs.is_empty() {
            self.ticket = ticket;
        }
        let picks = i64::try_from(run.jobs.len()).unwrap_or(i64::MAX);
        self.place_touched(now, picks);
        let (wait, held_back) = self.outlook(&run);
        Batch { ticket: if picks == 0 { 0 } else { ticket }, jobs: run.jobs, wait, held_back }
    }

    /// The answer to a claim once more, for whoever may not have received it: those of its jobs that are still held.
    #[must_use]
    pub fn claim_again(&self, now: i64, max: usize, max_bulk: usize, answer: &Batch) -> Batch {
        let still_held = |given: &&Given| self.held.get(&given.job).is_some_and(|hold| hold.ticket == answer.ticket);
        let as_now = |given: &Given| Given { spacing_us: self.spacing_us(self.held[&given.job].channel), ..*given };
        let jobs = answer.jobs.iter().filter(still_held).map(as_now).collect();
        let run = Run { now, max, bulk_left: max_bulk.min(max), ticket: answer.ticket, expires: 0, jobs };
        let (wait, held_back) = self.outlook(&run);
        Batch { ticket: answer.ticket, jobs: run.jobs, wait, held_back }
    }

    fn promote_due(&mut self, now: i64) {
        let mut left = PER_CALL;
        while left > 0 {
            let Some(&(_, _, lane)) = self.delayed.first().filter(|first| first.0 <= now) else { return };
            let due = self.lanes[lane].take_due(now, left);
            self.file_delayed(lane);
            left -= due.len().max(1);
            // The one that was due first comes to stand in front.
            for (job, attempts) in due.into_iter().rev() {
                self.put_back(lane, job, attempts, false);
            }
        }
    }

    fn recover_expired(&mut self, now: i64) {
        for _ in 0..PER_CALL {
            let Some(&(_, _, job)) = self.leases.first().filter(|first| first.0 <= now) else { return };
            let Some(hold) = self.release(job) else { return };
            if let Some(lane) = hold.lane {
                self.put_back(lane, job, hold.attempt, false);
            }
        }
    }

    /// Goes round the servers whose time has come, earliest first, until enough is claimed or nothing is left.
    fn serve(&mut self, class: Class, run: &mut Run) {
        let open = self.ready[class as usize].iter().take_while(|(at, _, _)| *at <= run.now).take(RING);
        let visit = |(_, _, server): &(i64, Arc<str>, usize)| Visit {
            server: *server,
            turn: self.servers[*server].level.weight(),
        };
        let mut ring: VecDeque<Visit> = open.map(visit).collect();
        while run.jobs.len() < run.max && (class == Class::Urgent || run.bulk_left > 0) {
            let Some(mut visit) = ring.pop_front() else { return };
            self.touch_server(visit.server);
            if !self.pick(visit.server, class, run) {
                continue;
            }
            visit.turn -= 1;
            if visit.turn > 0 {
                ring.push_front(visit);
            } else {
                visit.turn = self.servers[visit.server].level.weight();
                ring.push_back(visit);
            }
        }
    }

    /// Gives one job of a server out: of the line that is asked for, or after many urgent ones of the bulk line.
    fn pick(&mut self, server: usize, class: Class, run: &mut Run) -> bool {
        let level = &self.servers[server].level;
        if !level.slot().is_open(run.now) {
            return false;
        }
        let bulk_first = class == Class::Urgent && run.lets_bulk_go_first(level.urgent_run);
        bulk_first && self.pick_from(server, Class::Bulk, run) || self.pick_from(server, class, run)
    }

    /// Gives one job of a line out, of the channel whose turn it is.
    fn pick_from(&mut self, server: usize, class: Class, run: &mut Run) -> bool {
        self.promote(server, class, run.now);
        let Some(channel) = self.next_in_round(server, class, run.now) else { return false };
        self.touch(channel);
        let given = self.take(channel, class, run);
        if !given.urgent {
            run.bulk_left -= 1;
        }
        run.jobs.push(given);
        self.spend(server, channel, given.urgent, run);
        self.pass_turn(channel, class, run.now);
        self.servers[server].picked = i64::try_from(run.jobs.len()).ok();
        true
    }

    /// The next job of a channel that has one: a look at its session, or the front of its first lane.
    fn take(&mut self, number: usize, class: Class, run: &Run) -> Given {
        let channel = &self.channels[number];
        let (id, yields) = (channel.id, run.lets_bulk_go_first(channel.level.urgent_run));
        let first_lane = if channel.paused == Some(PausedBy::Session) {
            None
        } else if class == Class::Urgent && yields && channel.has_work(Class::Bulk) {
            channel.first_lane(Class::Bulk)
        } else {
            channel.first_lane(class)
        };
        let popped = first_lane.and_then(|lane| self.lanes[lane].pop().map(|popped| (lane, popped)));
        let (job, lane, attempt) = if let Some((lane, (job, attempts))) = popped {
            self.queued -= 1;
            self.file_lane(lane);
            (job, Some(lane), attempts + 1)
        } else {
            self.probes += 1;
            (-self.probes, None, 1)
        };
        let hold = Hold { channel: number, lane, attempt, ticket: run.ticket, expires: run.expires };
        self.held.insert(job, hold);
        self.leases.insert((run.expires, Text::from(job), job));
        let lane = lane.map(|lane| &self.lanes[lane]);
        let urgent = lane.is_none_or(|lane| lane.urgent);
        let sync = lane.map(|lane| lane.sync);
        Given { job, attempt, sync, channel: id, urgent, spacing_us: self.spacing_us(number) }
    }

    fn spacing_us(&self, channel: usize) -> i64 {
        let channel = &self.channels[channel];
        channel.level.effective_interval_us().max(self.servers[channel.server].level.effective_interval_us())
    }

    fn spend(&mut self, server: usize, channel: usize, urgent: bool, run: &Run) {
        let channel = &mut self.channels[channel];
        channel.level.spend(run.now, run.ticket);
        let server = &mut self.servers[server].level;
        server.spend(run.now, run.ticket);
        for level in [&mut channel.level, server] {
            level.urgent_run = if urgent { level.urgent_run + 1 } else { 0 };
        }
    }

    /// Until a claim can succeed (µs), for those who take bulk work as well; none when only news can help.
    #[must_use]
    pub fn wait(&self, now: i64) -> Option<i64> {
        self.wait_of(now, true)
    }

    /// When the first server in line can give something, and when the first delayed job or lease is due (µs); for those
    /// who take bulk work as well, and for those who do not.
    #[must_use]
    pub fn next_times(&self, bulk: bool) -> (Option<i64>, Option<i64>) {
        let due = [self.delayed.first().map(|(at, _, _)| *at), self.leases.first().map(|(at, _, _)| *at)];
        (self.first_in_line(bulk).map(|(at, _)| at), due.into_iter().flatten().min())
    }

    /// The time from which it can give something, and the server.
    fn first_in_line(&self, bulk: bool) -> Option<(i64, usize)> {
        let [urgent, bulk] = [Some(Class::Urgent), bulk.then_some(Class::Bulk)]
            .map(|class| class.and_then(|class| self.ready[class as usize].first()));
        // Of two with the same time the urgent one.
        let first = urgent.into_iter().chain(bulk).min_by_key(|(at, _, _)| *at);
        first.map(|(at, _, server)| (*at, *server))
    }

    fn wait_of(&self, now: i64, bulk: bool) -> Option<i64> {
        let (line, due) = self.next_times(bulk);
        line.into_iter().chain(due).min().map(|at| (at - now).max(0))
    }

    /// Until the next claim of this worker can succeed, and what holds the shard back.
    fn outlook(&self, run: &Run) -> (Option<i64>, Option<HeldBack>) {
        let (wait, first) = (self.wait_of(run.now, run.bulk_left > 0), self.first_in_line(run.bulk_left > 0));
        let held_back = if run.jobs.len() >= run.max || run.bulk_left == 0 {
            None
        } else if let Some((_, server)) = first {
            Some(self.what_binds(&self.servers[server], run.now))
        } else {
            Some(if self.queued > 0 { HeldBack::Channel } else { HeldBack::Idle })
        };
        (wait, held_back)
    }

    /// What keeps the first server in line from giving more now.
    fn what_binds(&self, server: &Server, now: i64) -> HeldBack {
        let slot = server.level.slot();
        let mut why = slot.why;
        if slot.is_open(now) {
            for class in CLASSES {
                if let Some((_, _, channel)) = server.lines[class as usize].due.first() {
                    why = self.channels[*channel].slot(class).why;
                }
            }
        }
        match why {
            Why::Cooldown | Why::Session => HeldBack::Cooldown,
            _ => HeldBack::Rate,
        }
    }
}

impl Run {
    /// Bulk still moves: after so many urgent calls in a row a level lets one bulk call go first.
    const fn lets_bulk_go_first(&self, urgent_run: u32) -> bool {
        urgent_run >= URGENT_RUN && self.bulk_left > 0
    }
}
