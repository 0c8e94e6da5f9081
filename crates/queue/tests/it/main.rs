//! The queue on a real Redis.
//!
//! Each test has a Redis of its own, or with `REDIS_URL` a namespace of its own in that one. Scripts run under a virtual
//! clock ([`bench::Bench`]); only the tests of the worker know real time.

mod applying;
mod bench;
mod channels;
mod claiming;
mod history;
mod memory;
mod restoring;
mod server;
mod settling;
mod viewing;
mod worker;
