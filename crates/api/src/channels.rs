//! Channels over HTTP: connected numbers, how fast their gateways may be called, and whether their jobs run.
//!
//! Nothing here calls a gateway, and credentials go in and never come out.

pub(crate) mod allow;
pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod effective;
pub(crate) mod fields;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod show;
pub(crate) mod view;
