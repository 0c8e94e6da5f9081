//! The handle on the queue, and what is asked of it as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
};

use futures::future::try_join_all;
use parking_lot::Mutex;
use secrecy::SecretString;
use sincro_core::clock;
use tokio::sync::watch;

use crate::{
    Error, keys,
    link::{Link, Place},
    script::Call,
    script::Script,
};

static TRY_WRITING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/try_writing.lua")));

/// Where the queue lives.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// `redis://` or `rediss://` (TLS), with user and password where Redis wants them; `redis+unix://` for a socket;
    /// `redis+cluster://` and `redis+sentinel://` with several servers (see [`check_redis_url`]).
    pub redis_url: SecretString,
    /// Queues with different namespaces share a Redis and nothing else; letters, digits, `-`, `_` and `.`.
    pub namespace: String,
    /// How many parts the queue has, at least 1. One is right for one Redis, whoever finds it; a cluster has
    /// several for each of its primaries. Another number
    /// means another place for most channels: the queue must be restored afterwards.
    pub shards: u16,
}

/// Says what is wrong with a URL of Redis, without quoting it; connects to nothing.
///
/// `redis+cluster://[user:password@]host[:port][,host[:port]...]` names some nodes of a cluster, and
/// `redis+sentinel://[user:password@]host[:port][,...]/master[?db=N&sentinel_user=...&sentinel_password=...]` the
/// Sentinels of a master; user and password before the hosts are those of the servers behind. `rediss+` is TLS.
///
/// # Errors
/// [`Error::Settings`] with what is wrong.
pub fn check_redis_url(url: &SecretString) -> Result<(), Error> {
    Place::read(url).map(|_| ())
}

impl QueueSettings {
    fn check(&self) -> Result<(), Error> {
        let Self { namespace, shards, .. } = self;
        if namespace.is_empty() || !namespace.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(Error::Settings(format!("namespace {namespace:?} must be letters, digits, '-', '_' or '.'")));
        }
        if *shards == 0 {
            return Err(Error::Settings("shards must be at least 1".to_owned()));
        }
        Ok(())
    }

    /// One shard in the namespace `main`.
    #[must_use]
    pub fn new(redis_url: SecretString) -> Self {
        Self { redis_url, namespace: "main".to_owned(), shards: 1 }
    }
}

/// A handle on the queue; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    pub(crate) link: Link,
    inner: Arc<Inner>,
    time: Time,
}

/// What the scripts take for the present.
#[derive(Clone)]
enum Time {
    /// The clock of Redis.
    Redis,
    /// A test's: always this (µs since the Unix epoch).
    At(i64),
    /// A test's: whatever stands there. The caller's own clock is another one.
    Told(Arc<AtomicI64>),
}

struct Inner {
    namespace: String,
    /// The key prefix of each shard.
    prefixes: Vec<String>,
    emptied: watch::Sender<BTreeSet<u16>>,
    /// Those that only a newer version knows.
    newer: Mutex<BTreeSet<u16>>,
    /// Those whose keys the scripts fail on, and how.
    unusable: Mutex<BTreeMap<u16, Error>>,
}

