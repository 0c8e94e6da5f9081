//! Workers: they ask, execute, settle, renew and die, each when the lot falls on them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::Rng as _;
use sincro_core::{job::JobId, retry::RetryPolicy};
use sincro_queue::{
    Claim, Ruling,
    steps::{self, Ask, Batch, Claimed, Hands, Settlement},
};
use sincro_worker::steps::Hand;
use tokio::task::AbortHandle;

use crate::{
    broken::{Kept, refused},
    draw::{Fate, pick, word},
    janitors::Janitor,
    stage::{CameTo, Stage, Unit},
    world::{Kind, World, list},
};

pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// Without the pauses between attempts: they are drawn by lot, and not from the seed.
pub(crate) const RETRY: RetryPolicy = RetryPolicy { base: Duration::ZERO, cap: Duration::ZERO, max_attempts: 4 };
const WORKERS: usize = 3;
const SLOTS: usize = 3;

/// A worker process.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) hands: Hands,
    /// Rulings that Redis has not confirmed.
    pub(crate) pending: Vec<Settlement>,
    hand: Arc<Hand>,
    serving: Vec<AbortHandle>,
    /// How wrong its clock is (µs).
    skew_us: i64,
    /// The number of its next question, and when it was first asked if the answer did not come.
    question: u64,
    unanswered_since: Option<i64>,
}

impl Worker {
    pub(crate) fn stop(&self) {
        for serving in &self.serving {
            serving.abort();
        }
    }
}

