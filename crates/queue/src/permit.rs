//! The permit of a claim whose call is late.

use std::{sync::LazyLock, time::Duration};

use sincro_core::job::JobId;

use crate::{Claim, Error, Queue, claim::Ticket, script::Script};

static MOVE_PERMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/move_permit.lua")));

impl Queue {
    /// Moves the permit of a claim on, for a call that is made later than is usual: whoever calls next keeps its distance to
    /// this call. False, and nothing is changed, when the job is no longer held, or when `to_call` and there is no room for the
    /// call, which is not made yet.
    ///
    /// `shortest` is how long the way from a claim to its call takes at least: the permit becomes as old as that.
    pub async fn move_permit(&self, claim: &Claim, shortest: Duration, to_call: bool) -> Result<bool, Error> {
        move_permit(self, claim.key.shard, (claim.key.job, claim.key.ticket), shortest, to_call).await
    }
}

/// The same, of what is held under a ticket.
pub async fn move_permit(
    queue: &Queue,
    shard: u16,
    (job, ticket): (JobId, Ticket),
    shortest: Duration,
    to_call: bool,
) -> Result<bool, Error> {
    let call = queue.call(&MOVE_PERMIT, shard).arg(job).arg(ticket).arg(shortest.as_micros().to_string());
    let call = call.arg(i32::from(to_call));
    match redis::from_redis_value::<String>(queue.link.run_one(call).await?)?.as_str() {
        "moved" => Ok(true),
        "late" | "lost" => Ok(false),
        other => Err(Error::Unreadable(other.to_owned())),
    }
}
