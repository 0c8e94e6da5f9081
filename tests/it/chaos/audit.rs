//! What must be true when all is over: the ledger against the gateway's truth, the queue against nothing at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use redis::AsyncCommands as _;
use sincro_core::sync::{SyncState, SyncStatus};
use sincro_simulator::{Person, Truth};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    backend::{Backend, MESSAGES, Promise},
    plan::CHANNELS,
    site::Site,
};
use crate::support::{audit, within};

/// Questions to the ledger whose answer is no row.
const NEVER: [(&str, &str); 8] = [
    ("an open job in a sync that is over", "SELECT j.id FROM jobs j JOIN syncs s ON s.id = j.sync_id
      WHERE s.finished_at IS NOT NULL AND j.state IN ('queued', 'delayed', 'awaiting')"),
    ("a sync that is not over", "SELECT id FROM syncs WHERE finished_at IS NULL"),
    ("a sync whose counters are not its jobs", "SELECT s.id FROM syncs s CROSS JOIN LATERAL (
          SELECT count(*) AS total, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
                 count(*) FILTER (WHERE state = 'empty') AS empty, count(*) FILTER (WHERE state = 'skipped') AS skipped,
                 count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
                 coalesce(sum(fetched), 0) AS fetched, coalesce(sum(stored), 0) AS stored
          FROM jobs j WHERE j.sync_id = s.id AND j.kind = 'history') j
      WHERE (s.jobs_total, s.jobs_succeeded, s.jobs_empty, s.jobs_skipped, s.jobs_failed, s.jobs_cancelled,
             s.messages_fetched, s.messages_stored)
         <> (j.total, j.succeeded, j.empty, j.skipped, j.failed, j.cancelled, j.fetched, j.stored)"),
    ("a job whose count of messages is not its rows", "SELECT j.id FROM jobs j
      WHERE j.stored <> (SELECT count(*) FROM messages m WHERE m.job_id = j.id)"),
    ("a message of a job that there is not", "SELECT message_id FROM messages m
      WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = m.job_id AND j.channel_id = m.channel_id)"),
    ("an attempt beyond the limit", "SELECT id FROM jobs WHERE attempts > attempt_limit"),
    ("a job that ended well without an attempt", "SELECT id FROM jobs
      WHERE state IN ('succeeded', 'empty') AND attempts = 0"),
    ("a notice that nobody heard", "SELECT id FROM notices"),
];
/// Open syncs, their jobs, and notices.
const WORK_LEFT: &str = "SELECT (SELECT count(*) FROM syncs WHERE finished_at IS NULL) + (SELECT count(*) FROM notices)
     + (SELECT count(*) FROM jobs WHERE state IN ('queued', 'delayed', 'awaiting'))";
const POLL: Duration = Duration::from_millis(100);

/// The syncs, by their ends.
pub(super) type Ends = BTreeMap<SyncState, usize>;

/// Waits until every sync is over and no message to the queue is left, then until the queue holds nothing.
pub(super) async fn until_quiet(site: &mut Site) {
    // Much work may be left; as long as it gets less, all is well.
    let mut left = number(&site.sql, WORK_LEFT).await;
    while left > 0 {
        let before = left;
        within(&format!("the end of all syncs: nothing moves any more, {left} things are left to do"), async {
            while left >= before {
                site.look_after();
                sleep(POLL).await;
                left = number(&site.sql, WORK_LEFT).await;
            }
        })
        .await;
    }
    let mut left = Vec::new();
    let quiet = async {
        loop {
            left = work_in_queue(site).await;
            if left.is_empty() {
                return;
            }
            sleep(POLL).await;
        }
    };
    let is_quiet = tokio::time::timeout(Duration::from_secs(30), quiet).await.is_ok();
    assert!(is_quiet, "the queue still holds work of syncs that are over: {left:?}");
}

/// Whatever the queue holds of jobs.
async fn work_in_queue(site: &Site) -> Vec<String> {
    let mut queue = site.queue().await;
    let mut left = Vec::new();
    let keys: Vec<String> = queue.keys("sincro:{chaos/*").await.unwrap();
    for key in keys {
        let name = key.split_once("}:").map(|(_, name)| name).unwrap_or_default();
        let kind = name.split(':').next().unwrap_or_default();
        if ["leases", "held", "lane", "lanes", "queued", "delayed", "later", "running", "restoring"].contains(&kind) {
            left.push(name.to_owned());
        }
    }
    left
}

/// Ledger and messages; what is wrong.
pub(super) async fn look_through(site: &Site, backend: &Backend) -> (Ends, Vec<String>) {
    let mut wrong = Vec::new();
    for (what, query) in NEVER {
        let query = AssertSqlSafe(format!("SELECT to_jsonb(q)::text FROM ({query}) q LIMIT 5"));
        let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&site.sql).await.unwrap();
        if !rows.is_empty() {
            wrong.push(format!("{what}: {}", rows.join(", ")));
        }
    }
    let promises = backend.promises();
    check_promises(site, &promises, &mut wrong).await;
    let mut ends = Ends::new();
    for promise in &promises {
        let status = backend.client.status(promise.sync).await;
        *ends.entry(status.state).or_default() += 1;
        if status.state == SyncState::Completed {
            check_completed(site, promise, &status, &mut wrong).await;
        }
    }
    for (channel, id) in backend.channels.iter().enumerate() {
        let stored = stored_in(&site.sql, *id).await;
        let all = truth_of(site, channel).expected(MESSAGES as usize);
        wrong.extend(
            stored.difference(&all).next().map(|id| format!("channel {channel} holds a foreign message: {id}")),
        );
    }
    (ends, wrong)
}

/// What the API shows of it: receipts that add up, messages word for word. Fails at the first that is wrong.
pub(super) async fn compare(site: &Site, backend: &Backend) {
    let mut whole = BTreeSet::new();
    for promise in backend.promises() {
        let status = backend.client.status(promise.sync).await;
        audit::receipt_adds_up(&backend.client.receipt(promise.sync).await, &status);
        if status.state == SyncState::Completed && promise.person.is_none() {
            whole.insert(promise.channel);
        }
    }
    assert_eq!(whole.len(), CHANNELS, "channels of which a whole sync is complete");
    for channel in whole {
        let truth = truth_of(site, channel);
        audit::messages_are_the_truth(&backend.client, backend.channels[channel], &truth, MESSAGES as usize).await;
    }
}

/// What was promised is in the ledger, and nothing else is: a request that was repeated is one sync.
async fn check_promises(site: &Site, promises: &[Promise], wrong: &mut Vec<String>) {
    let ledger: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM syncs").fetch_all(&site.sql).await.unwrap();
    let ledger: BTreeSet<Uuid> = ledger.into_iter().collect();
    let accepted: BTreeSet<Uuid> = promises.iter().map(|promise| promise.sync).collect();
    if accepted.len() < promises.len() {
        wrong.push("two requests were given the same sync".to_owned());
    }
    wrong.extend(accepted.difference(&ledger).map(|sync| format!("{sync} was accepted and is not in the ledger")));
    wrong.extend(ledger.difference(&accepted).map(|sync| format!("{sync} is in the ledger, and nobody was told")));
}

/// A completed sync has read every chat it was about, each once.
async fn check_completed(site: &Site, promise: &Promise, status: &SyncStatus, wrong: &mut Vec<String>) {
    let truth = truth_of(site, promise.channel);
    let persons: Vec<&Person> = truth
        .persons()
        .iter()
        .enumerate()
        .filter(|(n, _)| promise.person.is_none_or(|wanted| wanted == *n))
        .map(|(_, p)| p)
        .collect();
    let chats =
        || persons.iter().flat_map(|person| person.addresses()).map(|address| truth.chat(address, MESSAGES as usize));
    let rows = audit::count(chats().map(|chat| chat.len()).sum());
    let jobs = audit::count(2 * persons.len());
    let what = format!("{} of {}", if promise.person.is_none() { "channel" } else { "a person" }, promise.channel);
    if promise.person.is_none() && status.jobs.total != jobs {
        wrong.push(format!("sync {} ({what}) has {} jobs, not {jobs}", status.id, status.jobs.total));
    }
    if promise.person.is_none() && status.messages.fetched != rows {
        wrong.push(format!("sync {} ({what}) has fetched {} messages, not {rows}", status.id, status.messages.fetched));
    }
    let channel: Uuid = status.channel_id;
    let stored = stored_in(&site.sql, channel).await;
    let asked = status_addresses(&site.sql, status.id).await;
    let missing = asked
        .iter()
        .flat_map(|address| truth.chat(address, MESSAGES as usize))
        .find(|message| !stored.contains(&message.message_id));
    if let Some(message) = missing {
        wrong.push(format!("sync {} ({what}) is completed without {}", status.id, message.message_id));
    }
}

fn truth_of(site: &Site, channel: usize) -> Truth {
    site.gateway.truth_of(&site.token(channel)).expect("every token has a truth")
}

async fn stored_in(sql: &PgPool, channel: Uuid) -> BTreeSet<String> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT message_id FROM messages WHERE channel_id = $1")
        .bind(channel)
        .fetch_all(sql)
        .await
        .unwrap();
    ids.into_iter().collect()
}

async fn status_addresses(sql: &PgPool, sync: Uuid) -> Vec<String> {
    sqlx::query_scalar("SELECT address FROM jobs WHERE sync_id = $1 AND address IS NOT NULL")
        .bind(sync)
        .fetch_all(sql)
        .await
        .unwrap()
}

pub(super) async fn number(sql: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(sql).await.unwrap()
}
