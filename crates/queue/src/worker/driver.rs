//! The one task of a worker that claims and settles.
//!
//! It claims no more than there are free slots, so that a permit is taken only when its call can be made at once; settles
//! what came in while the last request was under way, together with the next claim, in one round trip; and between
//! requests waits for a result, for a call from the wake channel, or for the moment the last claim named. Whatever
//! Redis does, it goes on.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sincro_core::drill::{Point, reach};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Queue,
    claim::{self, Ask, Batch, Claimed, JOBS_PER_CALL},
    link::Answers,
    settle::{self, Ruling, SETTLEMENTS_PER_CALL, Settlement},
    telemetry,
    worker::{
        backend::Outcome,
        desk::Desk,
        lease::{Claim, HoldKey, Leases},
        wake::Wake,
    },
};

/// The least time between looks that nothing asked for; every worker adds up to as much again of its own.
const SAFETY_LOOK: Duration = Duration::from_secs(1);
/// How long a stopping worker tries to reach Redis; what it cannot settle comes back when the leases run out.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    queue: Queue,
    concurrency: usize,
    lease: Duration,
    safety_look: Duration,
    asker: String,
    leases: Arc<Leases>,
    wake: Arc<Wake>,
    /// None once the worker is to stop.
    claims: Option<UnboundedSender<Claim>>,
    outcomes: UnboundedReceiver<Outcome>,
    inbox: Vec<Outcome>,
    desks: Vec<Desk>,
    /// The desk that is visited first, so that no shard is always the last to find a free slot.
    first: usize,
}

impl Driver {
    pub(super) fn new(
        queue: Queue,
        concurrency: usize,
        lease: Duration,
        leases: Arc<Leases>,
        wake: Arc<Wake>,
        (claims, outcomes): (UnboundedSender<Claim>, UnboundedReceiver<Outcome>),
    ) -> Self {
        let asker = Uuid::now_v7();
        let own_share = u64::from(asker.as_bytes()[15]) * 1_000 / 256;
        let desks = queue.shards().map(|shard| Desk::new(shard, concurrency)).collect();
        Self {
            queue,
            concurrency,
            lease,
            safety_look: SAFETY_LOOK + Duration::from_millis(own_share),
            asker: asker.simple().to_string(),
            leases,
            wake,
            claims: Some(claims),
            outcomes,
            inbox: Vec::new(),
            desks,
            first: 0,
        }
    }

