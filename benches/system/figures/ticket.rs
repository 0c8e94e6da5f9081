//! Ticket: from the answer 202 to the gateway's first byte, for one contact, while 100,000 bulk jobs of 50 channels wait and keep
//! every slot busy that bulk work gets: the gateway takes 200 ms for each answer.

use std::time::Duration;

use tokio::time::sleep;

use super::{CONTACTS, idle::start_of_a_ticket};
use crate::{
    line::{Line, Mark},
    peers::Effort,
    session::Session,
    stats::percentile,
    world::{
        client::{Limit, UNLIMITED},
        clock::ClockGateway,
    },
};

const TICKETS: usize = 200;
const ANSWER: Duration = Duration::from_millis(200);
/// Channels that people wait for, beside those with bulk work.
const ASKED: usize = 5;
const BETWEEN: Duration = Duration::from_millis(100);
/// Calls by which bulk work is in full swing.
const IN_FULL_SWING: usize = 500;

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let gateway = ClockGateway::start(ANSWER)?;
    let installation = session.world.installation().await?;
    let bulk = session.size(50);
    let limit = Limit { rate_per_second: 20.0, concurrency: 8 };
    let channels = installation.channels(bulk, &gateway.url, limit).await?;
    let mut asked = Vec::new();
    for number in bulk..bulk + ASKED {
        asked.push(installation.client.channel(number, &gateway.url, UNLIMITED).await?);
    }
    let worker = installation.worker(Effort::default()).await?;
    installation.sync_all(&channels, CONTACTS).await?;
    while gateway.count() < IN_FULL_SWING {
        sleep(BETWEEN).await;
    }
    let mut waits = Vec::new();
    for ticket in 0..session.size(TICKETS) {
        let channel = asked[ticket % ASKED];
        waits.push(start_of_a_ticket(&installation, &gateway, channel, 10_000_000 + ticket).await?);
        sleep(BETWEEN).await;
    }
    worker.stop().await;
    Ok(vec![
        Line::alone(
            "from the 202 to the gateway, behind 100,000 jobs, p50",
            "ms",
            percentile(&waits, 50.0),
            Mark::Told,
        ),
        Line::alone(
            "from the 202 to the gateway, behind 100,000 jobs, p99",
            "ms",
            percentile(&waits, 99.0),
            Mark::AtMost(50.0),
        ),
    ])
}
