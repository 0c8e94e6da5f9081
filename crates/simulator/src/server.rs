//! The state all parts of a running simulator share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::{
    archive::Archive,
    arrivals::Arrivals,
    call_log::CallLog,
    clock::Clock,
    contract::Contract,
    dice::{self, Purpose},
    faults::Switchboard,
    guarded::Guarded,
    rate::Limiter,
    session::Session,
    settings::{Latency, Settings},
    whapi::Readings,
};

/// One running gateway server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) clock: Clock,
    pub(crate) contract: &'static dyn Contract,
    /// How the open points of Whapi's contract are decided.
    pub(crate) readings: Guarded<Readings>,
    pub(crate) channels: Vec<Arc<Channel>>,
    by_token: HashMap<String, usize>,
    pub(crate) calls: CallLog,
    pub(crate) faults: Switchboard,
    pub(crate) limiter: Limiter,
    pub(crate) history: Guarded<bool>,
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
}

impl Server {
    pub(crate) fn new(settings: Settings) -> Self {
        let (clock, contract) = (Clock::start(), settings.provider.contract());
        let channel = |(number, token): (usize, &String)| {
            let archive = Arc::new(Archive::new(settings.population_of(number), number, contract.keeping()));
            let (session, arrivals) = (Session::new(settings.outage), Arrivals::default());
            Arc::new(Channel { number, token: token.clone(), archive, session, arrivals })
        };
        let limiter = Limiter::default();
        limiter.set(settings.limit, clock.now_us());
        Self {
            clock,
            contract,
            readings: Guarded::new(settings.whapi),
            channels: settings.tokens.iter().enumerate().map(channel).collect(),
            by_token: settings.tokens.iter().cloned().zip(0..).collect(),
            calls: CallLog::new(clock),
            faults: Switchboard::new(settings.faults),
            limiter,
            history: Guarded::new(settings.history),
            stopping: CancellationToken::new(),
            latency: Guarded::new(settings.latency),
            seed: settings.population.seed,
        }
    }

    /// The channel this token opens.
    pub(crate) fn channel_of(&self, token: &str) -> Option<&Arc<Channel>> {
        self.by_token.get(token).map(|number| &self.channels[*number])
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
