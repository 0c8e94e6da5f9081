//! The scripts on a real Redis beside the model: each is asked the same, and both must give the same answer.

use std::{collections::HashMap, time::Duration};

use chrono::DateTime;
use sincro_core::{
    job::JobId,
    notice::Notice,
    schedule::{self, Schedule},
    sync::SyncId,
};
use sincro_queue::{
    Queue, Ruling,
    steps::{self, Ask, Batch, Claimed, HeldBack, Settlement, Ticket},
};

use super::broken::{Broken, Kept, same};

pub(crate) struct Twin {
    pub(crate) queue: Queue,
    pub(crate) model: Schedule,
    /// By asker: the last question that got jobs, and what it got.
    answers: HashMap<&'static str, (u64, schedule::Batch)>,
    /// The next slot, and who was told to come for it.
    promised: Option<(i64, &'static str)>,
}

/// The others are told to look so much later (µs).
const STAND_IN_US: i64 = 50_000;

/// A question for jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) max: usize,
    pub(crate) max_bulk: usize,
    pub(crate) lease: Duration,
    pub(crate) asker: &'static str,
    pub(crate) number: u64,
    pub(crate) again: bool,
}

/// A job that is given back, in words of both.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) job: JobId,
    pub(crate) ticket: Ticket,
    pub(crate) ruling: schedule::Ruling,
    pub(crate) used: bool,
}

/// One row of an answer: job, attempt, sync, channel, spacing (µs).
type Row = (JobId, i32, Option<SyncId>, uuid::Uuid, i64);

impl Twin {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, model: Schedule::new(), answers: HashMap::new(), promised: None }
    }

    /// Whether it is in.
    pub(crate) async fn apply(&mut self, now: i64, notice: &Notice) -> Kept<bool> {
        let applied = self.queue.at(now).apply(std::slice::from_ref(notice)).await.map_err(refused)?;
        let applied = applied == [notice.id];
        same("whether the notice is in", &applied, &self.model.apply(now, &notice.channel, notice.lane.as_ref()))?;
        Ok(applied)
    }

    /// What the scripts answer, and whether that is what the model says.
    pub(crate) async fn claim(&mut self, now: i64, question: Question) -> Kept<(Batch, Kept)> {
        let Question { max, max_bulk, lease, asker, number, again } = question;
        let ask = Ask { shard: 0, max, max_bulk, lease, asker, number, again };
        let Claimed::Batch(batch) = steps::claim(&self.queue.at(now), &ask).await.map_err(refused)? else {
            return Err(Broken { promise: "the_shard_is_open", seen: "emptied".to_owned() });
        };
        let repeats = self.answers.get(asker).is_some_and(|(answered, _)| again && *answered == number);
        let model = self.claim_of_model(now, question, repeats);
        let rows: Vec<Row> =
            batch.jobs.iter().map(|job| (job.job, job.attempt, job.sync, job.channel, micros(job.spacing))).collect();
        let wait = batch.wait.map(micros);
        let bulk = model.jobs.iter().filter(|job| !job.urgent && !repeats).count();
        let expected_wait = self.wait(now, asker, bulk < max.min(max_bulk));
        let expected: Vec<Row> =
            model.jobs.iter().map(|job| (job.job, job.attempt, job.sync, job.channel, job.spacing_us)).collect();
        let agree = same("the claimed jobs", &rows, &expected)
            .and_then(|()| same("the ticket", &batch.ticket, &model.ticket))
            .and_then(|()| same("how long to wait", &wait, &expected_wait))
            .and_then(|()| same("what holds it back", &batch.held_back, &in_words_of_the_queue(model.held_back)));
        Ok((batch, agree))
    }

    fn claim_of_model(&mut self, now: i64, question: Question, repeats: bool) -> schedule::Batch {
        let Question { max, max_bulk, lease, asker, number, .. } = question;
        if repeats {
            return self.model.claim_again(now, max, max_bulk, &self.answers[asker].1);
        }
        let batch = self.model.claim(now, max, max_bulk, micros(lease));
        if !batch.jobs.is_empty() {
            self.answers.insert(asker, (number, batch.clone()));
        }
        batch
    }

    /// One worker is told the time of the next slot, the others a time a little later.
    fn wait(&mut self, now: i64, asker: &'static str, bulk: bool) -> Option<i64> {
        let (slot, due) = self.model.next_times(bulk);
        let told = slot.map(|at| match self.promised {
            _ if at <= now => at,
            Some((promised, other)) if promised == at && other != asker => at + STAND_IN_US,
            _ => {
                self.promised = Some((at, asker));
                at
            }
        });
        told.into_iter().chain(due).min().map(|at| (at - now).max(0))
    }

    /// The stale ones come back.
    pub(crate) async fn settle(&mut self, now: i64, settled: &[Settled]) -> Kept<(Vec<JobId>, Kept)> {
        let of_queue: Vec<Settlement> = settled.iter().map(|one| one.for_queue(now)).collect();
        let stale = steps::settle(&self.queue.at(now), 0, &of_queue).await.map_err(refused)?;
        let of_model: Vec<schedule::Settlement> = settled.iter().map(Settled::for_model).collect();
        let agree = same("the stale settlements", &stale, &self.model.settle(now, &of_model));
        Ok((stale, agree))
    }

    /// The lost ones come back.
    pub(crate) async fn renew(&mut self, now: i64, lease: Duration, held: &[(JobId, Ticket)]) -> Kept<Vec<JobId>> {
        let lost = steps::renew(&self.queue.at(now), 0, lease, held).await.map_err(refused)?;
        let model = &mut self.model;
        let lost_to_model = held.iter().filter(|(job, ticket)| !model.renew(now, *job, *ticket, micros(lease)));
        same("the lost leases", &lost, &lost_to_model.map(|(job, _)| *job).collect())?;
        Ok(lost)
    }
}

impl Settled {
    fn for_model(&self) -> schedule::Settlement {
        let Self { job, ticket, ref ruling, used } = *self;
        schedule::Settlement { job, ticket, ruling: ruling.clone(), used }
    }

    fn for_queue(&self, now: i64) -> Settlement {
        let due = |wait_us: &i64| DateTime::from_timestamp_micros(now + wait_us).unwrap();
        let ruling = match &self.ruling {
            schedule::Ruling::Done => Ruling::Done,
            schedule::Ruling::Next => Ruling::Next,
            schedule::Ruling::Delay(wait_us) => Ruling::Delay { due: due(wait_us) },
            schedule::Ruling::Back => Ruling::Back,
            schedule::Ruling::Snooze(wait_us) => Ruling::Snooze { due: due(wait_us) },
            schedule::Ruling::Rest(rest) => Ruling::Rest(rest.clone()),
            schedule::Ruling::StillLost => Ruling::StillLost,
        };
        Settlement { job: self.job, ticket: self.ticket, ruling, used: self.used.then_some(Duration::ZERO) }
    }
}

const fn in_words_of_the_queue(held_back: Option<schedule::HeldBack>) -> HeldBack {
    match held_back {
        None => HeldBack::No,
        Some(schedule::HeldBack::Rate) => HeldBack::Rate,
        Some(schedule::HeldBack::Cooldown) => HeldBack::Cooldown,
        Some(schedule::HeldBack::Channel) => HeldBack::Channel,
        Some(schedule::HeldBack::Idle) => HeldBack::Idle,
    }
}

pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}

pub(crate) fn refused(error: impl std::fmt::Display) -> Broken {
    Broken { promise: "the_scripts_answer", seen: error.to_string() }
}
