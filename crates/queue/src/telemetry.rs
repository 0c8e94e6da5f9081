//! The queue's metrics, named and described in one place.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const CLAIMS: &str = "sincro_claims_total";
pub(crate) const CLAIM_BATCH: &str = "sincro_claim_batch_size";
pub(crate) const LIMITER_WAIT: &str = "sincro_limiter_wait_seconds";
pub(crate) const REDIS_ERRORS: &str = "sincro_redis_errors_total";
pub(crate) const STALE_RESULTS: &str = "sincro_stale_results_total";
pub(crate) const LEASES_LOST: &str = "sincro_leases_lost_total";
pub(crate) const JOBS_RUNNING: &str = "sincro_jobs_running";

/// Tells the installed recorder what the metrics of this crate mean.
pub fn describe_metrics() {
    describe_counter!(
        CLAIMS,
        "Questions for jobs by result: claimed, nothing, emptied (the shard waits for its restoration), newer (a newer version runs it), error"
    );
    describe_histogram!(CLAIM_BATCH, Unit::Count, "Jobs given by one successful claim");
    describe_histogram!(
        LIMITER_WAIT,
        Unit::Seconds,
        "How long free worker slots waited for a permit of a rate or for the end of a cooldown while work was queued, by the \
         level (channel, server) that bound last"
    );
    describe_counter!(REDIS_ERRORS, "Requests to Redis that failed and were sent again");
    describe_counter!(STALE_RESULTS, "Results that came after their lease was lost, and changed nothing in the queue");
    describe_counter!(
        LEASES_LOST,
        "Leases that were gone when they were to be renewed, or with the life of their shard"
    );
    describe_gauge!(JOBS_RUNNING, Unit::Count, "Jobs held by this process");
}
