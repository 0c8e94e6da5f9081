//! What all runs of one call of the driver share: the world, the sizes, and the best effort of everybody.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::{
    args::Args,
    figures::execute,
    peers::{self, Effort, Who},
    world::World,
};

/// One call of the driver.
pub(crate) struct Session {
    pub(crate) world: World,
    quick: bool,
    best: Mutex<BTreeMap<Who, Effort>>,
}

impl Session {
    pub(crate) async fn begin(args: &Args) -> anyhow::Result<Self> {
        peers::prepare()?;
        Ok(Self { world: World::start(args.data.as_deref()).await?, quick: args.quick, best: Mutex::default() })
    }

    /// A size of the real measurement, or the tenth part of it for a try.
    pub(crate) const fn size(&self, real: usize) -> usize {
        if self.quick { real / 10 } else { real }
    }

    /// The effort at which one did most, tried once for all runs.
    pub(crate) async fn best(&self, who: Who) -> anyhow::Result<Effort> {
        let mut best = self.best.lock().await;
        if let Some(effort) = best.get(&who) {
            return Ok(*effort);
        }
        let effort = execute::try_efforts(self, who).await?;
        best.insert(who, effort);
        Ok(effort)
    }

    /// The same of everybody, as far as it was tried.
    pub(crate) async fn best_so_far(&self) -> BTreeMap<Who, Effort> {
        self.best.lock().await.clone()
    }
}
