//! The queue on a real Redis.
//!
//! Each test has a Redis of its own, or with `REDIS_URL` a namespace of its own in that one. Scripts run under a virtual
//! clock ([`bench::Bench`]); only the tests of the worker know real time.

#![expect(clippy::unwrap_used, reason = "a test may end at once where something is not as it must be")]
#![expect(clippy::print_stdout, reason = "measured figures and seeds, for whoever asks with --nocapture")]

mod applying;
mod bench;
mod channels;
mod claiming;
mod failover;
mod history;
mod levels;
mod losing;
mod losing_limits;
mod memory;
mod restoring;
mod server;
mod sessions;
mod settling;
mod spoilt;
mod turn;
mod viewing;
mod worker;