impl Queue {
    /// Connects; fails within seconds when Redis is not there. Once connected, a lost connection comes back by itself.
    pub async fn connect(settings: QueueSettings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self::over(Link::open(&settings.redis_url).await?, &settings))
    }

    /// Connects when it is first used: for those who have to start while Redis is away. Its version is not checked.
    pub fn connect_later(settings: &QueueSettings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self::over(Link::open_later(&settings.redis_url)?, settings))
    }

    fn over(link: Link, settings: &QueueSettings) -> Self {
        let QueueSettings { namespace, shards, .. } = settings;
        let prefixes = (0..*shards).map(|shard| keys::prefix(namespace, shard)).collect();
        let (emptied, newer, unusable) = Default::default();
        let inner = Inner { namespace: namespace.clone(), prefixes, emptied, newer, unusable };
        Self { link, inner: Arc::new(inner), time: Time::Redis }
    }

    /// Whether Redis answers: of several servers, each that has a part of the queue.
    pub async fn ping(&self) -> Result<(), Error> {
        self.link.ping().await
    }

    /// Whether every shard takes writes: a Redis that is out of memory, a replica or cannot save answers a ping and
    /// refuses this. Changes nothing.
    pub async fn try_writing(&self) -> Result<(), Error> {
        let tries = self.shards().map(|shard| self.link.run_one(self.call(&TRY_WRITING, shard)));
        try_join_all(tries).await.map(drop)
    }

    /// What sets this queue apart from others in the same Redis.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    /// The numbers of all shards.
    #[must_use]
    pub fn shards(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.inner.prefixes.len()).unwrap_or(u16::MAX)
    }

    /// The shard that holds the channels of a provider server.
    #[must_use]
    pub fn shard_of(&self, server: &str) -> u16 {
        keys::shard_of(server, self.shards().end)
    }

    /// The shards that were found without their epoch, or with keys of no use, and wait for a restoration, as this process learns of them.
    #[must_use]
    pub fn emptied(&self) -> watch::Receiver<BTreeSet<u16>> {
        self.inner.emptied.subscribe()
    }

    pub(crate) fn report_emptied(&self, shard: u16) {
        let news = self.inner.emptied.send_if_modified(|shards| shards.insert(shard));
        // What only a newer version may restore is looked at again and again; that was said.
        let told = self.inner.newer.lock().contains(&shard);
        if news && !told {
            tracing::info!(shard, "the queue is new or was emptied; nothing of this shard runs until it is restored");
        }
    }

    /// Takes note of a shard that only a newer version knows, and says so once.
    pub fn report_newer(&self, shard: u16) {
        let news = self.inner.newer.lock().insert(shard);
        if news {
            tracing::warn!(shard, "a newer version of sincro runs this queue; this one waits until it does no longer");
        }
        self.inner.emptied.send_if_modified(|shards| shards.remove(&shard));
    }

    pub(crate) fn report_open(&self, shard: u16) {
        // Others may get along with what one script has failed on.
        if !self.inner.unusable.lock().contains_key(&shard) {
            self.inner.emptied.send_if_modified(|shards| shards.remove(&shard));
        }
        self.inner.newer.lock().remove(&shard);
    }

    /// Takes note of a script that failed on the keys of its shard; of no other failure.
    pub(crate) fn report_failure(&self, shard: u16, error: &Error) {
        let Error::Unusable(cause) = error else { return };
        self.inner.unusable.lock().entry(shard).or_insert_with(|| Error::Unusable(cause.to_string().into()));
        self.inner.emptied.send_if_modified(|shards| shards.insert(shard));
    }

    /// How a script has failed on the keys of the shard, if one has since the last such question.
    #[must_use]
    pub fn take_failure(&self, shard: u16) -> Option<Error> {
        self.inner.unusable.lock().remove(&shard)
    }

    /// The same queue at a time of the caller's choice (µs since the Unix epoch), for tests under a virtual clock.
    #[doc(hidden)]
    #[must_use]
    pub fn at(&self, now_us: i64) -> Self {
        Self { time: Time::At(now_us), ..self.clone() }
    }

    /// The same queue under a clock that a test moves (µs since the Unix epoch), beside the clocks of its users.
    #[doc(hidden)]
    #[must_use]
    pub fn told(&self, time: Arc<AtomicI64>) -> Self {
        Self { time: Time::Told(time), ..self.clone() }
    }

    /// The time by which relative waits are reckoned (µs since the Unix epoch).
    pub(crate) fn clock_us(&self) -> i64 {
        match self.time {
            Time::At(now_us) => now_us,
            Time::Redis | Time::Told(_) => clock::now().timestamp_micros(),
        }
    }

    /// What the scripts are told; 0 for the clock of Redis.
    fn script_us(&self) -> i64 {
        match &self.time {
            Time::Redis => 0,
            Time::At(now_us) => *now_us,
            Time::Told(time) => time.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn call(&self, script: &'static Script, shard: u16) -> Call {
        match self.inner.prefixes.get(usize::from(shard)) {
            Some(prefix) => Call::new(script, prefix, self.script_us()),
            None => Call::new(script, &keys::prefix(&self.inner.namespace, shard), self.script_us()),
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("namespace", &self.inner.namespace)
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}
