//! The janitor of the views: what only the queue knows of open syncs and their limits is written down once a second, so that
//! SQL can tell what API and events tell.
//!
//! One process does it at a time, under the ledger's lock; the others try to follow it. At most 1,000 open syncs are
//! reported, the oldest; of the others the views show what the ledger knows. A shard that does not answer is left out of a round;
//! a round that fails is followed by the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _, future::join_all, stream};
use sincro_core::{
    channel::ChannelId,
    clock,
    limit::{Cooldown, KeptCooldown, Level},
    sync::{Live, SyncId, SyncStatus},
};
use sincro_queue::{ChannelView, LevelView, MinuteCount, Queue};
use sincro_store::{
    Store,
    calls::CallCount,
    outlooks::{LevelOutlook, OpenSync, ReportLock, SyncOutlook},
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::{patience::ended, trouble::Trouble};

/// Before the next try to follow whoever reports.
const TRY_EVERY: Duration = Duration::from_secs(3);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// What did not change is written so often all the same, so that the views can tell it from what nobody looks after.
const ALL_EVERY: Duration = Duration::from_secs(5);
/// Whether the lock is still held is answered within this time, or it is not.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const MOST_SYNCS: usize = 1_000;
/// Questions to the queue that are under way at once.
const QUESTIONS_AT_ONCE: usize = 16;

/// Reports, or waits to, until the future is dropped.
pub(crate) async fn run(store: Store, queue: Queue) {
    loop {
        match ended(store.try_report_lock()).await {
            Ok(Some(lock)) => report(&store, &queue, lock).await,
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "whether somebody reports could not be seen; trying again"),
        }
        sleep(TRY_EVERY).await;
    }
}

/// Reports for as long as the lock is held.
async fn report(store: &Store, queue: &Queue, mut lock: ReportLock) {
    let mut ticks = interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = Written::default();
    let mut trouble = false;
    loop {
        ticks.tick().await;
        if !matches!(timeout(LOCK_PATIENCE, lock.check()).await, Ok(Ok(()))) {
            tracing::info!("the right to report is lost with its connection; trying to get it again");
            return;
        }
        match ended(round(store, queue, &mut written)).await {
            Ok(()) => trouble = false,
            Err(error) if trouble => tracing::debug!(%error, "the views are still not told"),
            Err(error) => {
                tracing::warn!(%error, "the views are not told what the queue knows; trying again");
                trouble = true;
            }
        }
    }
}

async fn round(store: &Store, queue: &Queue, written: &mut Written) -> Result<(), Trouble> {
    let most = i64::try_from(MOST_SYNCS + 1).unwrap_or(i64::MAX);
    let mut open = store.open_syncs(most).await?;
    written.note_crowd(open.len() > MOST_SYNCS);
    open.truncate(MOST_SYNCS);
    let channels: BTreeSet<(String, ChannelId)> =
        open.iter().map(|open| (open.server.clone(), open.status.channel_id)).collect();
    let servers: HashMap<String, String> =
        channels.iter().map(|(server, channel)| (channel.to_string(), server.clone())).collect();
    let mut away = note_calls(store, queue, &channels, written).await?;
    let answers = |server: &str| !away.shards.contains(&queue.shard_of(server));
    let (open, channels) = (
        open.into_iter().filter(|open| answers(&open.server)).collect(),
        channels.into_iter().filter(|(server, _)| answers(server)).collect(),
    );
    let syncs: HashMap<_, _> = away.keep_answers(look_at_syncs(queue, open)).await;
    let levels: Vec<_> = away.keep_answers(look_at_channels(queue, channels)).await;
    let levels: HashMap<_, _> =
        levels.into_iter().flatten().flatten().map(|level| (level.key.clone(), level)).collect();

    let now = Instant::now();
    let all = written.all_due.is_none_or(|due| now >= due);
    let news = (written.syncs.news(&syncs, all), written.levels.news(&levels, all));
    if all || !news.0.is_empty() || !news.1.is_empty() {
        store.write_outlooks(&news.0, &news.1).await?;
    }
    // As long as the queue has made them: it knows how often a rest was asked for in a row.
    for (level, cooldown) in news.1.iter().filter_map(|level| Some((level, level.cooldown.as_ref()?))) {
        match rest(queue, level, cooldown, &servers).await {
            Ok(Some(kept)) => store.note_cooldown(&kept).await?,
            Ok(None) => {}
            Err(error) => away.note(error),
        }
    }
    written.syncs.remember(syncs);
    written.levels.remember(levels);
    if all {
        written.all_due = Some(now + ALL_EVERY);
    }
    away.trouble.map_or(Ok(()), |error| Err(error.into()))
}

fn look_at_syncs(
    queue: &Queue,
    open: Vec<OpenSync>,
) -> impl Stream<Item = Result<(SyncId, SyncOutlook), sincro_queue::Error>> {
    let looks = stream::iter(open).map(move |OpenSync { status, server }| async move {
        let live = queue.live(&server, status.channel_id, status.id).await?;
        Ok((status.id, outlook(status, &live, clock::now())))
    });
    looks.buffer_unordered(QUESTIONS_AT_ONCE)
}

