//! What happens next in a history, by lot.

use std::time::Duration;

use rand::{Rng as _, seq::IndexedRandom as _};
use sincro_core::{
    channel::{Pause, PausedBy},
    job::JobId,
    limit::Level,
    notice::{ChannelRule, Entry, LaneNotice, LaneState},
    schedule::Ruling,
    verdict::Rest,
};
use sincro_queue::steps::Ticket;
use uuid::Uuid;

use super::{
    broken::{Kept, keep},
    draw,
    ledger::SyncRow,
    places::Hold,
    twin::Settled,
    world::World,
};

impl World {
    pub(crate) async fn step(&mut self) -> Kept {
        self.now += draw::pass(&mut self.dice);
        match self.dice.random_range(0..100) {
            _ if self.ledger.syncs.is_empty() => self.open().await,
            0..12 => self.open().await,
            12..20 => self.steer().await,
            20..52 => self.ask().await,
            52..76 => self.give_back().await,
            76..79 => self.say_again().await,
            79..82 => self.hold_on().await,
            82..87 => self.limit_channel().await,
            87..90 => self.limit_server().await,
            90..97 => self.pause_or_resume().await,
            97..98 => self.come_early().await,
            _ => self.move_away().await,
        }
    }

    fn channel(&mut self) -> usize {
        self.dice.random_range(0..self.ledger.channels.len())
    }

    /// The channel's rule, or an old one that comes late.
    fn rule(&mut self, channel: usize) -> ChannelRule {
        let old = self.ledger.channels[channel].before.clone();
        old.filter(|_| self.dice.random_bool(0.1)).unwrap_or_else(|| self.ledger.rule(channel))
    }

    fn jobs(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for _ in 0..self.dice.random_range(0..3) {
            let jobs = if self.dice.random_bool(0.02) { 50 } else { self.dice.random_range(1..8) };
            let (first, last) = self.ledger.fresh_jobs(jobs);
            entries.push(Entry::Span { first, last });
        }
        for _ in 0..self.dice.random_range(0..3) {
            let (job, _) = self.ledger.fresh_jobs(1);
            entries.push(self.tried(job));
        }
        entries
    }

    fn tried(&mut self, job: JobId) -> Entry {
        let in_ms = self.dice.random_range(-2_000..4_000);
        let due_ms = if self.dice.random_bool(0.5) { 0 } else { self.now / 1_000 + in_ms };
        Entry::Tried { job, attempts: self.dice.random_range(1..4), due_ms }
    }

    /// A new sync.
    async fn open(&mut self) -> Kept {
        let channel = self.channel();
        let row = SyncRow {
            sync: Uuid::from_u128(self.dice.random()),
            channel,
            urgent: self.dice.random_bool(0.35),
            state: LaneState::Open,
            seq: 0,
        };
        self.ledger.syncs.push(row);
        let jobs = self.jobs();
        self.go_on(self.ledger.syncs.len() - 1, LaneState::Open, true, jobs).await
    }

    /// The next notice of some sync: more jobs, a pause, an end, or another life.
    async fn steer(&mut self) -> Kept {
        let sync = self.dice.random_range(0..self.ledger.syncs.len());
        let closed = self.ledger.syncs[sync].state == LaneState::Closed;
        let state = match self.dice.random_range(0..10) {
            _ if closed => LaneState::Open,
            0..5 => LaneState::Open,
            5..8 => LaneState::Paused,
            _ => LaneState::Closed,
        };
        let mut jobs = if state == LaneState::Closed { Vec::new() } else { self.jobs() };
        if closed {
            jobs.extend(self.retried(sync));
        }
        let opens = closed || state != LaneState::Closed && self.dice.random_bool(0.05);
        self.go_on(sync, state, opens, jobs).await
    }

    /// Some of what a sync had in its last life.
    fn retried(&mut self, sync: usize) -> Vec<Entry> {
        let places = &self.tally.places;
        let jobs = places.jobs_of(self.ledger.syncs[sync].sync).into_iter().filter(|_| self.dice.random_bool(0.3));
        let jobs: Vec<JobId> = jobs.collect();
        jobs.into_iter().map(|job| self.tried(job)).collect()
    }

    async fn go_on(&mut self, sync: usize, state: LaneState, opens: bool, jobs: Vec<Entry>) -> Kept {
        let row = &mut self.ledger.syncs[sync];
        (row.seq, row.state) = (row.seq + 1, state);
        let lane = LaneNotice { sync: row.sync, seq: row.seq, opens, urgent: row.urgent, state, jobs };
        let channel = row.channel;
        for _ in 0..if self.dice.random_bool(0.15) { 2 } else { 1 } {
            let rule = self.rule(channel);
            let applied = self.deliver(rule, Some(lane.clone())).await?;
            keep("no_job_is_lost", applied, || format!("{lane:?} is not applied"))?;
        }
        Ok(())
    }

    /// Of two notices of a sync the second comes first, and has to come once more.
    async fn come_early(&mut self) -> Kept {
        let sync = self.dice.random_range(0..self.ledger.syncs.len());
        let row = self.ledger.syncs[sync];
        if row.state == LaneState::Closed {
            return Ok(());
        }
        let jobs = self.jobs();
        let lane =
            LaneNotice { sync: row.sync, seq: row.seq + 2, opens: false, urgent: row.urgent, state: row.state, jobs };
        let early = self.deliver(self.ledger.rule(row.channel), Some(lane.clone())).await?;
        keep("nothing_is_applied_out_of_order", !early, || format!("{lane:?}"))?;
        self.go_on(sync, row.state, false, Vec::new()).await?;
        self.go_on(sync, row.state, false, lane.jobs).await
    }

