//! What follows from the scripts' answers alone, and whether these keep what was promised.

use std::collections::BTreeMap;

use sincro_core::{
    channel::{ChannelId, PausedBy},
    job::JobId,
    limit,
    notice::{ChannelRule, LaneState, Notice},
    schedule::Ruling,
    verdict::Rest,
};
use sincro_queue::steps::{Batch, ClaimedJob, Ticket};

use super::{
    broken::{Broken, Kept, keep},
    permits::Permits,
    places::{Hold, Place, Places},
    turns::{Class, Turns},
    twin::{Question, Settled, micros},
};

/// Urgent calls of a channel in a row; then one of its bulk jobs may come in the turn of an urgent one.
const URGENT_RUN: u32 = 9;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) places: Places,
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    servers: BTreeMap<String, Server>,
    turns: Turns,
}

#[derive(Debug, Default)]
struct Server {
    version: i64,
    permits: Permits,
}

#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) server: String,
    pub(crate) paused: Option<PausedBy>,
    version: i64,
    ruled_at: i64,
    permits: Permits,
    urgent_run: u32,
}

impl Tally {
    pub(crate) fn apply(&mut self, now: i64, notice: &Notice, applied: bool) {
        self.rule(now, &notice.channel);
        if let Some(news) = notice.lane.as_ref().filter(|_| applied) {
            for hold in self.places.apply(now, notice.channel.id, news) {
                self.release(&hold);
            }
        }
        self.note_all(now);
    }

    fn rule(&mut self, now: i64, rule: &ChannelRule) {
        let server = self.servers.entry(rule.server.clone()).or_default();
        if rule.server_version > server.version {
            server.version = rule.server_version;
            server.permits.rule(rule.server_limit.as_ref(), now);
        }
        let channel = self.channels.entry(rule.id).or_default();
        if rule.version <= channel.version {
            return;
        }
        let from = std::mem::replace(&mut channel.server, rule.server.clone());
        (channel.version, channel.ruled_at) = (rule.version, now);
        channel.paused = rule.paused.as_ref().map(|pause| pause.by);
        channel.permits.rule(Some(&rule.limit), now);
        if from != rule.server {
            channel.permits.forget_rest();
            let out = channel.permits.out;
            self.turns.move_away(rule.id);
            self.servers.get_mut(&rule.server).unwrap().permits.out += out;
            if let Some(from) = self.servers.get_mut(&from) {
                from.permits.out -= out;
            }
        }
    }

    /// An answer to a new question.
    pub(crate) fn claim(&mut self, now: i64, question: Question, batch: &Batch) -> Kept {
        for (_, hold) in self.places.wake_up(now) {
            self.release(&hold);
        }
        self.note_all(now);
        let mut bulk = 0;
        for job in &batch.jobs {
            bulk += usize::from(!self.give(now, question, batch.ticket, job)?);
        }
        let fits = batch.jobs.len() <= question.max && bulk <= question.max_bulk;
        keep("nobody_gets_more_than_was_asked_for", fits, || format!("{} jobs, {bulk} bulk", batch.jobs.len()))?;
        self.note_all(now);
        let bulk_room = bulk < question.max_bulk;
        let passed_over = |class| (class == Class::Urgent || bulk_room) && batch.jobs.len() < question.max;
        for (id, channel) in &self.channels {
            for class in [Class::Urgent, Class::Bulk] {
                let ready =
                    self.could_be_served(now, *id, class) && self.servers[&channel.server].permits.surely_opens(now);
                keep("no_ready_channel_is_passed_over_longer_than_its_round", !(ready && passed_over(class)), || {
                    format!("{id} could be served, and the worker has room for {class:?} work")
                })?;
            }
        }
        Ok(())
    }

    /// A row of the answer. Returns whether it is urgent.
    fn give(&mut self, now: i64, question: Question, ticket: Ticket, job: &ClaimedJob) -> Kept<bool> {
        let urgent = self.check_place(job)?;
        let hold = Hold {
            sync: job.sync,
            channel: job.channel,
            attempt: job.attempt,
            ticket,
            expires: now + micros(question.lease),
        };
        let before = self.places.held.insert(job.job, hold);
        keep("no_job_is_in_two_places", before.is_none(), || format!("{} is at two workers", job.job))?;
        let channel = self.channels.get_mut(&job.channel).unwrap();
        let server = self.servers.get_mut(&channel.server).unwrap();
        for (level, permits) in [("channel", &mut channel.permits), ("server", &mut server.permits)] {
            if let Some(exceeded) = permits.take(now, ticket) {
                let seen = format!("{level} of {}: {exceeded}", job.channel);
                return Err(Broken { promise: "no_limit_is_exceeded", seen });
            }
        }
        let line = if urgent { Some(Class::Urgent) } else { (channel.urgent_run < URGENT_RUN).then_some(Class::Bulk) };
        channel.urgent_run = if urgent { channel.urgent_run + 1 } else { 0 };
        let (weight, server) = (channel.permits.weight(), channel.server.clone());
        let others = self.channels.iter().filter(|(id, other)| **id != job.channel && other.server == server);
        let others: Vec<ChannelId> = others.map(|(id, _)| *id).collect();
        if let Some(seen) = self.turns.serve(job.channel, line, weight, &others) {
            return Err(Broken { promise: "no_ready_channel_is_passed_over_longer_than_its_round", seen });
        }
        self.note(now, job.channel);
        Ok(urgent)
    }

