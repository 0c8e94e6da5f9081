//! The queue: what may run next, and when. Redis, Lua and apalis end here; nobody outside sees a type of theirs.
//!
//! The ledger (Postgres) says what must be done; this crate only remembers the order, and can be emptied at any time: a
//! shard without its *epoch* marker, or with that of another Redis server, gives nothing out until it has a new life
//! ([`Queue::begin_restore`]); its lanes come back from the ledger ([`Queue::put_back`]), as do single ones that got lost.
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
//! 2. A claim takes a job together with its permits, from its channel's limit and from its server's, or nothing. It goes
//!    along the *ready line*: the servers that can give a job, by the time at which each can; and in each along the
//!    *round* of its channels, in which everybody gets a share by weight. Channels that are paused, full or without work
//!    are in no line, and one that must wait for its rate or its cooldown stands in `due` under that time: nobody ever
//!    finds a channel that cannot give, and everybody learns when to come back. Urgent work has lines of its own, which are
//!    gone along first; every tenth call of a level goes to bulk work all the same.
//! 3. The worker ([`run_worker`]) runs the handler and renews the lease meanwhile. A worker that dies keeps its jobs
//!    for one lease; then they are the next to be claimed, with the attempt counted.
//! 4. The handler's [`Ruling`] settles the job, under the *ticket* of its claim: whoever lost the lease changes nothing. What
//!    the gateway answered moves the limits for everybody in the same step; a permit that no call was made with goes back.
//!
//! # What is in Redis
//!
//! Redis is a server that keeps small data structures in memory under names (*keys*), and runs one command or Lua script
//! after the other: a script sees nothing half-done and nobody gets in between. Five structures are used: a *string*
//! (one value), a *hash* (named fields), a *list* (pushed and popped at both ends), a *set*, and a *sorted set* (members
//! ordered by a number). Everything is changed by the scripts in `lua/`, each behind one function here; none of them
//! looks at more than a bounded part of what is queued, and at all that is held only where something was lost.
//!
//! | key behind `sincro:{<namespace>/<shard>}:` | kind | holds |
//! |---|---|---|
//! | `epoch2` | string | the life of the shard; missing means emptied (or of an older layout, which is rebuilt as well) |
//! | `home` | string | the Redis server that this life belongs to, and the layout of the keys: a restart or a failover ends the life |
//! | `opened` | string | when the shard was opened after a loss (µs): no limit knows what was called before |
//! | `ready:<class>` | sorted set | the line: server, by the time (µs) at which its next claim can succeed; class `u` or `b` |
//! | `round:<class>:<server>` | sorted set | channels that could give now, by tag: the lowest is next |
//! | `due:<class>:<server>` | sorted set | channels that can give later, by the time (µs) |
//! | `working:<server>`, `servers` | sorted set, set | who shares a server, by weight; all servers |
//! | `channel:<id>`, `server:<server>` | hashes | limit, limiter, cooldown; pause; how many jobs are at workers |
//! | `calls:<channel or server>` | list | times (µs) of the last permits, as far as a window of the limit reaches |
//! | `running:<channel or server>` | set | its jobs at workers; the concurrency in use is the size or the number in the hash, whichever is larger, because either may be lost |
//! | `lanes:<channel>` | sorted set | its syncs that hold something: urgent before bulk, then by age |
//! | `lane:<sync>`, `sync:<sync>` | list, hash | the jobs that wait; the lane's state, and how many of its jobs are at workers |
//! | `delayed`, `later:<sync>` | sorted sets | which lane has something due next; its jobs that wait for their time |
//! | `leases`, `held` | sorted set, hash | when each claim runs out; who it belongs to |
//! | `ticket`, `probes`, `answer:<worker>` | strings | the last fence; the last look at a session; what a worker was given |
//! | `promised` | string | which worker comes for the next slot; the others stand in 50 ms later |
//! | `queued`, `alive` | hash, set | how many jobs wait in each lane; the lanes that are open or paused |
//! | `restoring`, `compared`, `anew` | strings | lanes are still coming back; the shard was compared with the ledger lately; or begun anew |
//! | `wake` | pub/sub | "there is something to claim" |
//!
//! A *shard* is a part of the queue with keys of its own. All channels of one provider server live in one shard, so
//! that one script can see them all; the braces keep a shard's keys on one node of a Redis Cluster.
//!
//! Redis must be 6.2 or newer and must not evict (`maxmemory-policy noeviction`).

mod apply;
mod calls;
mod claim;
mod error;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod keys;
mod lanes;
mod link;
mod load;
mod permit;
mod queue;
mod renew;
mod restore;
mod script;
mod server;
mod settle;
mod telemetry;
mod turns;
mod view;
mod worker;

pub use apply::Delivery;
pub use calls::MinuteCount;
pub use error::Error;
pub use keys::LAYOUT;
pub use lanes::{Heard, HeardPage, Inspection, LaneView, OpenLane};
pub use queue::{Queue, QueueSettings, check_redis_url};
pub use restore::Restoration;
pub use server::{RedisServer, ServerFacts};
pub use settle::Ruling;
pub use telemetry::describe_metrics;
pub use turns::Turns;
pub use view::{ChannelView, Depth, LevelView};
pub use worker::{Claim, WorkerSettings, run_worker};

/// The single steps of a worker, for tests that bring their own clock ([`Queue::at`]).
#[doc(hidden)]
pub mod steps {
    pub use crate::{
        claim::{Ask, Batch, Claimed, ClaimedJob, HeldBack, Ticket, claim},
        permit::move_permit,
        renew::renew,
        settle::{Settlement, settle},
        worker::hands::{Hands, ticket},
    };
}
