//! The gateways: one folder for each, which turns neutral calls into its HTTP and its answers into neutral pages.
//!
//! The only crate that knows a gateway's path, header or error text, and the only user of the HTTP client. It keeps no
//! state but the connection pool, decides nothing about jobs (a [`sincro_core::gateway::Refusal`] says what happened,
//! `core` says what follows), waits for no rate and never repeats a call: each costs the permit it was claimed with.
//!
//! | module | what it holds |
//! |---|---|
//! | [`gateways`](Gateways) | one call, from a connection to an answer; its measurement |
//! | `registry` | what every gateway can do, and which are built: a new one is a folder and a line |
//! | `credentials` | what a channel's credentials may look like |
//! | [`contacts`](ContactList) | a contact list, piece by piece |
//! | [`hooks`](prove) | what shows that a webhook comes from the gateway, and that an address is ours |
//! | [`events`](read_hook) | what a webhook tells, piece by piece |
//! | `http` | one bounded request, and what a broken transport means; a file of any length |
//! | [`media`](MediaFile) | the files of messages: what is said of one, and fetching it |
//! | `spool` | an answer that is too long for memory, in a file |
//! | `room` | how much of all answers may be in memory at once |
//! | `retry_after` | the wait that a gateway asks for |
//! | `signs` | who has to slow down, and whether the number is banned |
//! | `rows` | the records of one chat, the bad ones left out |
//! | `batches` | the messages of a webhook, chat by chat |
//! | `listing` | a contact list in records, from a file |
//! | `refusing` | what an error answer means where a gateway has no words of its own for it |
//! | `wording` | how a refusal is told without the token |
//! | `json`, `moment`, `name`, `person`, `excerpt` | reading what other people wrote: JSON, times, names, numbers, bodies for people |
//! | `whatsmeow` | messages and history as that library writes them, whichever gateway passes them on |
//! | [`fuzz`] | what fuzzers give to the readers of answers |
//! | `wuzapi` | asternic/wuzapi |
//! | `whapi` | Whapi.Cloud |
//! | `wsapi` | WSAPI |
//! | `positus` | Positus, which passes on what Meta sends |
//! | `gdbrns` | gdbrns' multi-session server |

mod batches;
mod contacts;
mod credentials;
mod events;
mod excerpt;
#[doc(hidden)]
pub mod fuzz;
mod gateways;
mod gdbrns;
mod hooks;
mod http;
mod json;
mod listing;
mod media;
mod moment;
mod name;
mod person;
mod positus;
mod refusing;
mod registry;
mod retry_after;
mod room;
mod rows;
mod signs;
mod spool;
mod telemetry;
mod whapi;
mod whatsmeow;
mod wording;
mod wsapi;
mod wuzapi;

pub use contacts::{ContactList, ContactPieces};
pub use credentials::CredentialsError;
pub use events::{HookPieces, read_hook};
pub use gateways::{Answered, Error, GatewaySettings, Gateways};
pub use hooks::{challenge, hook_secret, prove};
pub use media::{FetchedMedia, MediaFile};
pub use registry::{capabilities, check_credentials};
pub use room::Held;
pub use telemetry::describe_metrics;
