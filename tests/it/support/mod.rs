//! What every test stands on: servers, processes, a client, a simulated gateway, and the questions that all tests ask.
//!
//! | module | its one task |
//! |---|---|
//! | `world` | one test's database, namespace, key, and the processes in it |
//! | `stage` | a world in which everything runs already |
//! | `fleet` | a stage with several channels behind one server |
//! | `process` | the binary as a process: its log, its signals, its end |
//! | `client` | the HTTP API as a backend uses it |
//! | `follow` | a sync's event stream, read until something is so |
//! | `gateway` | the simulated gateway and what it saw |
//! | `audit` | what must be true of every sync that ended |
//! | `authority` | certificates of one test's own |
//! | `footprint` | what a request leaves behind |
//! | `servers` | a database and a Redis namespace that go with the test |
//! | `private` | a Redis, several of them, or a Postgres of one test's own, to be killed, frozen and started again |
//! | `proxy` | a line that can be cut and slowed down |
//! | `turn` | tests beside each other, or one alone |
//! | `bounds` | nothing waits for ever |
//! | `announce` | what was measured, for whoever asks |
//! | `environment` | where the servers are |
//! | `source` | what is written in this repository |
//!
//! A test never sleeps. It waits for an event of the stream, a line of a log, a call at the gateway, or the end of a
//! process; every wait has a bound that only a broken system reaches.

pub(crate) mod announce;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod bounds;
pub(crate) mod client;
pub(crate) mod environment;
pub(crate) mod fleet;
pub(crate) mod follow;
pub(crate) mod footprint;
pub(crate) mod gateway;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod servers;
pub(crate) mod source;
pub(crate) mod stage;
pub(crate) mod turn;
pub(crate) mod world;

pub(crate) use announce::announce;
pub(crate) use bounds::within;
pub(crate) use client::{Client, Person};
pub(crate) use gateway::{Gateway, people};
pub(crate) use stage::Stage;
pub(crate) use world::{Api, World};