fn look_at_channels(
    queue: &Queue,
    channels: BTreeSet<(String, ChannelId)>,
) -> impl Stream<Item = Result<Option<[LevelOutlook; 2]>, sincro_queue::Error>> {
    let looks = stream::iter(channels).map(move |(server, channel)| async move {
        let view = queue.channel_view(&server, channel).await?;
        Ok(view.map(|view| levels(server, channel, view)))
    });
    looks.buffer_unordered(QUESTIONS_AT_ONCE)
}

/// What did not answer in a round.
#[derive(Default)]
struct Away {
    /// These are not asked again.
    shards: BTreeSet<u16>,
    /// The first failure.
    trouble: Option<sincro_queue::Error>,
}

impl Away {
    fn note(&mut self, error: sincro_queue::Error) {
        self.trouble.get_or_insert(error);
    }

    /// What was answered of all that was asked.
    async fn keep_answers<T, C: Default + Extend<T>>(
        &mut self,
        asked: impl Stream<Item = Result<T, sincro_queue::Error>>,
    ) -> C {
        let mut asked = std::pin::pin!(asked);
        let mut answers = C::default();
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => answers.extend([answer]),
                Err(error) => self.note(error),
            }
        }
        answers
    }
}

/// The sync as everybody shows it.
fn outlook(mut status: SyncStatus, live: &Live, now: DateTime<Utc>) -> SyncOutlook {
    status.show(live, now);
    SyncOutlook {
        sync: status.id,
        running: status.jobs.running,
        delayed: status.jobs.delayed,
        limited_by: status.limited_by,
        next_at: status.next_at,
        eta_seconds: status.eta_seconds,
    }
}

/// Both levels of a channel.
fn levels(server: String, channel: ChannelId, view: ChannelView) -> [LevelOutlook; 2] {
    [level(Level::Server, server, view.server), level(Level::Channel, channel.to_string(), view.channel)]
}

fn level(level: Level, key: String, view: LevelView) -> LevelOutlook {
    LevelOutlook {
        level,
        key,
        configured_rate: view.configured_rate,
        effective_rate: view.effective_rate,
        observed_rate: view.observed_rate,
        running: view.running,
        cooldown: view.cooldown,
    }
}

/// The rest that a level is in, as the ledger keeps it; none when it is over.
async fn rest(
    queue: &Queue,
    level: &LevelOutlook,
    cooldown: &Cooldown,
    servers: &HashMap<String, String>,
) -> Result<Option<KeptCooldown>, sincro_queue::Error> {
    let (server, channel) = match level.level {
        Level::Server => (level.key.clone(), None),
        Level::Channel => match servers.get(&level.key) {
            Some(server) => (server.clone(), level.key.parse().ok()),
            None => return Ok(None),
        },
    };
    // Its end is by the queue's clock, which need not be ours.
    let left = (cooldown.until - queue.time(&server).await?).to_std();
    Ok(left.ok().map(|left| KeptCooldown { server, channel, left, reason: cooldown.reason.clone() }))
}

/// Writes down how often levels with caps were called, and tells which shards did not say it. Levels whose last sync has ended
/// are counted once more, so that nothing needs to be assumed of them.
async fn note_calls(
    store: &Store,
    queue: &Queue,
    channels: &BTreeSet<(String, ChannelId)>,
    written: &mut Written,
) -> Result<Away, Trouble> {
    let open: BTreeSet<(String, Option<ChannelId>)> = channels
        .iter()
        .flat_map(|(server, channel)| [(server.clone(), None), (server.clone(), Some(*channel))])
        .collect();
    let mut asked: BTreeMap<u16, Vec<(String, Option<ChannelId>)>> = BTreeMap::new();
    for level in open.union(&written.counted) {
        asked.entry(queue.shard_of(&level.0)).or_default().push(level.clone());
    }
    // All at once: a shard whose server is silent must not keep the others waiting.
    let answers = asked.iter().map(async |(shard, levels)| (*shard, queue.count_calls(levels).await));
    let (mut counts, mut away) = (Vec::new(), Away::default());
    for (shard, answer) in join_all(answers).await {
        match answer {
            Ok(of_shard) => counts.extend(of_shard),
            Err(error) => {
                away.shards.insert(shard);
                away.note(error);
            }
        }
    }
    let rows: Vec<CallCount> = counts.iter().flat_map(call_counts).collect();
    if !rows.is_empty() {
        store.note_calls(&rows).await?;
    }
    written.counted.retain(|(server, _)| away.shards.contains(&queue.shard_of(server)));
    let counted = counts.into_iter().map(|count| (count.server, count.channel));
    written.counted.extend(counted.filter(|level| open.contains(level)));
    Ok(away)
}

/// The rows of this minute and of the one before, if that had any calls.
fn call_counts(count: &MinuteCount) -> impl Iterator<Item = CallCount> + use<> {
    let key = count.channel.map_or_else(|| count.server.clone(), |id| id.to_string());
    let (rate, works) = (count.rate, count.works);
    let minutes = [(count.minute, count.calls), (count.minute - 1, count.calls_before)];
    let rows = minutes.into_iter().enumerate().filter(|(i, (_, calls))| *i == 0 || *calls > 0);
    rows.map(move |(_, (minute, calls))| CallCount { key: key.clone(), minute, calls, rate, works })
}

