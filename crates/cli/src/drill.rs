//! What a test build is told by `SINCRO_DRILL`: to die at a point of the code, to have a wrong clock. Not in release builds.
//!
//! `abort=<point>:<n>` ends the process at the n-th passage of a point of `sincro_core::drill`, `abort=<point>@<text>` whenever
//! something passes it whose description contains the text; `clock=<seconds>` makes its clock go wrong by so much. Several are
//! separated by commas.

use anyhow::{Context as _, bail};
use sincro_core::{clock, drill};

use crate::config::Environment;

const VARIABLE: &str = "SINCRO_DRILL";

/// Does what the environment says; nothing if it says nothing.
pub(crate) fn start(environment: &Environment) -> anyhow::Result<()> {
    let orders = environment.get(VARIABLE).map(String::as_str).unwrap_or_default();
    for order in orders.split(',').filter(|order| !order.is_empty()) {
        follow(order).with_context(|| format!("{VARIABLE}: {order}"))?;
    }
    Ok(())
}

fn follow(order: &str) -> anyhow::Result<()> {
    match order.split_once('=') {
        Some(("abort", passage)) => {
            if let Some((point, text)) = passage.split_once('@') {
                drill::abort_with(point.parse()?, text.to_owned());
                return Ok(());
            }
            let (point, n) = passage.split_once(':').unwrap_or((passage, "1"));
            drill::abort_at(point.parse()?, n.parse()?);
        }
        Some(("clock", seconds)) => {
            let seconds: i64 = seconds.parse()?;
            clock::set_process(seconds * 1_000_000);
        }
        _ => bail!("expected abort=<point>:<n>, abort=<point>@<text> or clock=<seconds>"),
    }
    Ok(())
}