    async fn ask(&mut self) -> Kept {
        let max = match self.dice.random_range(0..10) {
            0 => 0,
            1..4 => 1,
            4..9 => self.dice.random_range(2..12),
            _ => 100,
        };
        let max_bulk = if self.dice.random_bool(0.3) { self.dice.random_range(0..=max) } else { max };
        let again = self.dice.random_bool(0.1);
        self.claim(max, max_bulk, again).await.map(drop)
    }

    async fn give_back(&mut self) -> Kept {
        let part = draw::pick(&mut self.dice, &[0.3, 0.7, 1.0]);
        let held: Vec<(JobId, Hold)> = self.tally.places.held.iter().map(|(job, hold)| (*job, *hold)).collect();
        let kind = self.dice.random_range(0..8);
        let mut settled = Vec::new();
        for (job, hold) in held {
            if self.dice.random_bool(part) {
                let ruling = if hold.sync.is_none() { self.look_ruling() } else { self.ruling(kind) };
                let used = self.dice.random_bool(0.85);
                settled.push(Settled { job, ticket: hold.ticket, ruling, used });
            }
        }
        // The same twice in one call; and somebody who lost the job.
        if let Some(one) = settled.choose(&mut self.dice).cloned().filter(|_| self.dice.random_bool(0.1)) {
            settled.push(Settled { ticket: one.ticket - 1, ..one.clone() });
            settled.push(one);
        }
        self.settle(&settled).await
    }

    /// Batches that went well, and batches that did not.
    fn ruling(&mut self, kind: u32) -> Ruling {
        if kind < 3 {
            return draw::pick(&mut self.dice, &[Some(()), Some(()), None]).map_or(Ruling::Next, |()| Ruling::Done);
        }
        let wait = draw::wait(&mut self.dice);
        let wait_us = i64::try_from(wait.as_micros()).unwrap();
        match self.dice.random_range(0..30) {
            0..10 => Ruling::Done,
            10..15 => Ruling::Next,
            15..19 => Ruling::Delay(wait_us),
            19..22 => Ruling::Back,
            22..24 => Ruling::Snooze(wait_us),
            24..27 => self.cooldown(wait),
            27 => pause(PausedBy::Gateway),
            28 => pause(PausedBy::Session),
            _ => Ruling::StillLost,
        }
    }

    /// Of a look at a session.
    fn look_ruling(&mut self) -> Ruling {
        match self.dice.random_range(0..10) {
            0..4 => Ruling::StillLost,
            4..7 => Ruling::Done,
            7 => Ruling::Back,
            8 => self.cooldown(Duration::from_secs(3)),
            _ => pause(PausedBy::Gateway),
        }
    }

    fn cooldown(&mut self, wait: Duration) -> Ruling {
        Ruling::Rest(Rest::Cooldown {
            level: draw::pick(&mut self.dice, &[Level::Channel, Level::Channel, Level::Server]),
            wait,
            grows: self.dice.random_bool(0.5),
            slower: self.dice.random_bool(0.5),
            reason: "throttled",
            detail: "GET /chat: 429".to_owned(),
        })
    }

    /// Settlements are sent again, or by workers that lost their leases.
    async fn say_again(&mut self) -> Kept {
        let said: Vec<(JobId, Ticket)> = self.past.choose_multiple(&mut self.dice, 3).copied().collect();
        let again =
            |(job, ticket): &(JobId, Ticket)| Settled { job: *job, ticket: *ticket, ruling: Ruling::Back, used: false };
        self.settle(&said.iter().map(again).collect::<Vec<_>>()).await
    }

    async fn hold_on(&mut self) -> Kept {
        let held = self.tally.places.held.iter().map(|(job, hold)| (*job, hold.ticket));
        let mut held: Vec<(JobId, Ticket)> = held.filter(|_| self.dice.random_bool(0.7)).collect();
        held.extend(self.past.choose(&mut self.dice));
        let lease = draw::lease(&mut self.dice);
        self.renew(lease, &held).await
    }

    async fn limit_channel(&mut self) -> Kept {
        let (channel, limit) = (self.channel(), draw::limit(&mut self.dice));
        self.ledger.change(channel, |row| row.limit = limit);
        self.deliver(self.ledger.rule(channel), None).await.map(drop)
    }

    /// A rule for a server, or none any more.
    async fn limit_server(&mut self) -> Kept {
        let channel = self.channel();
        let limit = self.dice.random_bool(0.6).then(|| draw::limit(&mut self.dice));
        let server = &mut self.ledger.servers[self.ledger.channels[channel].server];
        (server.limit, server.version) = (limit, server.version + 1);
        self.deliver(self.ledger.rule(channel), None).await.map(drop)
    }

    async fn pause_or_resume(&mut self) -> Kept {
        let channel = self.channel();
        let by = [None, None, None, Some(PausedBy::Operator), Some(PausedBy::Gateway), Some(PausedBy::Session)];
        let paused = draw::pick(&mut self.dice, &by).map(|by| Pause::new(by, "a notice"));
        self.ledger.change(channel, |row| row.paused = paused);
        self.deliver(self.ledger.rule(channel), None).await.map(drop)
    }

    /// A channel's gateway moves while none of its calls is under way.
    async fn move_away(&mut self) -> Kept {
        let channel = self.channel();
        if !self.is_idle(self.ledger.channels[channel].id) {
            return Ok(());
        }
        let server = self.dice.random_range(0..self.ledger.servers.len());
        self.ledger.change(channel, |row| row.server = server);
        self.deliver(self.ledger.rule(channel), None).await.map(drop)
    }
}

fn pause(by: PausedBy) -> Ruling {
    Ruling::Rest(Rest::Pause(Pause::new(by, "no session")))
}
