//! The state all parts of a running simulator share.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::Rng;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::Archive,
    arrivals::Arrivals,
    call_log::CallLog,
    clock::Clock,
    contract::Contract,
    dice::{self, Purpose},
    faults::Switchboard,
    gdbrns,
    guarded::Guarded,
    hooks,
    hooks::{DeliveryLog, Pace, emit, faults::HookSwitchboard, outbox::Outbox},
    pairing::Step,
    positus,
    rate::Limiter,
    session::{Change, Session},
    settings::{Latency, Settings},
    whapi, wsapi, wuzapi,
};

/// One running gateway server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) clock: Clock,
    pub(crate) contract: &'static dyn Contract,
    /// How the open points of each contract are decided.
    pub(crate) readings: Guarded<whapi::Readings>,
    /// How Whapi restores single messages.
    pub(crate) restoring: Guarded<whapi::Restoring>,
    pub(crate) wuzapi: Guarded<wuzapi::Readings>,
    pub(crate) positus: Guarded<positus::Readings>,
    pub(crate) wsapi: Guarded<wsapi::Readings>,
    pub(crate) gdbrns: Guarded<gdbrns::Readings>,
    pub(crate) channels: Vec<Arc<Channel>>,
    by_token: HashMap<String, usize>,
    pub(crate) calls: CallLog,
    pub(crate) faults: Switchboard,
    pub(crate) limiter: Limiter,
    pub(crate) history: Guarded<bool>,
    pub(crate) hook_faults: HookSwitchboard,
    pub(crate) deliveries: DeliveryLog,
    pace: Guarded<Pace>,
    events: AtomicU64,
    unique: AtomicU64,
    /// Cancelled when the simulator stops; whatever waits on purpose gives up then.
    pub(crate) stopping: CancellationToken,
    latency: Guarded<Latency>,
    seed: u64,
}

/// One connected number of the server.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) number: usize,
    pub(crate) token: String,
    pub(crate) archive: Arc<Archive>,
    pub(crate) session: Session,
    /// Messages that came in while chats were read.
    pub(crate) arrivals: Arrivals,
    /// Where its webhooks go, and those that wait.
    pub(crate) outbox: Arc<Outbox>,
    /// What each contract remembers of a channel.
    pub(crate) cache: Guarded<wsapi::Cache>,
    pub(crate) onboarding: Guarded<positus::Onboarding>,
    pub(crate) registered: Guarded<gdbrns::Registered>,
    pub(crate) deep: Guarded<wuzapi::Deep>,
    pub(crate) restored: whapi::Restored,
    pub(crate) settings: Guarded<Map<String, Value>>,
    /// Messages whose files are gone, whatever their age.
    pub(crate) lost_files: Guarded<BTreeSet<String>>,
}

impl Server {
    pub(crate) fn new(settings: Settings) -> Self {
        let (clock, contract) = (Clock::start(), settings.provider.contract());
        let channel = |(number, token): (usize, &String)| {
            let archive = Arc::new(Archive::new(settings.population_of(number), number, contract.keeping()));
            Arc::new(Channel {
                number,
                token: token.clone(),
                cache: Guarded::new(if settings.history {
                    wsapi::Cache::full(archive.crowd())
                } else {
                    wsapi::Cache::empty()
                }),
                archive,
                session: Session::new(settings.outage),
                arrivals: Arrivals::default(),
                outbox: Arc::default(),
                onboarding: Guarded::default(),
                registered: Guarded::default(),
                deep: Guarded::default(),
                restored: whapi::Restored::default(),
                settings: Guarded::default(),
                lost_files: Guarded::default(),
            })
        };
        let limiter = Limiter::default();
        limiter.set(settings.limit, clock.now_us());
        Self {
            clock,
            contract,
            readings: Guarded::new(settings.whapi),
            restoring: Guarded::new(settings.whapi_restoring),
            wuzapi: Guarded::new(settings.wuzapi),
            positus: Guarded::new(settings.positus),
            wsapi: Guarded::new(settings.wsapi),
            gdbrns: Guarded::new(settings.gdbrns),
            channels: settings.tokens.iter().enumerate().map(channel).collect(),
            by_token: settings.tokens.iter().cloned().zip(0..).collect(),
            calls: CallLog::new(clock),
            faults: Switchboard::new(settings.faults),
            limiter,
            history: Guarded::new(settings.history),
            hook_faults: HookSwitchboard::new(settings.hook_faults),
            deliveries: DeliveryLog::default(),
            pace: Guarded::new(settings.pace),
            events: AtomicU64::new(0),
            unique: AtomicU64::new(0),
            stopping: CancellationToken::new(),
            latency: Guarded::new(settings.latency),
            seed: settings.population.seed,
        }
    }

    /// The channel this token opens.
    pub(crate) fn channel_of(&self, token: &str) -> Option<&Arc<Channel>> {
        self.by_token.get(token).map(|number| &self.channels[*number])
    }

    /// Has each channel's webhooks sent from now on.
    pub(crate) fn start_posters(self: &Arc<Self>) {
        for channel in &self.channels {
            tokio::spawn(hooks::poster::run(Arc::clone(self), Arc::clone(channel)));
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace.with(|pace| *pace)
    }

    pub(crate) fn set_pace(&self, pace: Pace) {
        self.pace.with(|kept| *kept = pace);
        self.channels.iter().for_each(|channel| channel.outbox.wake());
    }

    /// The number of the next event.
    pub(crate) fn next_event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed)
    }

    /// A number that is given once.
    pub(crate) fn next_unique(&self) -> u64 {
        self.unique.fetch_add(1, Ordering::Relaxed)
    }

    /// The time of the clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let now_us = i64::try_from(self.clock.now_us()).ok();
        now_us.and_then(DateTime::from_timestamp_micros).unwrap_or_default()
    }

    /// Changes a session by hand, and has the channel tell it where that is news.
    pub(crate) fn change_session(&self, channel: &Channel, change: Change<'_>) {
        if channel.session.change(change) {
            for event in self.contract.told_of_session(self, channel, change) {
                emit::tell(self, channel, event);
            }
        }
    }

    /// Takes the session of a channel for good.
    pub(crate) fn lose_session(&self, channel: &Channel) {
        self.change_session(channel, Change::Down);
    }

    /// Has a channel paired anew, one step of it or both.
    pub(crate) fn pair(&self, channel: &Channel, step: Option<Step>) {
        if step != Some(Step::Finish) {
            channel.session.change(Change::Up);
            for event in self.contract.told_of_session(self, channel, Change::Up) {
                emit::tell(self, channel, event);
            }
            self.contract.pair(self, channel, Step::Begin);
        }
        if step != Some(Step::Begin) {
            self.contract.pair(self, channel, Step::Finish);
        }
    }

    pub(crate) fn set_latency(&self, latency: Latency) {
        self.latency.with(|kept| *kept = latency);
    }

    /// Takes the time an answer takes; a stopping simulator does not wait.
    pub(crate) async fn take_time(&self, call: u64) {
        let Latency { fixed_ms, jitter_ms } = self.latency.with(|kept| *kept);
        if fixed_ms == 0 && jitter_ms == 0 {
            return;
        }
        let jitter_us =
            dice::roll(self.seed, Purpose::Latency, call, 0).random_range(0..=jitter_ms.saturating_mul(1_000));
        let wait = Duration::from_millis(fixed_ms).saturating_add(Duration::from_micros(jitter_us));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.stopping.cancelled() => {}
        }
    }
}