    /// Whether a job may be given out; and whether it is urgent.
    fn check_place(&mut self, job: &ClaimedJob) -> Kept<bool> {
        let paused = self.channels[&job.channel].paused;
        let Some(sync) = job.sync else {
            let looked_at = job.job < 0 && job.attempt == 1 && paused == Some(PausedBy::Session);
            keep("nothing_that_is_paused_is_called", looked_at, || format!("{} for {paused:?}", job.job))?;
            return Ok(true);
        };
        let lane = &self.places.lanes[&sync];
        let open = lane.state == LaneState::Open && paused.is_none() && lane.channel == job.channel;
        keep("nothing_that_is_paused_is_called", open, || format!("{job:?} of {lane:?}, {paused:?}"))?;
        let urgent = lane.urgent;
        let Some((of, was)) = self.places.place_of(job.job) else {
            return Err(Broken { promise: "no_job_is_in_two_places", seen: format!("{} was never queued", job.job) });
        };
        let promise = if matches!(was, Place::Later(..)) { "no_job_comes_early" } else { "no_job_is_in_two_places" };
        let expected = (sync, Place::Waits(job.attempt - 1));
        keep(promise, (of, was) == expected, || format!("{} is given out, it was {was:?} of {of}", job.job))?;
        self.places.put(job.job, sync, Place::Held);
        Ok(urgent)
    }

    /// The answer to an earlier question once more.
    pub(crate) fn claim_again(&self, batch: &Batch) -> Kept {
        for job in &batch.jobs {
            let hold = self.places.held.get(&job.job);
            let same = hold.is_some_and(|hold| (hold.ticket, hold.attempt) == (batch.ticket, job.attempt));
            keep("no_job_is_in_two_places", same, || format!("{} is given again, it is {hold:?}", job.job))?;
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self, now: i64, settled: &[Settled], stale: &[JobId]) -> Kept {
        let mut late = Vec::new();
        for one in settled {
            match self.places.held.get(&one.job).copied().filter(|hold| hold.ticket == one.ticket) {
                Some(hold) => self.settle_one(now, one, &hold),
                None => late.push(one.job),
            }
        }
        keep("who_lost_a_job_changes_nothing", stale == late, || format!("{stale:?} were stale instead of {late:?}"))?;
        self.note_all(now);
        Ok(())
    }

    fn settle_one(&mut self, now: i64, settled: &Settled, hold: &Hold) {
        let Settled { job, ticket, ref ruling, used } = *settled;
        self.places.held.remove(&job);
        self.release(hold);
        let place = match ruling {
            Ruling::Done => Place::Over,
            Ruling::Delay(wait_us) => Place::Later(hold.attempt, now + wait_us),
            Ruling::Snooze(wait_us) => Place::Later(hold.attempt - 1, now + wait_us),
            _ => Place::Waits(hold.attempt - 1),
        };
        self.places.put_back(job, hold, place);
        let channel = self.channels.get_mut(&hold.channel).unwrap();
        let server = self.servers.get_mut(&channel.server).unwrap();
        let news = hold.ticket >= channel.ruled_at;
        if hold.sync.is_none() && *ruling == Ruling::Done && channel.paused == Some(PausedBy::Session) && news {
            channel.paused = None;
        }
        for permits in [&mut channel.permits, &mut server.permits] {
            match ruling {
                _ if !used => permits.give_back(ticket),
                Ruling::Done | Ruling::Next => permits.answer_well(ticket),
                _ => {}
            }
        }
        match ruling {
            Ruling::Rest(Rest::Cooldown { level, wait, grows, slower, .. }) => {
                let resting = if *level == limit::Level::Server { &mut server.permits } else { &mut channel.permits };
                resting.rest(now, micros(*wait), *grows, *slower);
            }
            Ruling::Rest(Rest::Pause(pause)) => {
                let weaker = channel.paused.is_none() || channel.paused == Some(PausedBy::Session);
                if weaker && ticket >= channel.ruled_at {
                    channel.paused = Some(pause.by);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn renew(&mut self, now: i64, lease_us: i64, claims: &[(JobId, Ticket)], lost: &[JobId]) -> Kept {
        let mut late = Vec::new();
        for (job, ticket) in claims {
            match self.places.held.get_mut(job).filter(|hold| hold.ticket == *ticket) {
                Some(hold) => hold.expires = now + lease_us,
                None => late.push(*job),
            }
        }
        keep("who_lost_a_job_changes_nothing", lost == late, || format!("{lost:?} were lost instead of {late:?}"))
    }

    fn release(&mut self, hold: &Hold) {
        let channel = self.channels.get_mut(&hold.channel).unwrap();
        channel.permits.out -= 1;
        self.servers.get_mut(&channel.server).unwrap().permits.out -= 1;
    }

    fn could_be_served(&self, now: i64, id: ChannelId, class: Class) -> bool {
        let channel = &self.channels[&id];
        let has_work = self.places.has_work(id, class == Class::Urgent);
        has_work && channel.paused.is_none() && channel.permits.surely_opens(now)
    }

    fn note(&mut self, now: i64, id: ChannelId) {
        for class in [Class::Urgent, Class::Bulk] {
            let could = self.could_be_served(now, id, class);
            self.turns.note(id, class, could);
        }
    }

    fn note_all(&mut self, now: i64) {
        let ids: Vec<ChannelId> = self.channels.keys().copied().collect();
        for id in ids {
            self.note(now, id);
        }
    }
}
