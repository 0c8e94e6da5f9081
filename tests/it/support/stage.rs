//! A world in which everything runs: one gateway, one channel at it, an API and a worker.

use sincro_core::{
    limit::Limit,
    sync::{SyncId, SyncStatus},
};
use sincro_simulator::{Population, Settings};
use uuid::Uuid;

use super::{
    gateway::Gateway,
    process::Process,
    world::{Api, Setting, World},
};

/// So fast that the limit does not show.
pub(crate) const FAST: Limit = Limit { rate_per_second: 2_000.0, burst: 1, concurrency: 32 };

/// Everything a test about syncs needs; dropped in this order.
pub(crate) struct Stage {
    pub(crate) worker: Process,
    pub(crate) api: Api,
    pub(crate) channel: Uuid,
    pub(crate) gateway: Gateway,
    pub(crate) world: World,
}

impl Stage {
    /// A fast channel with these people.
    pub(crate) async fn of(population: Population) -> Self {
        Self::with(population, FAST, &[]).await
    }

    pub(crate) async fn with(population: Population, limit: Limit, settings: &[Setting<'_>]) -> Self {
        let gateway = Settings { population, ..Settings::default() };
        Self::set(World::with(settings).await, gateway, limit).await
    }

    /// In this world, at this gateway.
    pub(crate) async fn set(world: World, gateway: Settings, limit: Limit) -> Self {
        let gateway = Gateway::start(gateway).await;
        let api = world.api().await;
        let channel = api.create_channel(&gateway, limit).await;
        let worker = world.worker().await;
        Self { worker, api, channel, gateway, world }
    }

    /// Starts a sync of the whole channel, 25 messages per address.
    pub(crate) async fn start(&self) -> SyncId {
        self.api.start_sync(self.channel, 25).await.id
    }

    /// A sync of the whole channel, from request to end.
    pub(crate) async fn sync(&self) -> SyncStatus {
        let sync = self.start().await;
        self.api.end_of(sync).await
    }
}
