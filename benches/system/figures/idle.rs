//! Idle: from the answer 202 to the gateway's first byte, for one contact, while nothing else happens.
//!
//! By the driver's clock on both sides. A call that comes before the answer has been read counts as 0.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    line::{Line, Mark},
    peers::Effort,
    session::Session,
    stats::percentile,
    world::{
        client::{Channel, UNLIMITED},
        clock::ClockGateway,
        installation::Installation,
    },
};

const TICKETS: usize = 300;
/// Everybody sleeps again by then.
const QUIET: Duration = Duration::from_millis(60);

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let gateway = ClockGateway::start(Duration::ZERO)?;
    let installation = session.world.installation().await?;
    let channel = installation.client.channel(0, &gateway.url, UNLIMITED).await?;
    let worker = installation.worker(Effort::default()).await?;
    let mut waits = Vec::new();
    // The first ones warm up connections and caches.
    for contact in 0..session.size(TICKETS) + 10 {
        let wait = start_of_a_ticket(&installation, &gateway, channel, contact).await?;
        if contact >= 10 {
            waits.push(wait);
        }
        installation.all_over().await?;
        sleep(QUIET).await;
    }
    worker.stop().await;
    Ok(vec![
        Line::alone("from the 202 to the gateway, idle, p50", "ms", percentile(&waits, 50.0), Mark::AtMost(5.0)),
        Line::alone("from the 202 to the gateway, idle, p99", "ms", percentile(&waits, 99.0), Mark::AtMost(20.0)),
    ])
}

/// Asks for one contact; the milliseconds from the answer to the gateway's first byte.
pub(super) async fn start_of_a_ticket(
    installation: &Installation,
    gateway: &ClockGateway,
    channel: Channel,
    contact: usize,
) -> anyhow::Result<f64> {
    let before = gateway.count();
    let accepted: Instant = installation.client.ticket(channel, contact).await?;
    let called = gateway.first_call(channel.number, before).await;
    Ok(called.saturating_duration_since(accepted).as_secs_f64() * 1e3)
}
