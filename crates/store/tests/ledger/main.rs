//! The ledger on a real Postgres: each test in a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod channels;
mod checks;
mod cooldowns;
mod delivering;
mod durability;
mod identity;
mod limits;
mod media;
mod once;
mod outlooks;
mod pauses;
mod planning;
mod pruning;
mod restoring;
mod settling;
mod steering;
mod upgrading;
mod world;
