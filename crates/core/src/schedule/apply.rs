//! What the ledger tells: rules of channels and servers, lanes and their jobs.

use std::{mem, sync::Arc};

use super::{
    Schedule,
    channel::Channel,
    lane::{Entry, Lane},
    level::Level,
    line::Server,
};
use crate::{
    channel::{ChannelId, PausedBy},
    limit::LevelLimit,
    notice::{self, ChannelRule, LaneNotice, LaneState},
    sync::SyncId,
};

/// The first look at a lost session comes so long after it was lost (µs).
pub(super) const FIRST_PROBE_US: i64 = 2_000_000;

impl Schedule {
    /// Applies a notice: the channel's rule, then the lane and its new jobs. Applied twice, it changes nothing.
    ///
    /// Returns false for a notice about a lane that an earlier one is missing for: of the lane nothing changed.
    pub fn apply(&mut self, now: i64, rule: &ChannelRule, news: Option<&LaneNotice>) -> bool {
        let channel = self.apply_rule(now, rule);
        self.touch(channel);
        let applied = news.is_none_or(|news| self.apply_lane(now, channel, news));
        self.place_touched(now, 0);
        applied
    }

    /// A rest that is known from elsewhere: of a channel, or of its whole server.
    pub fn rest(&mut self, now: i64, server: &str, channel: Option<ChannelId>, until: i64) {
        if let Some(level) = self.level_mut(server, channel) {
            level.rest(until);
        }
        self.place_touched(now, 0);
    }

    /// A rate that was lowered before: of a channel, or of its whole server.
    pub(crate) fn slow_down(&mut self, now: i64, server: &str, channel: Option<ChannelId>, pace: i64) {
        if let Some(level) = self.level_mut(server, channel) {
            level.slow_down(pace, now);
        }
        self.place_touched(now, 0);
    }

    /// None for a channel that is not known.
    fn level_mut(&mut self, server: &str, channel: Option<ChannelId>) -> Option<&mut Level> {
        if let Some(id) = channel {
            let number = *self.channel_numbers.get(&id)?;
            self.touch(number);
            return Some(&mut self.channels[number].level);
        }
        let number = self.server_number(server);
        self.touch_server(number);
        Some(&mut self.servers[number].level)
    }

    fn apply_rule(&mut self, now: i64, rule: &ChannelRule) -> usize {
        let server = self.server_number(&rule.server);
        if rule.server_version > self.servers[server].version {
            self.servers[server].version = rule.server_version;
            self.rule_server(now, server, rule.server_limit.as_ref());
        }
        let number = *self.channel_numbers.entry(rule.id).or_insert_with(|| {
            self.channels.push(Channel::new(rule.id, server));
            self.channels.len() - 1
        });
        if rule.version <= self.channels[number].version {
            return number;
        }
        self.move_to(number, server);
        let channel = &mut self.channels[number];
        (channel.version, channel.ruled_at) = (rule.version, now);
        channel.level.set_rule(Some(&rule.limit), now);
        let paused = rule.paused.as_ref().map(|pause| pause.by);
        if paused != channel.paused {
            channel.stand_still(paused, now);
        }
        number
    }

    fn rule_server(&mut self, now: i64, server: usize, limit: Option<&LevelLimit>) {
        self.servers[server].level.set_rule(limit, now);
        self.touch_server(server);
    }

    pub(super) fn server_number(&mut self, key: &str) -> usize {
        if let Some(number) = self.server_numbers.get(key) {
            return *number;
        }
        let key: Arc<str> = Arc::from(key);
        self.servers.push(Server::new(Arc::clone(&key)));
        self.server_numbers.insert(key, self.servers.len() - 1);
        self.servers.len() - 1
    }

    /// What workers hold of it moves with it.
    fn move_to(&mut self, number: usize, server: usize) {
        let before = self.channels[number].server;
        if before == server {
            return;
        }
        self.touch(number);
        self.leave_lines(number);
        let channel = &mut self.channels[number];
        // Tags count in the rounds of the server that it was at.
        (channel.server, channel.tags) = (server, [0; 2]);
        channel.level.forget_rest();
        self.servers[before].level.running -= channel.level.running;
        self.servers[server].level.running += channel.level.running;
        self.touch_server(server);
    }

    fn apply_lane(&mut self, now: i64, channel: usize, news: &LaneNotice) -> bool {
        let number = self.lane_number(news.sync, channel);
        let lane = &self.lanes[number];
        if lane.seq.is_some_and(|seq| news.seq <= seq) {
            return true;
        }
        let closes = news.state == LaneState::Closed;
        let follows = lane.seq.is_some_and(|seq| news.seq == seq + 1);
        let starts = news.opens && !lane.is_alive();
        if !(follows || starts || closes) {
            return false;
        }
        if closes {
            self.drop_waiting(number);
            self.lanes[number].state = LaneState::Closed;
        } else if news.opens {
            self.begin_life(now, number, channel, news);
        }
        let lane = &mut self.lanes[number];
        lane.seq = Some(news.seq);
        if lane.is_alive() {
            lane.state = news.state;
            self.add_jobs(now, number, &news.jobs);
        }
        self.file_lane(number);
        true
    }

    fn lane_number(&mut self, sync: SyncId, channel: usize) -> usize {
        *self.lane_numbers.entry(sync).or_insert_with(|| {
            self.lanes.push(Lane::unknown(sync, channel));
            self.lanes.len() - 1
        })
    }

    /// What an earlier life of the lane left is void: its results come too late for this one.
    fn begin_life(&mut self, now: i64, number: usize, channel: usize, news: &LaneNotice) {
        self.drop_waiting(number);
        let void: Vec<_> =
            self.held.iter().filter(|(_, hold)| hold.lane == Some(number)).map(|(job, _)| *job).collect();
        for job in void {
            self.release(job);
        }
        let lane = &mut self.lanes[number];
        (lane.channel, lane.urgent, lane.opened) = (channel, news.urgent, now);
        lane.state = news.state;
    }

    fn drop_waiting(&mut self, number: usize) {
        let lane = &mut self.lanes[number];
        self.queued -= mem::take(&mut lane.queued);
        lane.entries.clear();
        lane.later.clear();
        self.file_delayed(number);
        self.file_lane(number);
    }

    fn add_jobs(&mut self, now: i64, number: usize, jobs: &[notice::Entry]) {
        for entry in jobs {
            let lane = &mut self.lanes[number];
            let before = lane.queued;
            match *entry {
                notice::Entry::Span { first, last } => lane.push(Entry::Span { first, last }),
                notice::Entry::Tried { job, attempts, due_ms } if due_ms.saturating_mul(1_000) > now => {
                    self.delay(number, job, attempts, due_ms.saturating_mul(1_000));
                    continue;
                }
                notice::Entry::Tried { job, attempts, .. } => lane.push(Entry::One { job, attempts, going_on: false }),
            }
            self.queued += lane.queued - before;
        }
    }
}

impl Channel {
    /// Stops it, or lets it go on.
    pub(super) const fn stand_still(&mut self, by: Option<PausedBy>, now: i64) {
        self.paused = by;
        self.probes = 0;
        self.probe_at = now + FIRST_PROBE_US;
    }
}
