//! A running simulator: start, steer, stop.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Router, middleware,
    serve::{self, ListenerExt},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    call_log::CallLog,
    contract::Provider,
    control,
    faults::{Faults, Rule},
    gate,
    rate::Limit,
    server::{Channel, Server},
    session::{Change, Outage},
    settings::{Latency, Settings},
    truth::Truth,
    whapi::Readings,
};

/// How long a stop waits for callers that read slowly before it leaves them.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A gateway on loopback. Dropped, it stops listening and lets go of every call that waits on purpose.
#[derive(Debug)]
pub struct Simulator {
    provider: Provider,
    pub(crate) server: Arc<Server>,
    base_url: String,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Simulator {
    /// Binds `127.0.0.1` and serves until [`shutdown`](Self::shutdown). Fails on settings that cannot be drawn and on a
    /// port that is taken.
    pub async fn start(settings: Settings) -> Result<Self> {
        settings.check()?;
        let (provider, port) = (settings.provider, settings.port);
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let server = Arc::new(Server::new(settings));
        // Answers are small: sent at once rather than gathered.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        server.start_posters();
        let stopping = server.stopping.clone();
        let serving = tokio::spawn(
            serve::serve(listener, router(&server))
                .with_graceful_shutdown(async move { stopping.cancelled().await })
                .into_future(),
        );
        Ok(Self { provider, server, base_url, serving: Some(serving) })
    }

    /// `http://127.0.0.1:port`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Whose contract it speaks.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The token of the first channel.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.server.channels[0].token
    }

    /// The tokens of all channels, by channel.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.server.channels.iter().map(|channel| channel.token.as_str())
    }

    /// The truth about the first channel.
    #[must_use]
    pub fn truth(&self) -> Truth {
        Truth::new(Arc::clone(&self.server.channels[0].archive))
    }

    /// The truth about the channel this token opens.
    #[must_use]
    pub fn truth_of(&self, token: &str) -> Option<Truth> {
        self.server.channel_of(token).map(|channel| Truth::new(Arc::clone(&channel.archive)))
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> &CallLog {
        &self.server.calls
    }

    /// Replaces all faults; counters start again. Fails on a share outside 0..=1.
    pub fn set_faults(&self, faults: impl Into<Faults>) -> Result<()> {
        let faults = faults.into();
        faults.check()?;
        self.server.faults.set(faults);
        Ok(())
    }

    /// Adds a rule behind those in force, whose counters go on. Fails on a share outside 0..=1.
    pub fn add_fault(&self, rule: Rule) -> Result<()> {
        Faults::from(rule.clone()).check()?;
        self.server.faults.add(rule);
        Ok(())
    }

    /// Replaces the server's own rate limit; the new one starts with a full burst.
    pub fn set_limit(&self, limit: Option<Limit>) -> Result<()> {
        limit.map_or(Ok(()), Limit::check)?;
        self.server.limiter.set(limit, self.server.clock.now_us());
        Ok(())
    }

    /// Changes how long answers take.
    pub fn set_latency(&self, latency: Latency) {
        self.server.set_latency(latency);
    }

    /// Switches the session of every channel off or on.
    pub fn set_session(&self, up: bool) {
        let change = if up { Change::Up } else { Change::Down };
        self.server.channels.iter().for_each(|channel| self.server.change_session(channel, change));
    }

    /// Switches the session of the channel this token opens. Fails if there is none.
    pub fn set_session_of(&self, token: &str, up: bool) -> Result<()> {
        self.server.change_session(self.channel(token)?, if up { Change::Up } else { Change::Down });
        Ok(())
    }

    /// Takes session and client of the channel this token opens: whatever it asks, but for its status, is answered "no
    /// session", until its session is switched on. Fails if there is no such channel.
    pub fn lose_session_of(&self, token: &str) -> Result<()> {
        self.server.change_session(self.channel(token)?, Change::Unloaded);
        Ok(())
    }

    /// Takes the session of the channel this token opens, and has its status say this word, until its session is switched on.
    /// Fails if there is no such channel.
    pub fn lose_session_with(&self, token: &str, word: &str) -> Result<()> {
        self.server.change_session(self.channel(token)?, Change::Word(word));
        Ok(())
    }

    /// Puts the channel this token opens to sleep, until a call wakes it or its session is switched on. Fails if there is no
    /// such channel.
    pub fn lull(&self, token: &str) -> Result<()> {
        self.channel(token)?.session.lull();
        Ok(())
    }

    /// Decides the open points of Whapi's contract anew. Fails on pages of no length.
    pub fn set_readings(&self, readings: Readings) -> Result<()> {
        readings.check()?;
        self.server.readings.with(|kept| *kept = readings);
        Ok(())
    }

    /// Plans a session loss of every channel, counted from now, or calls it off.
    pub fn set_outage(&self, outage: Option<Outage>) {
        self.server.channels.iter().for_each(|channel| channel.session.plan(outage));
    }

    /// Decides whether the channels keep history.
    pub fn set_history(&self, kept: bool) {
        self.server.history.with(|history| *history = kept);
    }

    /// The channel this token opens.
    pub(crate) fn channel(&self, token: &str) -> Result<&Arc<Channel>> {
        self.server.channel_of(token).context("no channel has this token")
    }

    /// Stops listening, ends every call that waits on purpose, and waits for the rest for a few seconds.
    pub async fn shutdown(mut self) -> Result<()> {
        self.server.stopping.cancel();
        let Some(mut serving) = self.serving.take() else { return Ok(()) };
        if let Ok(ended) = tokio::time::timeout(STOP_PATIENCE, &mut serving).await {
            return ended.context("the simulator failed")?.context("the simulator stopped with an error");
        }
        serving.abort();
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.stopping.cancel();
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

/// The gate is laid around a router that holds nothing but the fallback, so that it runs before any path is matched.
fn router(server: &Arc<Server>) -> Router {
    let inside = server.contract.router(Arc::clone(server)).merge(control::router(Arc::clone(server)));
    Router::new().fallback_service(inside).layer(middleware::from_fn_with_state(Arc::clone(server), gate::pass))
}
