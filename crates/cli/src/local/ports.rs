//! Free TCP ports on the loopback address.
//!
//! A free port is only a guess: somebody may take it before the server does. Whoever asks starts again then.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::Context;

/// How often a server is started on another port when somebody took the one it was given.
pub(super) const ATTEMPTS: u32 = 4;

/// The port that the file names, so that addresses survive a restart, or another one if that is taken.
pub(super) fn pick(remembered: &Path) -> anyhow::Result<u16> {
    let last = fs::read_to_string(remembered).ok().and_then(|text| text.trim().parse().ok());
    match last {
        Some(port) if is_free(port) => Ok(port),
        _ => any_free(),
    }
}

/// Whether a server could listen there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn any_free() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free TCP port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}
