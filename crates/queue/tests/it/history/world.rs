//! One history: what the ledger knows, the scripts and the model side by side, and the bookkeeping beside both.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sincro_core::{
    channel::ChannelId,
    job::JobId,
    limit::LevelLimit,
    notice::{ChannelRule, LaneNotice, LaneState},
    schedule::Ruling,
};
use sincro_queue::{Depth, Queue, steps::Batch, steps::Ticket};
use uuid::Uuid;

use super::{
    broken::{Kept, keep, same},
    checkpoint::Glass,
    draw,
    ledger::{ChannelRow, Ledger, ServerRow},
    tally::Tally,
    twin::{Question, Settled, Twin, micros, refused},
};
use crate::bench::WIDE;

const SERVERS: usize = 3;
const CHANNELS: usize = 6;
/// Two workers.
const ASKERS: [&str; 2] = ["one", "other"];
/// Everything that is left comes out in fewer claims.
const LAST_CLAIMS: usize = 300;

pub(crate) struct World {
    pub(crate) dice: StdRng,
    pub(crate) now: i64,
    pub(crate) ledger: Ledger,
    pub(crate) tally: Tally,
    /// Whatever was claimed: most of it is settled or lost, and what is said of that again is stale.
    pub(crate) past: Vec<(JobId, Ticket)>,
    twin: Twin,
    glass: Glass,
    /// The number of each worker's last question, and of its last that got jobs.
    questions: [(u64, u64); 2],
    /// Tells every step.
    pub(crate) loud: bool,
}

impl World {
    pub(crate) fn new(seed: u64, queue: Queue, glass: Glass) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let servers = (0..dice.random_range(1..=SERVERS)).map(|i| ServerRow {
            name: format!("wuzapi/{}.test", ["b", "a", "c"][i]),
            limit: dice.random_bool(0.7).then(|| draw::limit(&mut dice)),
            version: 1,
        });
        let servers: Vec<ServerRow> = servers.collect();
        let channels = (0..dice.random_range(1..=CHANNELS)).map(|_| ChannelRow {
            id: Uuid::from_u128(dice.random()),
            server: dice.random_range(0..servers.len()),
            limit: draw::limit(&mut dice),
            paused: None,
            version: 1,
            before: None,
        });
        let channels = channels.collect();
        Self {
            dice,
            now: 1_800_000_000_000_000,
            ledger: Ledger { servers, channels, next_job: 1, ..Ledger::default() },
            tally: Tally::default(),
            past: Vec::new(),
            twin: Twin::new(queue),
            glass,
            questions: [(0, 0); 2],
            loud: false,
        }
    }

    fn tell(&self, what: &impl std::fmt::Debug) {
        if self.loud {
            println!("  at +{} µs: {what:?}", self.now - 1_800_000_000_000_000);
        }
    }

    /// Whether it is in.
    pub(crate) async fn deliver(&mut self, channel: ChannelRule, lane: Option<LaneNotice>) -> Kept<bool> {
        let notice = self.ledger.notice(channel, lane);
        self.tell(&notice);
        let applied = self.twin.apply(self.now, &notice).await?;
        self.tally.apply(self.now, &notice, applied);
        Ok(applied)
    }

    pub(crate) async fn claim(&mut self, max: usize, max_bulk: usize, again: bool) -> Kept<Batch> {
        let worker = self.dice.random_range(0..ASKERS.len());
        let (asked, answered) = &mut self.questions[worker];
        // The question whose answer may have been lost is the last one; or it never arrived, and is a new one.
        let arrived = again && *asked > 0 && self.dice.random_bool(0.8);
        *asked += u64::from(!arrived);
        let repeats = arrived && asked == answered;
        let lease = draw::lease(&mut self.dice);
        let question = Question { max, max_bulk, lease, asker: ASKERS[worker], number: *asked, again };
        let (batch, agree) = self.twin.claim(self.now, question).await?;
        if !batch.jobs.is_empty() {
            *answered = *asked;
        }
        self.tell(&(question, &batch));
        if repeats {
            self.tally.claim_again(&batch)?;
        } else {
            self.tally.claim(self.now, question, &batch)?;
        }
        agree?;
        self.past.extend(batch.jobs.iter().map(|job| (job.job, batch.ticket)));
        Ok(batch)
    }

    pub(crate) async fn settle(&mut self, settled: &[Settled]) -> Kept {
        self.tell(&settled);
        let (stale, agree) = self.twin.settle(self.now, settled).await?;
        self.tally.settle(self.now, settled, &stale)?;
        agree
    }

    pub(crate) async fn renew(&mut self, lease: Duration, held: &[(JobId, Ticket)]) -> Kept {
        self.tell(&(lease, held));
        let lost = self.twin.renew(self.now, lease, held).await?;
        self.tally.renew(self.now, micros(lease), held, &lost)
    }

    /// Now and then, and at the end.
    pub(crate) async fn look_inside(&mut self) -> Kept {
        let (depth, counted) = (self.twin.queue.depth().await.map_err(refused)?, self.tally.places.depth());
        keep("no_job_is_lost", depth == counted, || format!("the queue holds {depth:?}, it should be {counted:?}"))?;
        let model = self.twin.model.depth();
        same("the depth", &depth, &Depth { queued: model.queued, running: model.running, delayed: model.delayed })?;
        self.glass.compare(&self.twin.model, &self.tally).await
    }

    /// A channel with nothing at workers.
    pub(crate) fn is_idle(&self, channel: ChannelId) -> bool {
        self.tally.places.held.values().all(|hold| hold.channel != channel)
    }

    /// Opens everything, lets everything come out, and sees that nothing is left.
    pub(crate) async fn run_dry(&mut self) -> Kept {
        self.now += 1_000_000;
        for server in &mut self.ledger.servers {
            (server.limit, server.version) = (None, server.version + 1);
        }
        for channel in 0..self.ledger.channels.len() {
            let id = self.ledger.channels[channel].id;
            let paused = self.tally.channels.get(&id).is_some_and(|channel| channel.paused.is_some());
            if !paused && !self.tally.places.is_at(id) {
                continue;
            }
            let wide: LevelLimit = WIDE.into();
            self.ledger.change(channel, |row| (row.paused, row.limit) = (None, wide));
            self.deliver(self.ledger.rule(channel), None).await?;
        }
        for row in self.ledger.syncs.clone() {
            if row.state == LaneState::Paused {
                let jobs = Vec::new();
                let (sync, urgent) = (row.sync, row.urgent);
                let lane = LaneNotice { sync, seq: row.seq + 1, opens: false, urgent, state: LaneState::Open, jobs };
                self.deliver(self.ledger.rule(row.channel), Some(lane)).await?;
            }
        }
        for _ in 0..LAST_CLAIMS {
            let held = self.tally.places.held.iter();
            let done =
                held.map(|(job, hold)| Settled { job: *job, ticket: hold.ticket, ruling: Ruling::Done, used: true });
            let done: Vec<Settled> = done.collect();
            self.settle(&done).await?;
            if self.tally.places.depth() == Depth::default() {
                break;
            }
            let batch = self.claim(1_000, 1_000, false).await?;
            let wait = batch.wait.map_or(1, micros);
            self.now += if batch.jobs.is_empty() { wait.max(1) } else { 1_000 };
        }
        let left = self.tally.places.depth();
        keep("no_job_is_lost", left == Depth::default(), || format!("{left:?} do not come out"))?;
        self.look_inside().await?;
        self.glass.check_nothing_is_left(&self.tally).await
    }
}
