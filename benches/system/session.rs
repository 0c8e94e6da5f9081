//! What all runs of one call of the driver share: the world, the sizes, and the best effort of everybody.

use std::collections::BTreeMap;

use tokio::sync::OnceCell;

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
    best: OnceCell<BTreeMap<Who, Effort>>,
}

impl Session {
    pub(crate) async fn begin(args: &Args) -> anyhow::Result<Self> {
        peers::prepare()?;
        Ok(Self { world: World::start(args.data.as_deref()).await?, quick: args.quick, best: OnceCell::new() })
    }

    /// A size of the real measurement, or the tenth part of it for a try.
    pub(crate) const fn size(&self, real: usize) -> usize {
        if self.quick { real / 10 } else { real }
    }

    /// The effort at which one did most, tried once for all runs.
    pub(crate) async fn best(&self, who: Who) -> anyhow::Result<Effort> {
        let best = self.best.get_or_try_init(|| execute::try_efforts(self)).await?;
        Ok(best.get(&who).copied().unwrap_or_default())
    }

    /// The same of everybody, if it was tried.
    pub(crate) fn best_so_far(&self) -> BTreeMap<Who, Effort> {
        self.best.get().cloned().unwrap_or_default()
    }
}