    /// Runs until the last handler is gone; whatever is unstarted or unfinished then goes back.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        while self.wait(&stop).await {
            self.visit_due().await;
        }
        self.hand_back().await
    }

    /// Until a desk may be due; false when no more results can come.
    async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let claiming = self.claims.is_some();
        let next = self.next_visit();
        tokio::select! {
            biased;
            () = stop.cancelled(), if claiming => self.claims = None,
            received = self.outcomes.recv_many(&mut self.inbox, SETTLEMENTS_PER_CALL) => {
                self.sort_inbox();
                return received > 0;
            }
            () = self.wake.news(), if claiming => {
                for desk in &mut self.desks {
                    if self.wake.take(desk.shard) {
                        desk.look_at = Instant::now();
                    }
                }
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        true
    }

    fn sort_inbox(&mut self) {
        for Outcome { key, ruling } in self.inbox.drain(..) {
            if let Some(desk) = self.desks.get_mut(usize::from(key.shard)) {
                let used = self.leases.used(&key);
                desk.push(Settlement { job: key.job, ticket: key.ticket, ruling, used });
            }
        }
    }

    fn free_slots(&self) -> usize {
        self.concurrency.saturating_sub(self.leases.len())
    }

    /// What there is to ask a desk for; a stopped worker asks for the answer that got lost, so as to hand back what it
    /// does not know it holds.
    fn asks(&self, desk: &Desk, settling: usize) -> Option<usize> {
        if self.claims.is_none() {
            return desk.unanswered_since.map(|_| 0);
        }
        let free = (self.free_slots() + settling).min(self.concurrency).min(JOBS_PER_CALL);
        (free > 0).then_some(free)
    }

    fn due_at(&self, desk: &Desk) -> Option<Instant> {
        desk.due_at(self.asks(desk, 0).is_some())
    }

    fn next_visit(&self) -> Option<Instant> {
        self.desks.iter().filter_map(|desk| self.due_at(desk)).min()
    }

    async fn visit_due(&mut self) {
        self.first = (self.first + 1) % self.desks.len().max(1);
        for i in 0..self.desks.len() {
            let i = (self.first + i) % self.desks.len();
            if self.due_at(&self.desks[i]).is_some_and(|at| at <= Instant::now()) {
                self.visit(i).await;
            }
        }
    }

    /// One round trip to one shard: settles what is pending there, and claims for the slots that are free then.
    async fn visit(&mut self, i: usize) {
        let desk = &self.desks[i];
        let settling = desk.pending.len().min(SETTLEMENTS_PER_CALL);
        let asks = self.asks(desk, settling);
        let mut calls = Vec::with_capacity(2);
        if settling > 0 {
            // Whoever may take no bulk work does not take what is freed.
            let claims_next = self.claims.is_some() && asks.is_some_and(|free| self.bulk_slots(free, settling) > 0);
            self.leases.note_settling(desk.pending_keys().take(settling));
            calls.push(settle::call(&self.queue, desk.shard, claims_next, &desk.pending[..settling]));
        }
        if let Some(free) = asks {
            calls.push(claim::call(&self.queue, &self.ask(desk, free, settling)));
        }
        let asked = Instant::now();
        let answers = self.queue.link.run(&calls).await;
        reach(Point::Ruled).await;
        if asks.is_some() {
            self.desks[i].note_asked(asked);
        }
        let heard = match answers {
            Ok(answers) => self.hear(i, settling, asks, answers),
            Err(error) => Err(error),
        };
        let desk = &mut self.desks[i];
        match heard {
            Ok(()) => desk.note_peace(),
            Err(error) => {
                metrics::counter!(telemetry::REDIS_ERRORS).increment(1);
                if asks.is_some() && desk.unanswered_since.is_some() {
                    metrics::counter!(telemetry::CLAIMS, "result" => "error").increment(1);
                }
                desk.note_trouble(&error);
                self.queue.report_failure(desk.shard, &error);
            }
        }
    }

    /// How many of the free slots bulk work may take; `settling` are about to become free.
    fn bulk_slots(&self, free: usize, settling: usize) -> usize {
        let bulk = self.leases.bulk().saturating_sub(settling);
        (self.concurrency - claim::reserved(self.concurrency)).saturating_sub(bulk).min(free)
    }

    fn ask<'a>(&'a self, desk: &Desk, free: usize, settling: usize) -> Ask<'a> {
        Ask {
            shard: desk.shard,
            max: free,
            max_bulk: self.bulk_slots(free, settling),
            lease: self.lease,
            asker: &self.asker,
            number: desk.number,
            again: desk.unanswered_since.is_some(),
        }
    }

    /// Takes in the answers of a visit, all of them before the first failure is returned.
    fn hear(&mut self, i: usize, settling: usize, asked: Option<usize>, answers: Answers) -> Result<(), Error> {
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Err(Error::Unreadable("an answer is missing".to_owned())));
        let mut settled = Ok(());
        if settling > 0 {
            settled = next().and_then(settle::read).map(|stale| self.note_settled(i, settling, &stale));
        }
        if let Some(free) = asked {
            match next().and_then(claim::read)? {
                Claimed::Emptied => self.note_emptied(i),
                Claimed::Newer => self.note_newer(i),
                Claimed::Batch(batch) => self.note_batch(i, &batch, free),
            }
        }
        settled
    }

    fn note_settled(&mut self, i: usize, settled: usize, stale: &[i64]) {
        let desk = &mut self.desks[i];
        // After a failure the first sending may have done it; what is stale then is nobody's loss.
        if !stale.is_empty() && !desk.in_trouble() {
            metrics::counter!(telemetry::STALE_RESULTS).increment(stale.len() as u64);
            tracing::warn!(shard = desk.shard, jobs = ?stale, "results came after their lease was lost");
        }
        self.leases.drop_settled(desk.pending_keys().take(settled));
        desk.pending.drain(..settled);
    }

    fn note_emptied(&mut self, i: usize) {
        metrics::counter!(telemetry::CLAIMS, "result" => "emptied").increment(1);
        let desk = &mut self.desks[i];
        desk.note_answered();
        desk.look_at = Instant::now() + self.safety_look;
        self.leases.lose_others(desk.shard, None);
        self.queue.report_emptied(desk.shard);
    }

    fn note_newer(&mut self, i: usize) {
        metrics::counter!(telemetry::CLAIMS, "result" => "newer").increment(1);
        let desk = &mut self.desks[i];
        desk.note_answered();
        desk.look_at = Instant::now() + self.safety_look;
        self.leases.lose_others(desk.shard, None);
        self.queue.report_newer(desk.shard);
    }

    fn note_batch(&mut self, i: usize, batch: &Batch, asked_for: usize) {
        let result = if batch.jobs.is_empty() { "nothing" } else { "claimed" };
        metrics::counter!(telemetry::CLAIMS, "result" => result).increment(1);
        let desk = &mut self.desks[i];
        self.queue.report_open(desk.shard);
        if desk.epoch.replace(batch.epoch) != Some(batch.epoch) {
            self.leases.lose_others(desk.shard, Some(batch.epoch));
        }
        let asked = desk.note_answered();
        desk.note_batch(batch, asked, asked_for, self.safety_look);
        if batch.jobs.is_empty() {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
        metrics::histogram!(telemetry::CLAIM_BATCH).record(batch.jobs.len() as f64);
        for claim in self.leases.take(desk.shard, batch, asked, self.lease) {
            let Claim { key: HoldKey { job, ticket, .. }, .. } = claim;
            let started = claim.holds_lease() && self.claims.as_ref().is_some_and(|claims| claims.send(claim).is_ok());
            if !started {
                desk.push(Settlement { job, ticket, ruling: Ruling::Back, used: None });
            }
        }
    }

    /// What no handler has ruled upon goes back unharmed, and everything is settled, if Redis can be reached.
    async fn hand_back(mut self) -> Result<(), Error> {
        self.claims = None;
        let ruled: HashSet<HoldKey> = self.desks.iter().flat_map(Desk::pending_keys).collect();
        for key in self.leases.keys().into_iter().filter(|key| !ruled.contains(key)) {
            self.inbox.push(Outcome { key, ruling: Ruling::Back });
        }
        self.sort_inbox();
        let settled = tokio::time::timeout(LAST_WORDS, async {
            while let Some(at) = self.next_visit() {
                tokio::time::sleep_until(at).await;
                self.visit_due().await;
            }
        });
        settled.await.map_err(|elapsed| Error::Unreachable(Box::new(elapsed)))
    }
}
