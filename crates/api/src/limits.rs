//! Limits over HTTP: the rules that set how fast provider servers and channels may be called, and who changed them.
//!
//! Nothing here limits anything: the ledger keeps the rules, the queue follows them.

pub(crate) mod changes;
pub(crate) mod replace;
mod rule;
mod servers;
pub(crate) mod show;
