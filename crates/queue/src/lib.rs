//! The queue: what may run next, and when. Redis, Lua and apalis end here; nobody outside sees a type of theirs.
//!
//! The ledger (Postgres) says what must be done; this crate only remembers the order, and can be emptied at any time: a
//! shard that lost its *epoch* marker gives nothing out until [`Queue::begin_restore`] has filled it from the ledger.
//!
//! # How a job passes through
//!
//! ```text
//! notice --apply--> lane --claim--> held by a worker --ruling, settle--> gone | front of its lane | delayed
//!                     ^                  | lease runs out                               |            |
//!                     +------------------+----------------------------------------------+------------+
//! ```
//!
//! 1. [`Queue::apply`] takes the ledger's notices: a channel's rule, and the new jobs of a sync. The jobs of one sync
//!    form a *lane*. Jobs that were never tried are kept as spans (`1001-3000`), so 2,000 of them are one short text.
//! 2. A claim goes along the *ready line*: the channels that can give a job, by the time at which each can. It takes one
//!    job per channel and visit, together with its permit (the limiter is evaluated in the same step) and a place of the
//!    channel's concurrency, and sends the channel behind those who have waited longer. Channels that are paused, full or
//!    without work are not in the line, and one that must wait for its rate or its cooldown stands there under that
//!    time: nobody ever finds a channel that cannot give, and everybody learns when to come back.
//! 3. The worker ([`run_worker`]) runs the handler and renews the lease meanwhile. A worker that dies keeps its jobs
//!    for one lease; then they are the next to be claimed, with the attempt counted.
//! 4. The handler's [`Ruling`] settles the job, under the *ticket* of its claim: whoever lost the lease changes nothing.
//!
//! # What is in Redis
//!
//! Redis is a server that keeps small data structures in memory under names (*keys*), and runs one command or Lua script
//! after the other: a script sees nothing half-done and nobody gets in between. Five structures are used: a *string*
//! (one value), a *hash* (named fields), a *list* (pushed and popped at both ends), a *set*, and a *sorted set* (members
//! ordered by a number). Everything is changed by the scripts in `lua/`, each behind one function here; none of them
//! looks at more than a bounded part, whatever is queued.
//!
//! | key behind `sincro:{<namespace>/<shard>}:` | kind | holds |
//! |---|---|---|
//! | `epoch` | string | the life of the shard; missing means emptied |
//! | `ready` | sorted set | the line: channel, by the time (µs) at which its next claim can succeed |
//! | `channel:<id>` | hash | rule, limiter, cooldown |
//! | `running:<channel>` | set | its jobs at workers; the size is the concurrency in use, and cannot drift |
//! | `lanes:<channel>` | sorted set | its syncs that hold something: urgent before bulk, then by age |
//! | `lane:<sync>`, `sync:<sync>` | list, hash | the jobs that wait; the lane's state and exact numbers |
//! | `delayed`, `later:<sync>` | sorted sets | which lane has something due next; its jobs that wait for their time |
//! | `leases`, `held` | sorted set, hash | when each claim runs out; who it belongs to |
//! | `ticket`, `answer:<worker>` | strings | the last fence; what a worker was given, should the answer get lost |
//! | `depth` | hash | the shard's numbers |
//! | `restoring` | string | who fills an emptied shard |
//! | `wake` | pub/sub | "there is something to claim" |
//!
//! A *shard* is a part of the queue with keys of its own. All channels of one provider server live in one shard, so
//! that one script can see them all; the braces keep a shard's keys on one node of a Redis Cluster.
//!
//! Redis must be 6.2 or newer and must not evict (`maxmemory-policy noeviction`).

mod apply;
mod claim;
mod error;
mod keys;
mod limit;
mod link;
mod queue;
mod renew;
mod restore;
mod script;
mod server;
mod settle;
mod telemetry;
mod view;
mod worker;

pub use error::Error;
pub use queue::{Queue, QueueSettings};
pub use restore::Restoration;
pub use server::ServerFacts;
pub use settle::Ruling;
pub use telemetry::describe_metrics;
pub use view::{ChannelView, Depth};
pub use worker::{Claim, WorkerSettings, run_worker};

/// The single steps of a worker, for tests that bring their own clock ([`Queue::at`]).
#[doc(hidden)]
pub mod steps {
    pub use crate::{
        claim::{Ask, Batch, Claimed, ClaimedJob, HeldBack, Ticket, claim},
        renew::renew,
        settle::{Settlement, settle},
    };
}
