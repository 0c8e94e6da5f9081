//! The simulator seen from outside: over TCP, byte for byte where the contract says so.

mod audit;
mod client;
mod contract;
mod control;
mod faults;
mod fleet;
mod hooks;
mod receiver;
mod truth;
mod whapi;
mod wsapi;
