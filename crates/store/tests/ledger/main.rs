//! The ledger on a real Postgres: each test in a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod identity;
mod planning;
mod settling;
mod steering;
mod world;
