//! The ledger on a real Postgres: each test in a database of its own.

mod identity;
mod planning;
mod settling;
mod steering;
mod world;
