//! Making good, and what must hold at the end.

use std::collections::{BTreeMap, BTreeSet};

use sincro_core::{
    job::JobState,
    sync::{SyncId, SyncState},
};
use sincro_queue::Depth;
use sqlx::Row as _;

use crate::{
    broken::{Kept, keep, refused},
    draw::Fate,
    janitors::Janitor,
    world::World,
};

/// What the queue may still hold of a channel, a server or a sync that is over, when it has no work.
const MAY_STAY: [&str; 12] = [
    "channel:", "server:", "calls:", "sync:", "answer:", "servers", "epoch2", "ticket", "probes", "promised", "home",
    "opened",
];

/// What the ledger would not count, in one query each: they find nothing.
const NOWHERE: [(&str, &str); 7] = [
    ("open jobs in a sync that is over", "SELECT count(*) FROM jobs j JOIN syncs s ON s.id = j.sync_id
      WHERE s.finished_at IS NOT NULL AND j.state IN ('queued', 'delayed', 'awaiting')"),
    ("jobs with more attempts than they may have", "SELECT count(*) FROM jobs
      WHERE attempts > attempt_limit"),
    ("syncs whose messages are not those of their jobs", "SELECT count(*) FROM syncs s
      JOIN (SELECT sync_id, sum(fetched) AS fetched, sum(stored) AS stored, sum(duplicate) AS duplicate FROM jobs GROUP BY 1) j
        ON j.sync_id = s.id
      WHERE (s.messages_fetched, s.messages_stored, s.messages_duplicate) <> (j.fetched, j.stored, j.duplicate)"),
    ("syncs whose counters are not their jobs", "SELECT count(*) FROM syncs s
      JOIN (SELECT sync_id, count(*) AS total, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
                   count(*) FILTER (WHERE state = 'empty') AS empty, count(*) FILTER (WHERE state = 'skipped') AS skipped,
                   count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled
            FROM jobs WHERE kind = 'history' GROUP BY 1) j ON j.sync_id = s.id
      WHERE (s.jobs_total, s.jobs_succeeded, s.jobs_empty, s.jobs_skipped, s.jobs_failed, s.jobs_cancelled)
         <> (j.total, j.succeeded, j.empty, j.skipped, j.failed, j.cancelled)"),
    ("syncs whose receipt is not as long as their jobs", "SELECT count(*) FROM syncs s
      WHERE s.jobs_total <> (SELECT count(*) FROM contact_receipts r WHERE r.sync_id = s.id)"),
    ("jobs whose messages were counted and not stored, or stored and not counted",
     "SELECT abs((SELECT coalesce(sum(stored), 0) FROM jobs) - (SELECT count(*) FROM messages))"),
    ("notices that nobody delivered", "SELECT count(*) FROM notices"),
];

/// A job at the end.
struct Row {
    id: i64,
    address: Option<String>,
    state: JobState,
    fetched: usize,
}

impl World<'_> {
    /// Nothing more goes wrong: the gateway answers, and what people had in hand and did not send is left to the janitors.
    pub(crate) async fn make_good(&mut self) -> Kept {
        self.mend_gateway();
        self.letters.clear();
        self.snapshot = None;
        self.run_everybody().await
    }

    async fn run_everybody(&mut self) -> Kept {
        while let Some(unit) = self.tasks.keys().next().copied() {
            self.run_to_its_end(unit).await?;
        }
        Ok(())
    }

    /// A round of everybody beside the jobs; the queue is not compared with the ledger each time, because that is dear.
    pub(crate) async fn look_after_everything(&mut self, compares: bool) -> Kept {
        self.resume_everything().await?;
        let janitors = [Janitor::Restorer, Janitor::Reconciler, Janitor::Sweeper];
        for janitor in janitors.into_iter().filter(|janitor| compares || *janitor == Janitor::Sweeper) {
            let unit = self.start_janitor(janitor);
            self.run_to_its_end(unit).await?;
        }
        Ok(())
    }

    /// A round of the workers; how many jobs they got.
    pub(crate) async fn let_everybody_work(&mut self) -> Kept<usize> {
        let mut given = 0;
        for worker in 0..self.workers.len() {
            self.settle(worker, Fate::Arrives).await?;
            given += self.claim(worker, 8, Fate::Arrives).await?;
            self.run_everybody().await?;
            self.settle(worker, Fate::Arrives).await?;
        }
        Ok(given)
    }

    pub(crate) async fn is_over(&self) -> Kept<bool> {
        let open = self.place.number("SELECT count(*) FROM syncs WHERE finished_at IS NULL").await;
        if open > 0 || self.place.number("SELECT count(*) FROM notices").await > 0 || self.awaits_a_session().await {
            return Ok(false);
        }
        let depth = self.queue.depth().await.map_err(refused)?;
        Ok(depth == Depth::default())
    }

    /// A lost session is looked at until it is there again, also when nothing else is left to do.
    async fn awaits_a_session(&self) -> bool {
        let lost = "SELECT count(*) FROM channels WHERE paused_by = 'session'";
        self.place.number(lost).await > 0 && !self.place.keys("ready:").await.is_empty()
    }

    pub(crate) async fn what_is_left(&self) -> String {
        let mut left = Vec::new();
        for sync in &self.syncs {
            match self.place.store.sync(sync.id).await {
                Ok(status) if status.finished_at.is_none() => {
                    left.push(format!("sync {}: {}, {:?}", self.sync_name(sync.id), status.state, status.jobs));
                }
                Ok(_) => {}
                Err(error) => left.push(error.to_string()),
            }
        }
        let query = "SELECT sync_id, seq, opens FROM notices ORDER BY id";
        for row in sqlx::query(query).fetch_all(&self.place.sql).await.unwrap_or_default() {
            let sync = row.get::<Option<SyncId>, _>(0).map(|sync| self.sync_name(sync));
            let (seq, opens): (Option<i64>, bool) = (row.get(1), row.get(2));
            left.push(format!("notice {seq:?} of sync {sync:?}{}", if opens { ", which opens" } else { "" }));
        }
        format!("{}; the queue holds {:?}", left.join("; "), self.queue.depth().await)
    }

    /// The sums, whatever became of the jobs.
    pub(crate) async fn audit(&self) -> Kept {
        for (what, query) in NOWHERE {
            let found = self.place.number(query).await;
            keep("everything_adds_up", found == 0, || format!("{found} {what}"))?;
        }
        let prefix = self.place.prefix();
        let keys = self.place.keys("").await;
        let left: Vec<&str> = keys
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix))
            .filter(|key| !MAY_STAY.iter().any(|stays| key.starts_with(stays)))
            .collect();
        keep("the_queue_is_empty", left.is_empty(), || left.join(", "))
    }

    /// What is stored is what the gateway holds, each once, for every job that ended well; and there is no other.
    pub(crate) async fn audit_truth(&self) -> Kept {
        let mut expected: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for sync in &self.syncs {
            let truth = self.gateway.truth_of(&self.channels[sync.channel].token).unwrap();
            let wanted = usize::try_from(sync.wanted).unwrap();
            let mut asked = BTreeSet::new();
            let rows = self.rows(sync.id).await;
            let state = self.place.store.sync(sync.id).await.map_err(refused)?.state;
            let sync_cancelled = state == SyncState::Cancelled;
            for Row { id, address, state, fetched } in &rows {
                let ended_well = matches!(state, JobState::Succeeded | JobState::Empty);
                let held = match address.as_deref().filter(|_| ended_well) {
                    Some(address) => truth.chat(address, wanted),
                    None => Vec::new(),
                };
                keep("each_page_is_counted_once", held.len() == *fetched, || {
                    format!("job {id} ({state}) of {address:?} fetched {fetched}, the gateway holds {}", held.len())
                })?;
                let over = matches!(state, JobState::Skipped | JobState::Cancelled) || sync_cancelled;
                let fits = ended_well || over;
                keep("what_failed_can_be_retried", fits, || format!("job {id} is {state}"))?;
                asked.extend(address.iter().filter(|_| ended_well).cloned());
                expected.entry(sync.channel).or_default().extend(held.into_iter().map(|message| message.message_id));
            }
            let missing = truth.addresses().find(|address| !asked.contains(*address));
            keep("every_address_is_asked", !sync.whole || sync_cancelled || missing.is_none(), || {
                format!("sync {} did not ask {missing:?}", self.sync_name(sync.id))
            })?;
        }
        for (index, channel) in self.channels.iter().enumerate() {
            let stored = self.place.store.messages(channel.id, None, None, 10_000).await.map_err(refused)?;
            let stored: BTreeSet<String> = stored.into_iter().map(|message| message.message_id).collect();
            let expected = expected.remove(&index).unwrap_or_default();
            keep("every_message_is_stored_and_no_other", stored == expected, || {
                let missing: Vec<_> = expected.difference(&stored).collect();
                let foreign: Vec<_> = stored.difference(&expected).collect();
                format!("of channel {index} {missing:?} are missing, {foreign:?} are too many")
            })?;
        }
        Ok(())
    }

    async fn rows(&self, sync: SyncId) -> Vec<Row> {
        let query = "SELECT id, address, state, fetched FROM jobs WHERE sync_id = $1 AND kind = 'history' ORDER BY id";
        let rows = sqlx::query(query).bind(sync).fetch_all(&self.place.sql).await.unwrap();
        let row = |row: &sqlx::postgres::PgRow| Row {
            id: row.get(0),
            address: row.get(1),
            state: row.get::<String, _>(2).parse().unwrap(),
            fetched: usize::try_from(row.get::<i32, _>(3)).unwrap(),
        };
        rows.iter().map(row).collect()
    }
}