/// What the views were told last.
#[derive(Default)]
struct Written {
    syncs: Told<SyncId, SyncOutlook>,
    levels: Told<String, LevelOutlook>,
    /// When everything is written again; at once before the first time.
    all_due: Option<Instant>,
    crowded: bool,
    /// Levels with caps whose calls were counted last.
    counted: BTreeSet<(String, Option<ChannelId>)>,
}

impl Written {
    /// Says it when it begins.
    fn note_crowd(&mut self, crowded: bool) {
        if crowded && !self.crowded {
            tracing::warn!(
                most = MOST_SYNCS,
                "more syncs are open than are reported; the views know only the oldest live"
            );
        }
        self.crowded = crowded;
    }
}

/// One table of them.
struct Told<K, V>(HashMap<K, V>);

impl<K, V> Default for Told<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Ord, V: PartialEq + Clone> Told<K, V> {
    /// What is found and was not told like that before; everything when `all` is asked for. In the order of the keys, in
    /// which its rows are locked.
    fn news(&self, found: &HashMap<K, V>, all: bool) -> Vec<V> {
        let changed = found.iter().filter(|(key, row)| all || self.0.get(key) != Some(row));
        changed.collect::<BTreeMap<_, _>>().into_values().cloned().collect()
    }

    fn remember(&mut self, found: HashMap<K, V>) {
        self.0 = found;
    }
}

#[cfg(test)]
mod tests {
    use sincro_core::{
        sync::{JobCounts, MessageCounts, SyncKind, SyncState},
        waiting::WaitsFor,
    };
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn running() -> SyncStatus {
        SyncStatus {
            id: Uuid::from_u128(1),
            channel_id: Uuid::from_u128(2),
            kind: SyncKind::Channel,
            state: SyncState::Running,
            revision: 1,
            jobs: JobCounts { total: 100, queued: 100, ..JobCounts::default() },
            messages: MessageCounts::default(),
            window_days: None,
            delivery: None,
            progress: 0.0,
            eta_seconds: None,
            limited_by: None,
            next_at: None,
            error: None,
            created_at: at(0),
            started_at: Some(at(0)),
            finished_at: None,
        }
    }

    #[test]
    fn a_sync_is_written_down_as_it_is_shown() {
        let waits_for = WaitsFor::Rate { level: Level::Server, per: None };
        let live = Live {
            running: 3,
            delayed: 2,
            waits_for: Some(waits_for),
            next_at: Some(at(9)),
            calls_per_second: Some(14.0),
            ..Live::default()
        };
        let mut shown = running();
        shown.show(&live, at(4));
        let written = outlook(running(), &live, at(4));
        assert_eq!((written.running, written.delayed), (3, 2));
        assert_eq!(written.limited_by.as_deref(), Some("rate: server"));
        assert_eq!((written.next_at, written.eta_seconds), (shown.next_at, shown.eta_seconds));
        assert!(written.eta_seconds.is_some());
    }

    fn view(rate: f64, cooldown: Option<Cooldown>) -> LevelView {
        LevelView {
            configured_rate: Some(rate),
            effective_rate: Some(rate / 2.0),
            observed_rate: 1.5,
            concurrency: Some(8),
            running: 4,
            cooldown,
        }
    }

    #[test]
    fn a_channel_is_written_down_with_its_server() {
        let rest = Cooldown { until: at(60), reason: "throttled: GET /chat/history: 429".to_owned() };
        let view = ChannelView {
            paused: None,
            channel: view(20.0, Some(rest.clone())),
            server: view(100.0, None),
            waits_for: None,
            next_call_at: None,
            probe_at: None,
        };
        let channel = Uuid::from_u128(2);
        let [its, own] = levels("wuzapi/gate".to_owned(), channel, view);
        assert_eq!((its.level, its.key.as_str(), its.configured_rate), (Level::Server, "wuzapi/gate", Some(100.0)));
        assert_eq!((own.level, own.key), (Level::Channel, channel.to_string()));
        assert_eq!((own.effective_rate, own.running, own.cooldown), (Some(10.0), 4, Some(rest)));
    }

    #[test]
    fn only_what_changed_is_written_until_everything_is_due() {
        let mut told: Told<u8, &str> = Told::default();
        let found = |rows: &[(u8, &'static str)]| rows.iter().copied().collect::<HashMap<_, _>>();
        assert_eq!(told.news(&found(&[(2, "b"), (1, "a")]), false), ["a", "b"], "all of it is new");
        told.remember(found(&[(1, "a"), (2, "b")]));
        assert_eq!(told.news(&found(&[(1, "a"), (2, "x"), (3, "c")]), false), ["x", "c"]);
        assert_eq!(told.news(&found(&[(1, "a"), (2, "b")]), true), ["a", "b"]);
        told.remember(found(&[]));
        assert_eq!(told.news(&found(&[(1, "a")]), false), ["a"], "what was gone is new again");
    }
}
