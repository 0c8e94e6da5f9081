//! The system from outside: the real binary as processes, over HTTP, on real Redis and Postgres, against a simulated
//! gateway that keeps the truth.
//!
//! | module | what it is about |
//! |---|---|
//! | `sync` | a channel sync from request to receipt |
//! | `crash` | processes, connections and queues that go away in the middle |
//! | `lifecycle` | processes that start and stop, also while a server is away |
//! | `crash_points` | a sync that goes through every crash point of the code |
//! | `deliveries` | gateways that take a request and deliver later, by webhook |
//! | `hooks` | webhooks on their way in: kept, refused, answered |
//! | `cluster` | several Redis servers: nodes that freeze and die, shards that move, a master that is replaced |
//! | `outages` | servers that are away, slow, full or refusing; clocks that are wrong; jobs that kill |
//! | `losses` | a queue that loses keys, its last seconds or everything |
//! | `chaos` | everything at once, at random, and what is left of it |
//! | `steering` | pause, resume, cancel, retry, another limit |
//! | `limits` | the rate and the concurrency of a channel, as the gateway sees them |
//! | `fleet` | many channels behind one server: limits, fairness, rests, sessions, what they say of it |
//! | `faults` | gateways that refuse, break and lie |
//! | `whapi` | what is another provider's: pages, open readings, states of a channel |
//! | `memory` | answers without end, long lists, what nobody can read, what is over long enough |
//! | `budget` | what a job costs, on whatever machine |
//! | `bad_input` | requests that cannot be done leave nothing behind |
//! | `http` | keys, repeated requests, events, pages, secrets, metrics |
//! | `cli` | what the command line prints and returns |
//! | `house` | who may use what, and whether what is written about it is so |
//! | `support` | what every test stands on |
//!
//! `DATABASE_URL` and `REDIS_URL` say where the servers are; `./just test` starts them. Each test has a database and a Redis
//! namespace of its own, so nothing depends on the order of tests.
#![expect(clippy::unwrap_used, reason = "a test may end at once where something is not as it must be")]

mod bad_input;
mod budget;
mod chaos;
mod cli;
mod cluster;
mod crash;
mod crash_points;
mod deliveries;
mod faults;
mod fleet;
mod hooks;
mod house;
mod http;
mod lifecycle;
mod limits;
mod losses;
mod memory;
mod outages;
mod steering;
mod support;
mod sync;
mod whapi;
