//! The permit of a claim whose call is late.

use std::sync::LazyLock;

use sincro_core::job::JobId;

use crate::{Claim, Error, Queue, claim::Ticket, script::Script};

static RETIME_PERMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/retime_permit.lua")));

impl Queue {
    /// Moves the permit of a claim to the present, for a call that is about to be made later than is usual: whoever calls
    /// next keeps its distance to this call. False when the job is no longer held under the claim.
    pub async fn retime(&self, claim: &Claim) -> Result<bool, Error> {
        retime(self, claim.key.shard, claim.key.job, claim.key.ticket).await
    }
}

/// The same, of what is held under a ticket.
pub async fn retime(queue: &Queue, shard: u16, job: JobId, ticket: Ticket) -> Result<bool, Error> {
    let call = queue.call(&RETIME_PERMIT, shard).arg(job).arg(ticket);
    match redis::from_redis_value::<String>(queue.link.run_one(call).await?)?.as_str() {
        "retimed" => Ok(true),
        "lost" => Ok(false),
        other => Err(Error::Unreadable(other.to_owned())),
    }
}
