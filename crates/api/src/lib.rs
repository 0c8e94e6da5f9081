//! HTTP: asking for syncs, following and steering them, reading what was stored.
//!
//! | module | its one task |
//! |---|---|
//! | `server` | serve until told to stop |
//! | `routes` | all calls, by the scope they need |
//! | `channels`, `limits`, `syncs`, `messages`, `scaling` | the calls, one per file |
//! | `health`, `metrics`, `openapi` | the process about itself |
//! | `auth` | who calls, and whether the key may |
//! | `observe` | around every call: id, span, time limit, measurement, panics |
//! | `body`, `params`, `text`, `reason` | reading what clients send, with refusals that name the field |
//! | `problem` | what a refused request is answered, and every `code` |
//! | [`fuzz`] | what fuzzers give to the readers of `body` and `params` |
//! | `deliver` | tells the queue what the ledger has recorded |
//! | `queue_view` | the queue, asked with patience that ends |
//! | `state`, `recent` | what every call has at hand |
//!
//! Everything is recorded in the ledger before it is answered; the queue hears of it afterwards, and where it cannot, the
//! sweeper tells it later. So Redis can be away and syncs are still accepted. This crate calls no gateway, holds no job and
//! decides nothing about limits or retries.

mod auth;
mod body;
mod channels;
mod deliver;
#[doc(hidden)]
pub mod fuzz;
mod health;
mod hooks;
mod limits;
mod messages;
mod metrics;
mod observe;
mod openapi;
mod params;
mod problem;
mod queue_view;
mod reason;
mod recent;
mod routes;
mod scaling;
mod server;
mod state;
mod syncs;
mod text;

pub use metrics::install_metrics;
pub use openapi::openapi;
pub use server::Api;
pub use state::{CheckCredentials, Settings};
