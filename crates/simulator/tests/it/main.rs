//! The simulator seen from outside: over TCP, byte for byte where the contract says so.

mod audit;
mod client;
mod contract;
mod control;
mod faults;
mod files;
mod fleet;
mod gdbrns;
mod hooks;
mod large;
mod positus;
mod receiver;
mod truth;
mod whapi;
mod whapi_resync;
mod wsapi;
mod wuzapi_deep;
