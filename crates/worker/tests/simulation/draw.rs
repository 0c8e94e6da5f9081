//! What happens next in a history, by lot.

use std::{fmt, time::Duration};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use sincro_core::{drill::Point, limit::Limit};
use sincro_queue::Ruling;
use sincro_simulator::{Fault, Population, Settings};

use crate::{
    broken::Kept,
    janitors::Janitor,
    stage::Unit,
    world::{Kind, TICK, World},
};

/// The kinds of misfortune that a history may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    /// Workers and janitors die at their points.
    pub(crate) const DEATHS: Self = Self(1);
    /// What a worker and the queue say to each other does not arrive, or twice, or late.
    pub(crate) const LOST_REPLIES: Self = Self(2);
    /// The queue loses what it holds.
    pub(crate) const LOSSES: Self = Self(4);
    /// Time leaps ahead.
    pub(crate) const LEAPS: Self = Self(8);
    /// The gateway refuses.
    pub(crate) const REFUSALS: Self = Self(16);
    /// People pause, resume, cancel and retry.
    pub(crate) const PEOPLE: Self = Self(32);

    pub(crate) const ALL: Self = Self(63);
    pub(crate) const EACH: [Self; 6] =
        [Self::DEATHS, Self::LOST_REPLIES, Self::LOSSES, Self::LEAPS, Self::REFUSALS, Self::PEOPLE];

    pub(crate) const fn without(self, kind: Self) -> Self {
        Self(self.0 & !kind.0)
    }

    pub(crate) const fn has(self, kind: Self) -> bool {
        self.0 & kind.0 != 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["deaths", "lost replies", "losses", "leaps of time", "refusals", "people"];
        let there = Self::EACH.iter().zip(names).filter(|(kind, _)| self.has(**kind)).map(|(_, name)| name);
        let there: Vec<_> = there.collect();
        f.write_str(if there.is_empty() { "nothing at all" } else { "" })?;
        f.write_str(&there.join(", "))
    }
}

/// What becomes of something that is said to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    /// It does not arrive.
    Lost,
    /// It arrives, and the answer does not.
    Unanswered,
}

pub(crate) fn pick<T: Copy>(dice: &mut StdRng, of: &[T]) -> T {
    *of.choose(dice).unwrap()
}

/// A small gateway.
pub(crate) fn gateway(dice: &mut StdRng) -> Settings {
    let channels = dice.random_range(1..=3);
    let contacts: Vec<u32> = (0..channels).map(|_| dice.random_range(1..=4)).collect();
    let population = Population {
        seed: dice.random(),
        messages_mean: 3,
        messages_max: 6,
        share_lid_only: 0.15,
        share_paired: 0.15,
        share_cross_posted: 0.2,
        ..Population::default()
    };
    Settings { population, ..Settings::fleet(contacts) }
}

pub(crate) fn limit(dice: &mut StdRng) -> Limit {
    Limit {
        rate_per_second: pick(dice, &[1.0, 2.0, 4.0, 20.0, 1000.0]),
        burst: pick(dice, &[1, 1, 2, 3]),
        concurrency: pick(dice, &[1, 2, 8]),
    }
}

/// What a gateway says in place of an answer.
pub(crate) fn refusal(dice: &mut StdRng) -> Fault {
    match dice.random_range(0..16) {
        0..3 => Fault::TooManyRequests { retry_after_s: Some(dice.random_range(1..8)) },
        3..5 => Fault::TooManyRequests { retry_after_s: None },
        5 => Fault::Unavailable { retry_after_s: Some(dice.random_range(1..4)) },
        6 => Fault::Overlimit,
        7 => Fault::CutConnection,
        8 => Fault::TruncatedJson,
        9 => Fault::Garbage,
        10 => Fault::Unauthorized,
        11 => Fault::NoSession,
        12 => Fault::HistoryDisabled,
        _ => Fault::ServerError,
    }
}