impl World<'_> {
    pub(crate) fn staff(&mut self) {
        for _ in 0..self.dice.random_range(2..=WORKERS) {
            let worker = self.start_worker();
            self.workers.push(worker);
        }
    }

    fn start_worker(&mut self) -> Worker {
        self.born += 1;
        let name = format!("w{}", self.born);
        let skew_us = pick(&mut self.dice, &[0, 0, -30_000_000, 30_000_000]);
        let (hand, serving) = Hand::new(&self.place.store, &self.queue, &self.place.gateways, RETRY, 16);
        let unit = self.next_unit();
        let serving = serving.into_iter().map(|task| Stage::enter_serving(unit, skew_us, task)).collect();
        self.tell(format_args!("{name} starts, its clock wrong by {} s", skew_us / 1_000_000));
        Worker {
            name,
            hands: Hands::default(),
            pending: Vec::new(),
            hand: Arc::new(hand),
            serving,
            skew_us,
            question: 1,
            unanswered_since: None,
        }
    }

    /// A worker dies, and another one starts in its place.
    pub(crate) fn crash(&mut self, worker: usize) {
        let name = self.workers[worker].name.clone();
        self.tell(format_args!("{name} dies"));
        self.workers[worker].stop();
        let of_worker = |kind: &Kind| matches!(kind, Kind::Job { worker: its, .. } if *its == worker);
        let units: Vec<Unit> =
            self.tasks.iter().filter(|(_, task)| of_worker(&task.kind)).map(|(unit, _)| *unit).collect();
        for unit in units {
            self.drop_task(unit);
        }
        self.workers[worker] = self.start_worker();
    }

    fn somebody(&mut self) -> usize {
        self.dice.random_range(0..self.workers.len())
    }

    pub(crate) async fn claim_for_somebody(&mut self) -> Kept {
        let (worker, fate) = (self.somebody(), self.fate());
        let most = self.dice.random_range(1..=SLOTS);
        self.claim(worker, most, fate).await.map(drop)
    }

    /// Asks for jobs; how many there are now, and how long until there may be more.
    pub(crate) async fn claim(&mut self, worker: usize, slots: usize, fate: Fate) -> Kept<usize> {
        let now = self.now();
        let asks = &mut self.workers[worker];
        let most = slots.saturating_sub(asks.hands.len());
        if most == 0 {
            return Ok(0);
        }
        let again = asks.unanswered_since.is_some();
        let since = *asks.unanswered_since.get_or_insert(now);
        let (name, number) = (asks.name.clone(), asks.question);
        if fate == Fate::Lost {
            self.tell(format_args!("{name}'s question {number} is lost"));
            return Ok(0);
        }
        let ask = Ask { shard: 0, max: most, max_bulk: most, lease: LEASE, asker: &name, number, again };
        let claimed = steps::claim(&self.queue, &ask).await.map_err(refused)?;
        if let Claimed::Batch(batch) = &claimed {
            self.note_given(batch).await?;
        }
        if fate == Fate::Unanswered {
            self.tell(format_args!(
                "{name}'s question {number} is answered ({}), and the answer is lost",
                told(&claimed)
            ));
            return Ok(0);
        }
        self.tell(format_args!("{name} asks for {most} (question {number}): {}", told(&claimed)));
        let asks = &mut self.workers[worker];
        asks.question += 1;
        asks.unanswered_since = None;
        let life = if let Claimed::Batch(batch) = &claimed { Some(batch.epoch) } else { None };
        asks.hands.note_life(0, life);
        let Claimed::Batch(batch) = claimed else {
            self.begin_janitor(Janitor::Restorer);
            return Ok(0);
        };
        let ago = Duration::from_micros(u64::try_from(now - since).unwrap());
        let claims = asks.hands.take(0, &batch, ago, LEASE);
        let given = claims.len();
        for claim in claims {
            self.take_up(worker, claim)?;
        }
        Ok(given)
    }

    /// What the queue gave out, whether or not the worker hears of it.
    async fn note_given(&mut self, batch: &Batch) -> Kept {
        let now = self.now();
        for job in &batch.jobs {
            let Some(channel) = self.channel_index(job.channel) else { continue };
            if self.book.note_permit(now, channel, (job.job, batch.ticket))? {
                self.check_given(channel, job.sync).await?;
            }
        }
        Ok(())
    }

    fn take_up(&mut self, worker: usize, mut claim: Claim) -> Kept {
        let doer = &mut self.workers[worker];
        if !claim.holds_lease() {
            let back = doer.hands.settlement(&claim, Ruling::Back);
            doer.pending.push(back);
            return Ok(());
        }
        let others = self.tasks.values().filter_map(|task| match &task.kind {
            Kind::Job { worker, claim } => Some((self.workers[*worker].name.as_str(), claim)),
            _ => None,
        });
        if let Some(channel) = self.channel_index(claim.channel) {
            self.book.check_alone(&self.workers[worker].name, &claim, channel, others)?;
        }
        let (hand, skew_us) = (Arc::clone(&self.workers[worker].hand), self.workers[worker].skew_us);
        // Punctuality is measured in real time, which a history knows nothing of.
        claim.spacing = Duration::ZERO;
        let executed = claim.clone();
        let task = async move { CameTo::Ruling(hand.execute(executed).await) };
        self.begin(Kind::Job { worker, claim }, skew_us, task);
        Ok(())
    }

    pub(crate) async fn settle_for_somebody(&mut self) -> Kept {
        let (worker, fate) = (self.somebody(), self.fate());
        self.settle(worker, fate).await
    }

    /// Tells the queue what came of the jobs.
    pub(crate) async fn settle(&mut self, worker: usize, fate: Fate) -> Kept {
        let (name, pending) = (self.workers[worker].name.clone(), self.workers[worker].pending.clone());
        if pending.is_empty() {
            return Ok(());
        }
        let what = told_of(&pending);
        self.workers[worker].hands.note_settling(0, &pending);
        if fate == Fate::Lost {
            self.tell(format_args!("{name}'s rulings are lost: {what}"));
            return Ok(());
        }
        let stale = self.say(&pending).await?;
        if fate == Fate::Unanswered {
            self.tell(format_args!("{name}'s rulings arrive, and the answer is lost: {what}; stale {}", list(&stale)));
            return Ok(());
        }
        self.tell(format_args!("{name} settles {what}; stale {}", list(&stale)));
        self.workers[worker].hands.drop_settled(0, &pending);
        self.workers[worker].pending.clear();
        self.said.extend(pending);
        Ok(())
    }

    async fn say(&mut self, settlements: &[Settlement]) -> Kept<Vec<JobId>> {
        let stale = steps::settle(&self.queue, 0, settlements).await.map_err(refused)?;
        let now = self.now();
        let mut left: BTreeMap<JobId, usize> = BTreeMap::new();
        for job in &stale {
            *left.entry(*job).or_default() += 1;
        }
        for settlement in settlements {
            match left.get_mut(&settlement.job) {
                Some(times) if *times > 0 => *times -= 1,
                _ => self.book.note_settled(now, settlement),
            }
        }
        Ok(stale)
    }

    /// What was said before arrives once more.
    pub(crate) async fn say_again(&mut self) -> Kept {
        if self.said.is_empty() {
            return Ok(());
        }
        let which = self.dice.random_range(0..self.said.len());
        let settlement = self.said[which].clone();
        let stale = self.say(std::slice::from_ref(&settlement)).await?;
        self.tell(format_args!("{} arrives late once more; stale {}", told_of(&[settlement]), list(&stale)));
        Ok(())
    }

    pub(crate) async fn renew_for_somebody(&mut self) -> Kept {
        let worker = self.somebody();
        self.renew(worker).await;
        Ok(())
    }

    pub(crate) async fn renew(&mut self, worker: usize) {
        self.workers[worker].hands.renew(&self.queue, LEASE).await;
        let name = self.workers[worker].name.clone();
        self.tell(format_args!("{name} renews"));
    }
}

fn told(claimed: &Claimed) -> String {
    match claimed {
        Claimed::Emptied => "emptied".to_owned(),
        Claimed::Newer => "newer".to_owned(),
        Claimed::Batch(batch) => {
            let jobs = batch.jobs.iter().map(|job| format!("{}/{}", job.job, job.attempt));
            format!("[{}] {:?}", jobs.collect::<Vec<_>>().join(" "), batch.held_back)
        }
    }
}

fn told_of(settlements: &[Settlement]) -> String {
    let one = |settlement: &Settlement| {
        let unused = if settlement.used.is_some() { "" } else { " (unused)" };
        format!("{} {}{unused}", settlement.job, word(&settlement.ruling))
    };
    settlements.iter().map(one).collect::<Vec<_>>().join(", ")
}
