//! Limit: four channels at 50 calls a second each and three worker processes, as the gateway saw it.
//!
//! What is used is the part of the allowed calls that was made, from a channel's first call to its last, in the channel that used
//! least. A window over the limit is a call that has 50 others of its channel behind it within one second.

use std::time::Duration;

use tokio::time::sleep;

use super::PER_CONTACT;
use crate::{
    line::{Line, Mark},
    peers::{Effort, Who, bullmq},
    session::Session,
    stats::as_number,
    world::{client::Limit, nginx::Call, process::Process},
};

const CHANNELS: usize = 4;
const RATE: usize = 50;
const WORKERS: usize = 3;
/// Seconds that the limit is looked at for.
const SECONDS: usize = 30;

/// What the calls of all channels show.
struct Seen {
    /// Percent of the allowed calls.
    used: f64,
    /// Windows of one second that hold too many.
    over: f64,
    /// The most calls in one second.
    most: f64,
}

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let (ours, theirs) = (sincro(session).await?, bullmq(session).await?);
    let peer = Who::Bullmq.name();
    Ok(vec![
        Line::alone("allowed calls that are made", "%", ours.used, Mark::AtLeast(98.0)).beside(peer, theirs.used),
        Line::alone("windows of a second over the limit", "", ours.over, Mark::Never).beside(peer, theirs.over),
        Line::alone("most calls in a second, of 50", "", ours.most, Mark::AtMost(as_number(RATE)))
            .beside(peer, theirs.most),
    ])
}

async fn sincro(session: &Session) -> anyhow::Result<Seen> {
    let world = &session.world;
    let installation = world.installation().await?;
    let limit = Limit { rate_per_second: as_number(RATE), concurrency: 8 };
    let channels = installation.channels(CHANNELS, &world.nginx.url, limit).await?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(installation.worker(Effort::default()).await?);
    }
    let mark = world.nginx.mark().await?;
    installation.sync_all(&channels, RATE * session.size(SECONDS) / PER_CONTACT).await?;
    installation.all_over().await?;
    stop(workers).await;
    Ok(seen(&world.nginx.calls_since(mark).await?))
}

async fn bullmq(session: &Session) -> anyhow::Result<Seen> {
    let world = &session.world;
    let database = world.for_a_peer().await?;
    let seconds = session.size(SECONDS);
    bullmq::fill(world, &database, CHANNELS, RATE * seconds * 2).await?;
    let mark = world.nginx.mark().await?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(bullmq::limited(world, &database, CHANNELS, RATE).await?);
    }
    sleep(Duration::from_secs(u64::try_from(seconds)?)).await;
    let calls = world.nginx.calls_since(mark).await?;
    stop(workers).await;
    Ok(seen(&calls))
}

async fn stop(workers: Vec<Process>) {
    for worker in workers {
        worker.stop().await;
    }
}

fn seen(calls: &[Call]) -> Seen {
    let of_a_channel = |channel| calls.iter().filter(|call| call.channel == channel).map(|call| call.at).collect();
    let channels: Vec<Vec<f64>> = (0..CHANNELS).map(of_a_channel).collect();
    let used = channels.iter().map(|times| used(times)).fold(f64::INFINITY, f64::min);
    let over: usize = channels.iter().map(|times| over(times)).sum();
    let most = channels.iter().map(|times| most(times)).max().unwrap_or_default();
    Seen { used, over: as_number(over), most: as_number(most) }
}

/// Times are to the millisecond, so two of them are apart by as much as they say, or less than a millisecond more or less.
const BELOW_A_SECOND: f64 = 0.9985;

fn used(times: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return 0.0 };
    100.0 * as_number(times.len() - 1) / ((last - first) * as_number(RATE))
}

fn over(times: &[f64]) -> usize {
    times.windows(RATE + 1).filter(|window| window[RATE] - window[0] < BELOW_A_SECOND).count()
}

fn most(times: &[f64]) -> usize {
    let within = |first: usize| times[first..].iter().take_while(|at| **at - times[first] < BELOW_A_SECOND).count();
    (0..times.len()).map(within).max().unwrap_or_default()
}
