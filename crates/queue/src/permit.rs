//! The permit of a claim whose call is late.

use std::{sync::LazyLock, time::Duration};

use sincro_core::job::JobId;

use crate::{Claim, Error, Queue, claim::Ticket, script::Script};

static MOVE_PERMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/move_permit.lua")));

impl Queue {
    /// Moves the permit of a claim on, for a call that is being made later than is usual: whoever calls next keeps its distance to
    /// this call. Does nothing when the job is no longer held.
    ///
    /// `shortest` is how long the way from a claim to its call takes at least: the permit becomes as old as that.
    pub async fn move_permit(&self, claim: &Claim, shortest: Duration) -> Result<(), Error> {
        move_permit(self, claim.key.shard, (claim.key.job, claim.key.ticket), shortest).await.map(drop)
    }
}

/// The same, of what is held under a ticket; false when it no longer is.
pub async fn move_permit(
    queue: &Queue,
    shard: u16,
    (job, ticket): (JobId, Ticket),
    shortest: Duration,
) -> Result<bool, Error> {
    let call = queue.call(&MOVE_PERMIT, shard).arg(job).arg(ticket).arg(shortest.as_micros().to_string());
    match redis::from_redis_value::<String>(queue.link.run_one(call).await?)?.as_str() {
        "moved" => Ok(true),
        "lost" => Ok(false),
        other => Err(Error::Unreadable(other.to_owned())),
    }
}
