//! The vocabulary of Sincro and its pure rules.
//!
//! Every other crate speaks in these types; this one knows none of them, does no I/O, is not
//! async, and reads the clock in one place ([`clock`]). Read the modules in this order:
//!
//! | module | what it holds |
//! |---|---|
//! | [`address`] | phone JIDs and LIDs, normalised |
//! | [`contact`] | a person: one address or both |
//! | [`provider`] | the five gateway APIs and what each can do |
//! | [`channel`] | one connected number: where it lives, what it may do, how fast |
//! | [`limit`] | the limits of channels and provider servers, and the rules that set them |
//! | [`sync`] | one request, its states and its status |
//! | [`job`] | the unit of work, its steps, states and endings |
//! | [`message`] | what a gateway call brings, in one neutral shape |
//! | [`media`] | the file that comes with a message, and what became of it |
//! | [`gateway`] | the calls a job can make and the ways a gateway can answer |
//! | [`hook`] | what shows that a webhook comes from the gateway, and what it tells |
//! | [`awaiting`] | what a job waits for while there is nothing to call |
//! | [`check`] | what a look at a channel's set-up finds |
//! | [`once`] | whether now is a time for a request that is made once |
//! | [`plan`] | contacts -> jobs |
//! | [`verdict`] | a gateway's answer -> what happens to the job |
//! | [`retry`] | when to try again |
//! | [`waiting`] | what a job or sync waits for, in words |
//! | [`schedule`] | the order and the times in which jobs may be claimed |
//! | [`forecast`] | how long planned work takes under the limits |
//! | [`scaling`] | how many workers the limits keep busy |
//! | [`notice`] | what the ledger tells the queue |
//! | [`receipt`] | what a sync brought, per contact and address |
//! | [`clock`] | the one place that reads the time |
//! | [`fuzz`] | what fuzzers give to the readers of short texts |
//! | [`drill`] | points at which a test build can be ended or held |

pub mod address;
pub mod awaiting;
pub mod channel;
pub mod check;
pub mod clock;
pub mod contact;
pub mod drill;
pub mod forecast;
#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
pub mod hook;
pub mod job;
pub mod limit;
pub mod media;
pub mod message;
pub mod notice;
pub mod once;
pub mod plan;
pub mod provider;
pub mod receipt;
pub mod retry;
pub mod scaling;
pub mod schedule;
pub mod sync;
pub mod verdict;
pub mod waiting;
mod word;