/// A ruling as a word: the rest of it is in the numbers of the ledger.
pub(crate) fn word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Done => "done",
        Ruling::Next => "next",
        Ruling::Delay { .. } => "delay",
        Ruling::Back => "back",
        Ruling::Snooze { .. } => "snooze",
        Ruling::Rest(_) => "rest",
        Ruling::StillLost => "still lost",
    }
}

impl World<'_> {
    /// Something happens.
    pub(crate) async fn step(&mut self) -> Kept {
        if self.dice.random_bool(0.3) {
            let ticks = pick(&mut self.dice, &[1, 1, 1, 2, 4]);
            self.pass(TICK * ticks);
        }
        let (before, what) = (self.kinds, self.dice.random_range(0..1_000));
        let may = |kind| before.has(kind);
        match what {
            520..610 => self.claim_for_somebody().await,
            610..710 => self.settle_for_somebody().await,
            710..740 => self.renew_for_somebody().await,
            740..825 => {
                self.begin_janitor(match what {
                    740..775 => Janitor::Sweeper,
                    775..815 => Janitor::Restorer,
                    _ => Janitor::Reconciler,
                });
                Ok(())
            }
            825..850 if may(Kinds::LOST_REPLIES) => self.say_again().await,
            850..880 if may(Kinds::DEATHS) => self.kill_somebody().await,
            880..900 if may(Kinds::LOSSES) => self.lose_something().await,
            900..930 if may(Kinds::LEAPS) => {
                self.leap();
                Ok(())
            }
            930..950 if may(Kinds::REFUSALS) => {
                self.turn_gateway();
                Ok(())
            }
            950.. if may(Kinds::PEOPLE) => self.steer().await,
            _ => self.move_somebody().await,
        }
    }

    pub(crate) fn fate(&mut self) -> Fate {
        match self.dice.random_range(0..20) {
            0 | 1 if self.kinds.has(Kinds::LOST_REPLIES) => Fate::Unanswered,
            2 if self.kinds.has(Kinds::LOST_REPLIES) => Fate::Lost,
            _ => Fate::Arrives,
        }
    }

    /// One of the tasks goes on; or several of one worker at once, which then share a batch of the ledger. Not between these: who of
    /// them came first to the gateway, or to the channel's row, would not be the seed's choice.
    async fn move_somebody(&mut self) -> Kept {
        let units: Vec<Unit> = self.tasks.keys().copied().collect();
        let Some(unit) = units.choose(&mut self.dice).copied() else { return self.claim_for_somebody().await };
        let together = self.dice.random_bool(0.4);
        let cut = self.dice.random_bool(0.06).then(|| self.dice.random_range(0..2));
        let cut = cut.filter(|_| self.kinds.has(Kinds::DEATHS));
        let mut moving = vec![unit];
        let task = &self.tasks[&unit];
        let shares = matches!(task.at, Some(Point::Claimed | Point::Judged));
        if let (Kind::Job { worker, .. }, true) = (&task.kind, together && shares) {
            let beside = self.tasks.iter().filter(|(other, beside)| {
                let same = matches!(&beside.kind, Kind::Job { worker: its, .. } if its == worker);
                **other != unit && same && beside.at == task.at
            });
            moving.extend(beside.map(|(other, _)| *other));
            moving.sort_unstable();
        }
        self.let_go(&moving, cut).await
    }

    async fn kill_somebody(&mut self) -> Kept {
        let units: Vec<Unit> = self.tasks.keys().copied().collect();
        match units.choose(&mut self.dice) {
            Some(unit) => self.kill(*unit).await,
            None => Ok(()),
        }
    }

    /// Leases run out, rests end, janitors find what was left behind.
    fn leap(&mut self) {
        let by = Duration::from_secs(pick(&mut self.dice, &[1, 3, 8, 11, 25, 61, 400]));
        self.pass(by);
        self.tell(format_args!("{} s later", by.as_secs()));
    }
}
