//! Fake gateways that speak the providers' contracts on loopback, with faults on demand.
//!
//! A [`Simulator`] serves one gateway to whoever asks, and keeps two things no real gateway tells: the [`Truth`] (who exists
//! and which messages a reader must end up with) and the [`CallLog`] (every call, timed on arrival). Tests start it
//! in-process; the CLI can run it as a process of its own, where `/__sim/...` offers the same by HTTP.
//!
//! What comes later, by webhook, is sent to whoever registered for it ([`Hooks`]), with faults of its own and a log of every
//! attempt ([`DeliveryLog`]).
//!
//! Shared by every provider: people, messages, faults, rate limit, call log, webhooks on their way. One folder per provider:
//! the wire contract, behind what `contract` asks of it. It does not store anything, does not look anything up outside, and
//! knows no other crate of this workspace.

mod account;
mod archive;
mod arrivals;
mod audit;
mod call_log;
mod clock;
mod contract;
mod control;
mod dice;
mod faults;
mod gate;
mod gdbrns;
mod guarded;
mod hooks;
mod media;
mod messages;
mod pairing;
mod people;
mod positus;
mod rate;
mod request;
mod server;
mod session;
mod settings;
mod simulator;
mod steering;
mod truth;
mod web_message;
mod whapi;
mod wsapi;
mod wuzapi;

pub use account::{AccountMessage, Told};
pub use audit::jain;
pub use call_log::{Asks, Call, CallLog};
pub use contract::Provider;
pub use faults::{Fault, Faults, NotFaults, Rule, When};
pub use gdbrns::{Bodies, Readings as GdbrnsReadings};
pub use hooks::{Delivery, DeliveryLog, Held, Hook, HookFault, HookFaults, HookRule, Hooks, Pace};
pub use messages::Kind;
pub use pairing::Step;
pub use people::{KnownBy, Person, Population};
pub use positus::{Readings as PositusReadings, Refusal};
pub use rate::Limit;
pub use session::Outage;
pub use settings::{Latency, Settings};
pub use simulator::Simulator;
pub use truth::{Chat, Report, TrueMessage, Truth};
pub use whapi::{Readings, Restoring, UnknownChat};
pub use wsapi::{ADMIN_KEY as WSAPI_ADMIN_KEY, Readings as WsapiReadings};
pub use wuzapi::{AnswersUnder, Format, Readings as WuzapiReadings};
