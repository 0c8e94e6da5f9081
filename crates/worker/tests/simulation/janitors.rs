//! Janitors: what every worker process does beside its jobs, one round at a time.

use std::fmt;

use chrono::TimeDelta;
use sincro_core::{clock, notice::Notice};
use sincro_worker::steps;

use crate::{
    stage::{CameTo, Unit},
    world::{Kind, World},
};

/// Who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Janitor {
    Sweeper,
    Restorer,
    Reconciler,
}

impl fmt::Display for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sweeper => "sweeper",
            Self::Restorer => "restorer",
            Self::Reconciler => "reconciler",
        })
    }
}

/// What a messenger says whose notice is in the queue.
pub(crate) const HEARD: &str = "heard";

/// At most so many of a kind at once: each process has its own.
const OF_A_KIND: usize = 2;

impl World<'_> {
    /// One of them begins a round, if there are not enough at it.
    pub(crate) fn begin_janitor(&mut self, janitor: Janitor) {
        let same = |kind: &Kind| matches!(kind, Kind::Janitor(other) if *other == janitor);
        if self.tasks.values().filter(|task| same(&task.kind)).count() < OF_A_KIND {
            self.start_janitor(janitor);
        }
    }

    pub(crate) fn start_janitor(&mut self, janitor: Janitor) -> u32 {
        let (store, queue) = (self.place.store.clone(), self.queue.clone());
        let round = async move {
            let done = match janitor {
                Janitor::Sweeper => {
                    let before = clock::now() - TimeDelta::seconds(1);
                    steps::sweep(&store, &queue, before).await.map(|delivered| format!("{delivered} delivered"))
                }
                Janitor::Restorer => steps::restore(&store, &queue, 0).await.map(|open| format!("open {open}")),
                Janitor::Reconciler => steps::reconcile(&store, &queue).await.map(|lanes| format!("{lanes} put back")),
            };
            CameTo::Said(done.unwrap_or_else(|error| format!("failed: {error}")))
        };
        self.begin(Kind::Janitor(janitor), 0, round)
    }

    /// Somebody who changed the ledger tells the queue.
    pub(crate) fn send(&mut self, notice: Notice) {
        let (store, queue, sent) = (self.place.store.clone(), self.queue.clone(), notice.clone());
        self.begin(Kind::Messenger { notice }, 0, async move {
            let heard = steps::deliver(&store, &queue, &[sent]).await;
            CameTo::Said(if heard == Some(1) { HEARD } else { "not heard" }.to_owned())
        });
    }

    /// Who moved last may have taken the shard's lock, or given it back.
    pub(crate) async fn note_lock(&mut self, moved: &[Unit]) {
        let restores = |unit: &&Unit| match self.tasks.get(unit).map(|task| &task.kind) {
            Some(Kind::Janitor(janitor)) => *janitor != Janitor::Sweeper,
            _ => false,
        };
        self.lock.take_if(|(holder, _)| !self.tasks.contains_key(holder));
        let Some(unit) = moved.iter().find(restores).copied() else { return };
        let held_by = self.lock_holders().await.first().copied();
        match (&self.lock, held_by) {
            (Some((_, before)), Some(now)) if *before == now => {}
            (_, now) => self.lock = now.map(|session| (unit, session)),
        }
    }

    /// The server hears a little later that whoever held the shard's lock is gone.
    pub(crate) async fn await_free_lock(&mut self, of: Unit) {
        if let Some((_, session)) = self.lock.take_if(|(holder, _)| *holder == of) {
            while self.lock_holders().await.contains(&session) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sessions of the server.
    async fn lock_holders(&self) -> Vec<i32> {
        let held = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()";
        sqlx::query_scalar(held).fetch_all(&self.place.sql).await.unwrap()
    }
}
