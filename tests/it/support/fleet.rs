//! A stage with several channels behind one provider server.

use std::{ops::Deref, time::Duration};

use serde_json::{Value, json};
use sincro_core::{limit::Limit, sync::SyncId};
use sincro_simulator::Settings;
use uuid::Uuid;

use super::{Gateway, Stage, World, process::Process, within};

/// A channel per token of the gateway, in their order; the stage's own channel is the first.
pub(crate) struct Fleet {
    pub(crate) channels: Vec<Uuid>,
    /// Beside the stage's own; they end with the fleet.
    _workers: Vec<Process>,
    pub(crate) stage: Stage,
}

impl Deref for Fleet {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Fleet {
    /// Channels with this limit each, at a gateway with as many tokens, and so many worker processes.
    pub(crate) async fn set(world: World, gateway: Settings, limit: Limit, workers: usize) -> Self {
        let gateway = Gateway::start(gateway).await;
        let api = world.api().await;
        let mut channels = Vec::new();
        for token in gateway.tokens() {
            channels.push(api.create_channel_with(&gateway, token, limit).await);
        }
        let worker = world.worker().await;
        let mut others = Vec::new();
        for _ in 1..workers {
            others.push(world.worker().await);
        }
        let stage = Stage { worker, api, channel: channels[0], gateway, world };
        Self { channels, _workers: others, stage }
    }

    /// `provider/host:port` of the gateway.
    pub(crate) fn server(&self) -> String {
        format!("{}/{}", self.gateway.provider().as_str(), self.gateway.base_url().trim_start_matches("http://"))
    }

    /// Puts these rules in the place of all others.
    pub(crate) async fn put_limits(&self, rules: Value) -> Value {
        let request = self.api.request(reqwest::Method::PUT, "/v1/limits").json(&json!({ "rules": rules }));
        self.api.send(request).await.ok()
    }

    /// Limits the gateway's server.
    pub(crate) async fn limit_server(&self, rate_per_second: f64) {
        self.put_limits(json!([{"match": self.server(), "rate_per_second": rate_per_second, "burst": 1}])).await;
    }

    /// Starts a sync of every channel.
    pub(crate) async fn start_all(&self) -> Vec<SyncId> {
        let mut syncs = Vec::new();
        for channel in &self.channels {
            syncs.push(self.api.start_sync(*channel, 5).await.id);
        }
        syncs
    }

    /// Forgets the calls so far and waits for so many more.
    pub(crate) async fn fresh_calls(&self, count: usize) {
        self.gateway.calls().clear();
        within("calls", self.gateway.calls().wait_for(count, |_| true)).await;
    }

    /// What part of the calls that a rate allows were made, from the first call in the log to the last.
    pub(crate) fn used(&self, rate_per_second: f64) -> f64 {
        let calls = self.gateway.calls().all();
        let times = || calls.iter().map(|call| call.at_us);
        let span = Duration::from_micros(times().max().unwrap() - times().min().unwrap());
        (f64::from(u32::try_from(calls.len()).unwrap()) - 1.0) / span.as_secs_f64() / rate_per_second
    }
}
