//! Depth: how fast jobs are done while 1,000,000 wait, against 10,000 behind as many channels.
//!
//! The speed is that of the first 8,000 calls behind the first 1,000, as the gateway saw them. It is taken behind 10,000 before and after it is
//! taken behind a million, since a machine that others use as well is not as fast now as it was a minute ago.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::sleep;

use super::{
    PER_CONTACT,
    million::{CHANNELS, OF_A_CHANNEL, filled},
};
use crate::{
    line::{Line, Mark},
    peers::Who,
    session::Session,
    stats::as_number,
    world::nginx::Call,
};

/// The calls whose speed counts.
const FROM: usize = 1_000;
const TO: usize = 9_000;
const SHALLOW: usize = 10_000;
const BEAT: Duration = Duration::from_millis(100);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let channels = session.size(CHANNELS);
    let of_a_channel = SHALLOW / PER_CONTACT / channels;
    let before = speed(session, channels, of_a_channel).await?;
    let deep = speed(session, channels, OF_A_CHANNEL).await?;
    let after = speed(session, channels, of_a_channel).await?;
    Ok(vec![
        Line::alone("speed with a million waiting", "jobs/s", deep, Mark::TimesAtLeast(0.9))
            .beside("with 10,000 waiting", f64::midpoint(before, after)),
    ])
}

/// Calls per second while so many channels have so many contacts to be synced.
async fn speed(session: &Session, channels: usize, contacts: usize) -> anyhow::Result<f64> {
    let effort = session.best(Who::Sincro).await?;
    let installation = filled(session, channels, contacts).await?;
    let mark = session.world.nginx.mark().await?;
    let worker = installation.worker(effort).await?;
    while installation.jobs_over().await? <= i64::try_from(TO)? {
        sleep(BEAT).await;
    }
    let calls = session.world.nginx.calls_since(mark).await?;
    worker.stop().await;
    between(&calls)
}

fn between(calls: &[Call]) -> anyhow::Result<f64> {
    let (first, last) = calls.get(FROM).zip(calls.get(TO)).context("too few calls")?;
    ensure!(last.at > first.at, "calls without a time between them");
    Ok(as_number(TO - FROM) / (last.at - first.at))
}
