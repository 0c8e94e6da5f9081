//! The permit of a claim whose call is late.

use std::{sync::LazyLock, time::Duration};

use sincro_core::job::JobId;

use crate::{Claim, Error, Queue, claim::Ticket, script::Script};

static MOVE_PERMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/move_permit.lua")));

impl Queue {
    /// Moves the permit of a claim on, for a call that is about to be made later than is usual: whoever calls
    /// next keeps its distance to this call. False when there is no room for the call any more, or the job is no longer held.
    ///
    /// `shortest` is how long the way from a claim to its call takes at least: the permit becomes as old as that. `again`: it
    /// was moved for the same call before, and that took too long as well.
    pub async fn move_permit(&self, claim: &Claim, shortest: Duration, again: bool) -> Result<bool, Error> {
        move_permit(self, claim.key.shard, (claim.key.job, claim.key.ticket), shortest, again).await
    }
}

/// The same, of what is held under a ticket.
pub async fn move_permit(
    queue: &Queue,
    shard: u16,
    (job, ticket): (JobId, Ticket),
    shortest: Duration,
    again: bool,
) -> Result<bool, Error> {
    let call = queue.call(&MOVE_PERMIT, shard).arg(job).arg(ticket);
    let call = call.arg(shortest.as_micros().to_string()).arg(i32::from(again));
    match redis::from_redis_value::<String>(queue.link.run_one(call).await?)?.as_str() {
        "moved" => Ok(true),
        "late" | "lost" => Ok(false),
        other => Err(Error::Unreadable(other.to_owned())),
    }
}
