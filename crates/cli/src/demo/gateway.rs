//! The simulated gateway of the demo.

use std::time::Duration;

use anyhow::Context as _;
use sincro_simulator::{Latency, Population, Settings, Simulator};

use crate::{args::Demo, home::Home};

const PORT_FILE: &str = "gateway.port";

/// A simulated WuzAPI with one number.
pub(super) struct Gateway {
    simulator: Simulator,
}

impl Gateway {
    /// Starts it where it was the last time, so that a sync that was interrupted finds it again.
    pub(super) async fn start(options: &Demo, home: &Home) -> anyhow::Result<Self> {
        let settings = Settings {
            port: home.read(PORT_FILE)?.and_then(|port| port.parse().ok()).unwrap_or(0),
            population: Population {
                seed: options.seed,
                contacts: options.contacts,
                share_lid_only: 0.03,
                ..Population::default()
            },
            faults: match &options.faults {
                Some(faults) => faults.parse().context("--faults")?,
                None => sincro_simulator::Faults::default(),
            },
            latency: Latency { fixed_ms: 5, jitter_ms: 20 },
            ..Settings::default()
        };
        let port = settings.port;
        let simulator = Simulator::start(settings).await.with_context(|| {
            format!("the simulated gateway cannot listen on port {port}; with another --data-dir it takes another one")
        })?;
        if let Some((_, port)) = simulator.base_url().rsplit_once(':') {
            home.write(PORT_FILE, port.trim_end_matches('/'))?;
        }
        Ok(Self { simulator })
    }

    pub(super) fn base_url(&self) -> &str {
        self.simulator.base_url()
    }

    pub(super) fn token(&self) -> &str {
        self.simulator.token()
    }

    /// How many calls it saw, and the most of them within any one second.
    pub(super) fn calls(&self) -> (usize, usize) {
        let log = self.simulator.calls();
        (log.count(|_| true), log.max_in_window(Duration::from_secs(1), |_| true))
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.simulator.shutdown().await
    }
}
