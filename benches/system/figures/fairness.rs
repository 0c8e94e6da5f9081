//! Fairness: 50 channels with 20 to 20,000 jobs behind one server that admits 200 calls a second, over the first minute.
//!
//! A channel is entitled to what max-min fairness gives it of the calls that were made in that minute: equal parts, and what one
//! with few jobs cannot use is shared by the rest. Jain's index is that of the calls made over the calls entitled to: 1 when
//! everybody got exactly its part.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::{
    line::{Line, Mark},
    peers::Effort,
    session::Session,
    stats::{as_number, jain},
    world::client::{Limit, sync_of},
};

const CHANNELS: u32 = 50;
const RATE: f64 = 200.0;
/// Contacts of the smallest channel and of the largest.
const FEWEST: f64 = 10.0;
const MOST: f64 = 10_000.0;

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let world = &session.world;
    let minute = as_number(session.size(60));
    let installation = world.installation().await?;
    let limit = Limit { rate_per_second: 10_000.0, concurrency: 100 };
    let channels = installation.channels(usize::try_from(CHANNELS)?, &world.nginx.url, limit).await?;
    installation.client.limit(json!([{"match": world.nginx.server(), "rate_per_second": RATE, "burst": 1}])).await?;
    let contacts = sizes();
    let mut first = 0;
    let mut requests = Vec::new();
    for (channel, contacts) in channels.into_iter().zip(&contacts) {
        requests.push((channel, sync_of(first..first + contacts)));
        first += contacts;
    }
    let mark = world.nginx.mark().await?;
    installation.ask(requests).await?;
    let worker = installation.worker(Effort::default()).await?;
    sleep(Duration::from_secs_f64(minute + 1.0)).await;
    worker.stop().await;
    let calls = world.nginx.calls_since(mark).await?;
    let begun = calls.first().map_or(0.0, |call| call.at);
    let mut made = vec![0.0; contacts.len()];
    for call in calls.iter().take_while(|call| call.at < begun + minute) {
        made[call.channel] += 1.0;
    }
    let wanted: Vec<f64> = contacts.iter().map(|contacts| as_number(contacts * super::PER_CONTACT)).collect();
    let entitled = max_min(made.iter().sum(), &wanted);
    let shares: Vec<f64> = made.iter().zip(&entitled).map(|(made, entitled)| made / entitled).collect();
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    Ok(vec![
        Line::alone("Jain's index over the first minute", "", jain(&shares), Mark::AtLeast(0.99)),
        Line::alone("least share of what a channel is entitled to", "", least, Mark::Told),
    ])
}

/// Contacts of each channel, each a little more than the one before.
fn sizes() -> Vec<usize> {
    let step = (MOST / FEWEST).powf(1.0 / f64::from(CHANNELS - 1));
    let size = |channel: u32| FEWEST * step.powi(i32::try_from(channel).unwrap_or_default());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10,000")]
    let sizes = (0..CHANNELS).map(|channel| size(channel).round() as usize).collect();
    sizes
}

/// What each gets of a total that all want a part of: the same, but nobody more than it wants.
fn max_min(total: f64, wanted: &[f64]) -> Vec<f64> {
    let mut by_size: Vec<usize> = (0..wanted.len()).collect();
    by_size.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let (mut given, mut left, mut others) = (vec![0.0; wanted.len()], total, as_number(wanted.len()));
    for channel in by_size {
        given[channel] = wanted[channel].min(left / others);
        left -= given[channel];
        others -= 1.0;
    }
    given
}
