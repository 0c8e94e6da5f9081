//! Syncs over HTTP: asking for them, following them, steering them, and the account of what they brought.

mod contacts;
pub(crate) mod events;
mod idempotency;
pub(crate) mod jobs;
pub(crate) mod list;
mod live;
pub(crate) mod media;
pub(crate) mod plan;
pub(crate) mod receipt;
pub(crate) mod resync;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod start_contact;
pub(crate) mod steer;
mod workload;
