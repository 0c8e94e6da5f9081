//! Bytes: what Redis uses for a job that waits, with 200,000 of them waiting.

use super::{CONTACTS, PER_CONTACT};
use crate::{
    line::{Line, Mark},
    peers::{Who, bullmq},
    session::Session,
    stats::as_number,
    world::client::UNLIMITED,
};

pub(crate) async fn run(session: &Session) -> anyhow::Result<Vec<Line>> {
    let (world, channels) = (&session.world, session.size(100));
    let jobs = channels * CONTACTS * PER_CONTACT;

    let installation = world.installation().await?;
    let known = installation.channels(channels, &world.nginx.url, UNLIMITED).await?;
    let before = world.redis.used_memory().await?;
    installation.sync_all(&known, CONTACTS).await?;
    installation.until_queued(world, jobs).await?;
    let ours = (world.redis.used_memory().await? - before) / as_number(jobs);
    drop(installation);

    let database = world.for_a_peer().await?;
    let before = world.redis.used_memory().await?;
    bullmq::enqueue(world, &database, jobs).await?;
    let theirs = (world.redis.used_memory().await? - before) / as_number(jobs);

    Ok(vec![
        Line::alone("Redis bytes of a waiting job", "bytes", ours, Mark::AtMost(120.0)),
        Line::alone("Redis bytes beside BullMQ", "bytes", ours, Mark::TimesAtMost(1.0 / 6.0))
            .beside(Who::Bullmq.name(), theirs),
    ])
}
