//! What every call has at hand.

use std::{ops::Deref, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use sincro_core::{
    channel::ChannelId,
    hook::{Challenge, Prove},
    limit::LimitRule,
    provider::{Capabilities, Provider},
    sync::SyncId,
};
use sincro_queue::Queue;
use sincro_store::{Store, access::Principal};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{auth::KeyDigest, problem::Problem, queue_view::QueueView, recent::Recent};

/// How long an API key that was found valid is believed. A key that is revoked works for so long at most.
const KEY_BELIEVED_FOR: Duration = Duration::from_secs(10);
/// How long a channel's provider server is remembered; who changes it here is heard at once.
const SERVER_REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How long the rules of `/v1/limits` are remembered for what is only shown; who changes them here is heard at once.
const RULES_REMEMBERED_FOR: Duration = Duration::from_secs(1);
const MOST_REMEMBERED: usize = 4_096;
/// Changes that a slow event stream can be behind before it simply reads again.
const CHANGES_KEPT: usize = 1_024;

/// Large bodies in memory at once, with what is made of them.
const LARGE_BODIES_AT_ONCE: usize = 2;

/// Says whether credentials have the shape that a provider asks for; if not, which field of the request is at fault
/// (`credentials.token`) and what is wrong with it, without its value.
pub type CheckCredentials = fn(Provider, &Value) -> Result<(), (String, String)>;

/// What the composition root decides.
#[derive(Clone)]
pub struct Settings {
    /// How the outside reaches this API: the base of every webhook address.
    pub public_url: Url,
    /// Attempts per job, at least 1.
    pub max_attempts: u32,
    /// Event streams at once in this process.
    pub most_streams: usize,
    /// Jobs that one worker process runs at once, at least 1; for what is said about useful workers.
    pub worker_slots: u32,
    /// What a provider offers, or none while it is not built.
    pub capabilities: fn(Provider) -> Option<Capabilities>,
    /// Whether credentials can be those of a channel.
    pub check_credentials: CheckCredentials,
    /// What shows that a webhook comes from a channel's gateway.
    pub prove: Prove,
    /// What whoever registers a webhook address has to be answered.
    pub challenge: Challenge,
    /// The longest webhook.
    pub hook_max_body_bytes: usize,
    /// No file that is fetched is longer than this; none where files are not fetched.
    pub media_most_bytes: Option<u64>,
    /// What this process has measured; see [`crate::install_metrics`].
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("public_url", &self.public_url.as_str())
            .field("max_attempts", &self.max_attempts)
            .field("most_streams", &self.most_streams)
            .field("worker_slots", &self.worker_slots)
            .finish_non_exhaustive()
    }
}

/// The state that handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// What is behind [`App`].
pub(crate) struct Shared {
    /// The ledger.
    pub(crate) store: Store,
    /// The queue, as far as it can be asked without waiting for it.
    pub(crate) queue: QueueView,
    /// What the composition root decided.
    pub(crate) settings: Settings,
    /// API keys that were valid a moment ago.
    pub(crate) keys: Recent<KeyDigest, Principal>,
    /// Which syncs change, as it happens.
    pub(crate) changes: broadcast::Sender<SyncId>,
    /// Leave to serve one more event stream.
    pub(crate) streams: Arc<Semaphore>,
    /// Leave to read one more large body and act on it.
    pub(crate) large_bodies: Semaphore,
    /// Cancelled when event streams have to end.
    pub(crate) closing: CancellationToken,
    servers: Recent<ChannelId, String>,
    rules: Recent<(), Arc<[LimitRule]>>,
}

impl App {
    pub(crate) fn new(store: Store, queue: Queue, settings: Settings) -> Self {
        let most_streams = settings.most_streams;
        Self(Arc::new(Shared {
            store,
            queue: QueueView::new(queue),
            settings,
            keys: Recent::new(KEY_BELIEVED_FOR, MOST_REMEMBERED),
            changes: broadcast::Sender::new(CHANGES_KEPT),
            streams: Arc::new(Semaphore::new(most_streams)),
            large_bodies: Semaphore::new(LARGE_BODIES_AT_ONCE),
            closing: CancellationToken::new(),
            servers: Recent::new(SERVER_REMEMBERED_FOR, MOST_REMEMBERED),
            rules: Recent::new(RULES_REMEMBERED_FOR, 1),
        }))
    }

    /// The provider server of a channel: the queue wants to be told it.
    pub(crate) async fn server_of(&self, channel: ChannelId) -> Result<String, Problem> {
        if let Some(server) = self.servers.get(&channel) {
            return Ok(server);
        }
        let server = self.store.channel(channel).await?.server();
        self.servers.put(channel, server.clone());
        Ok(server)
    }

    /// To be called when a channel has moved to another server.
    pub(crate) fn forget_server(&self, channel: ChannelId) {
        self.servers.forget(&channel);
    }

    /// The rules of `/v1/limits` as of a second ago at most.
    pub(crate) async fn rules(&self) -> Result<Arc<[LimitRule]>, Problem> {
        if let Some(rules) = self.rules.get(&()) {
            return Ok(rules);
        }
        let rules: Arc<[LimitRule]> = self.store.limit_rules().await?.into();
        self.rules.put((), rules.clone());
        Ok(rules)
    }

    /// To be called when the rules have changed.
    pub(crate) fn forget_rules(&self) {
        self.rules.forget(&());
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
