//! wip
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
mod settle;
mod telemetry;
mod view;
mod worker;
pub use error::Error;
pub use queue::{Queue, QueueSettings};
pub use restore::Restoration;
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
