//! Putting off the expiry of leases.

use std::{sync::LazyLock, time::Duration};

use sincro_core::job::JobId;

use crate::{Error, Queue, claim::Ticket, script::Script};

static RENEW_LEASES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/renew_leases.lua")));

/// What the script takes at once.
const LEASES_PER_CALL: usize = 1_000;

/// Holds jobs of one shard for another `lease` from now; returns those that are lost.
pub async fn renew(queue: &Queue, shard: u16, lease: Duration, held: &[(JobId, Ticket)]) -> Result<Vec<JobId>, Error> {
    let calls: Vec<_> = held
        .chunks(LEASES_PER_CALL)
        .map(|chunk| {
            let call = queue.call(&RENEW_LEASES, shard).arg(lease.as_micros().to_string());
            chunk.iter().fold(call, |call, (job, ticket)| call.arg(job).arg(ticket))
        })
        .collect();
    let mut lost = Vec::new();
    for answer in queue.link.run(&calls).await? {
        lost.extend(redis::from_redis_value::<Vec<JobId>>(answer?)?);
    }
    Ok(lost)
}
