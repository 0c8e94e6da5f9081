//! Composition of the server processes: `sincro api`, `worker`, `all`; `dev` and `demo` use the same parts.
//!
//! The one place where the rooms are put together. A process that ends in good order has finished or handed back
//! everything it had claimed.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use sincro_api::{Api, install_metrics};
use sincro_core::retry::RetryPolicy;
use sincro_providers::{GatewaySettings, Gateways};
use sincro_queue::{Queue, QueueSettings};
use sincro_store::{SecretKey, Store};
use sincro_worker::target;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{config::Config, lifecycle::Lifecycle};

/// How often a ledger that is away is asked for.
const KNOCK_AGAIN: Duration = Duration::from_millis(500);

/// The ledger and the queue, connected.
#[derive(Clone)]
pub(crate) struct Parts {
    pub store: Store,
    pub queue: Queue,
}

impl Parts {
    /// Connects to both servers. Redis may be away, Postgres may not.
    pub(crate) async fn connect(config: &Config) -> anyhow::Result<Self> {
        let store = connect_store(config).await?;
        let settings = QueueSettings {
            redis_url: config.redis_url()?.clone(),
            namespace: config.redis_namespace.clone(),
            shards: config.redis_shards,
        };
        let queue = match Queue::connect(settings.clone()).await {
            // The ledger accepts what comes; the queue hears of it when it is back.
            Err(error @ sincro_queue::Error::Unreachable(_)) => {
                tracing::warn!(%error, "starting without the queue; nothing runs until Redis is there");
                Queue::connect_later(&settings)
            }
            connected => connected,
        };
        let queue = queue.context("redis_url")?;
        Ok(Self { store, queue })
    }
}

/// Connects to the ledger alone.
pub(crate) async fn connect_store(config: &Config) -> anyhow::Result<Store> {
    let url = config.database_url()?.expose_secret();
    Store::connect(url, config.database_connections, Some(secret_key(config)?))
        .await
        .context("database_url: the ledger cannot be reached")
}

fn secret_key(config: &Config) -> anyhow::Result<SecretKey> {
    SecretKey::from_base64(config.secret_key()?.expose_secret()).context("secret_key")
}

/// Serves the API until it is drained.
pub(crate) async fn api(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let Some(parts) = ready(&config, &lifecycle.drain).await? else { return Ok(()) };
    let listener = listen(config.listen).await?;
    api_over(&parts, &config, &listener)?.serve(listener, lifecycle.drain).await.context("the API")
}

/// Runs jobs until it is drained.
pub(crate) async fn worker(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let Some(parts) = ready(&config, &lifecycle.drain).await? else { return Ok(()) };
    // Webhooks come to the API, wherever that is.
    let public_url = config.public_url(config.listen);
    match config.worker_listen {
        None => run_worker(parts, &config, public_url, lifecycle.drain).await,
        Some(address) => {
            let listener = listen(address).await?;
            let api = api_over(&parts, &config, &listener)?.about_itself();
            beside(api, parts, &config, listener, public_url, lifecycle.drain).await
        }
    }
}

/// Both in one process. Either one's failure stops the other.
pub(crate) async fn all(config: Config, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let Some(parts) = ready(&config, &lifecycle.drain).await? else { return Ok(()) };
    let listener = listen(config.listen).await?;
    both(parts, &config, listener, lifecycle.drain).await
}

/// API and worker beside each other until `drain`.
pub(crate) async fn both(
    parts: Parts,
    config: &Config,
    listener: TcpListener,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let api = api_over(&parts, config, &listener)?;
    let public_url = config.public_url(listener.local_addr()?);
    beside(api, parts, config, listener, public_url, drain).await
}

/// Serves and works until `drain`, or until one of both ends.
async fn beside(
    api: Api,
    parts: Parts,
    config: &Config,
    listener: TcpListener,
    public_url: String,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let stop = drain.child_token();
    let serving = async {
        let _stop_the_other = stop.clone().drop_guard();
        api.serve(listener, stop.clone()).await.context("the API")
    };
    let working = async {
        let _stop_the_other = stop.clone().drop_guard();
        run_worker(parts, config, public_url, stop.clone()).await
    };
    let (served, worked) = tokio::join!(serving, working);
    served.and(worked)
}

pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen: {address} cannot be listened on"))
}

/// Waits for a ledger that is away, and refuses one that is there and cannot be right; none if the process is to end before.
async fn ready(config: &Config, drain: &CancellationToken) -> anyhow::Result<Option<Parts>> {
    tokio::select! {
        parts = until_ready(config) => parts.map(Some),
        () = drain.cancelled() => Ok(None),
    }
}

async fn until_ready(config: &Config) -> anyhow::Result<Parts> {
    // What is wrong with the settings is said at once.
    secret_key(config)?;
    config.redis_url()?;
    let mut waits = false;
    loop {
        match migrated(config).await {
            Err(error) if is_away(&error) => {
                if !waits {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "waiting for the ledger; nothing runs until Postgres is there");
                }
                waits = true;
                sleep(KNOCK_AGAIN).await;
            }
            Ok(parts) => {
                if waits {
                    tracing::info!("the ledger is there");
                }
                return Ok(parts);
            }
            refused => return refused,
        }
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(sincro_store::Error::Unavailable(_)))
}

async fn migrated(config: &Config) -> anyhow::Result<Parts> {
    Store::knock(config.database_url()?.expose_secret()).await.context("database_url")?;
    let parts = Parts::connect(config).await?;
    if !parts.store.is_migrated().await? {
        bail!("the database is not up to date: run `sincro migrate` first");
    }
    Ok(parts)
}

/// An API over these parts, and the process's one recorder of metrics.
fn api_over(parts: &Parts, config: &Config, listener: &TcpListener) -> anyhow::Result<Api> {
    let metrics = install_metrics()?;
    sincro_queue::describe_metrics();
    sincro_providers::describe_metrics();
    sincro_worker::describe_metrics();
    let settings = sincro_api::Settings {
        public_url: config.public_url(listener.local_addr()?).parse().context("public_url")?,
        max_attempts: config.max_attempts,
        most_streams: config.event_streams,
        worker_slots: u32::try_from(config.worker_concurrency).unwrap_or(u32::MAX),
        capabilities: sincro_providers::capabilities,
        check_credentials: |provider, given| {
            sincro_providers::check_credentials(provider, given).map_err(|error| (error.field, error.problem))
        },
        prove: sincro_providers::prove,
        challenge: sincro_providers::challenge,
        hook_max_body_bytes: config.hook_max_body_bytes,
        media_most_bytes: config.media_place.as_ref().map(|_| config.media_most_bytes),
        metrics,
    };
    Ok(Api::new(parts.store.clone(), parts.queue.clone(), settings))
}

/// Runs jobs until `drain`.
async fn run_worker(parts: Parts, config: &Config, public_url: String, drain: CancellationToken) -> anyhow::Result<()> {
    let gateways = Gateways::new(&GatewaySettings {
        call_timeout: config.gateway_timeout,
        max_body_bytes: config.gateway_max_body_bytes,
        max_contacts_bytes: config.gateway_max_contacts_bytes,
        memory_bytes: config.gateway_memory_bytes,
        ..GatewaySettings::default()
    })?;
    let target = config.media_target().transpose().context("media_target")?;
    let settings = sincro_worker::Settings {
        name: format!("{}-{}", host_name(), Uuid::now_v7().simple()),
        concurrency: config.worker_concurrency,
        lease: config.lease,
        grace: config.shutdown_grace,
        retry: RetryPolicy { base: config.retry_base, cap: config.retry_cap, max_attempts: config.max_attempts },
        settle_batch: config.settle_batch,
        sweep_every: config.sweep_every,
        retention: config.retention,
        hook_retention: config.hook_retention,
        media: target.map(|target| target::Settings { target, most_bytes: config.media_most_bytes }),
        waits: config.waits,
        public_url,
    };
    tracing::info!(name = settings.name, concurrency = settings.concurrency, "the worker works");
    sincro_worker::run(parts.store, parts.queue, gateways, settings, drain).await.context("the worker")
}

/// For people who look at logs; nothing depends on it.
fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "worker".to_owned(), |name| name.trim().to_owned())
}
