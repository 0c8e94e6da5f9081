//! Channels and servers that have to rest, written down so that it outlives the queue.
//!
//! A pause is in the ledger before the queue hears of it: people see it there, and it holds until somebody or something
//! ends it. A cooldown is the queue's own; the ledger keeps it beside that, for the case that the queue is emptied.

use std::time::Duration;

use sincro_core::{
    channel::{Channel, ChannelId, Pause, PausedBy},
    drill::{Point, reach},
    job::JobId,
    limit::{KeptCooldown, Level},
    verdict::Rest,
};
use sincro_queue::Queue;
use sincro_store::{Error, Store};

use crate::{deliver::deliver, patience::answered};

/// What a gateway asks for beyond this is asked again after it; the queue does the same.
const LONGEST: Duration = Duration::from_hours(24);

/// Writes a pause down for what was seen of the channel's version `seen`. Whether it stands: not when somebody changed the
/// channel since. `job`: whose call has shown it.
pub(crate) async fn pause(
    store: &Store,
    queue: &Queue,
    channel: ChannelId,
    seen: i64,
    pause: &Pause,
    job: Option<JobId>,
) -> Result<bool, Error> {
    let Some(notice) = answered(store.pause_channel_at(channel, seen, pause, job)).await? else { return Ok(false) };
    let reason = &pause.reason;
    match pause.by {
        PausedBy::Session => tracing::warn!(%channel, reason, "the session is lost; it is looked at until it is back"),
        PausedBy::Gateway | PausedBy::Operator => {
            tracing::error!(%channel, reason, "the channel is paused until somebody resumes it");
        }
    }
    reach(Point::Paused).await;
    deliver(store, queue, &[notice]).await;
    Ok(true)
}

/// Writes a cooldown down, without keeping the caller waiting: the queue has to hear of it at once.
pub(crate) fn note(store: &Store, channel: &Channel, rest: &Rest) {
    let Some(kept) = kept(channel, rest) else { return };
    let KeptCooldown { server, channel, left, reason } = &kept;
    let seconds = left.as_secs_f64();
    if let Some(channel) = channel {
        tracing::warn!(%channel, seconds, reason, "the channel rests");
    } else {
        tracing::warn!(server, seconds, reason, "the server rests");
    }
    let store = store.clone();
    tokio::spawn(async move {
        if let Err(error) = answered(store.note_cooldown(&kept)).await {
            tracing::warn!(%error, server = kept.server, "the ledger has no note of a rest; the queue keeps it");
        }
    });
}

/// A cooldown as the ledger keeps it; none for a pause.
fn kept(channel: &Channel, rest: &Rest) -> Option<KeptCooldown> {
    let Rest::Cooldown { level, wait, reason, detail, .. } = rest else { return None };
    Some(KeptCooldown {
        server: channel.server(),
        channel: (*level == Level::Channel).then_some(channel.id),
        left: (*wait).min(LONGEST),
        reason: format!("{reason}: {detail}"),
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use sincro_core::{limit::Limit, provider::Provider};

    use super::*;

    fn channel() -> Channel {
        Channel {
            id: ChannelId::from_u128(7),
            name: String::new(),
            provider: Provider::Wuzapi,
            base_url: "http://gate:8080/prefix".parse().unwrap(),
            features: [].into(),
            limit: Limit::default(),
            paused: None,
            hook_token: String::new(),
            version: 3,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn cooldown(level: Level, wait: Duration) -> Rest {
        let detail = "GET /chat/history: 429".to_owned();
        Rest::Cooldown { level, wait, grows: false, slower: true, reason: "throttled", detail }
    }

    #[test]
    fn a_rest_of_the_server_is_kept_for_all_its_channels_and_one_of_a_channel_for_it_alone() {
        let channel = channel();
        for (level, expected) in [(Level::Server, None), (Level::Channel, Some(channel.id))] {
            let kept = kept(&channel, &cooldown(level, Duration::from_secs(7))).unwrap();
            assert_eq!((kept.server.as_str(), kept.channel), ("wuzapi/gate:8080", expected));
            assert_eq!(kept.left, Duration::from_secs(7));
            assert_eq!(kept.reason, "throttled: GET /chat/history: 429");
        }
    }

    #[test]
    fn no_rest_is_kept_for_longer_than_a_day_and_a_pause_is_none() {
        let endless = kept(&channel(), &cooldown(Level::Channel, Duration::MAX)).unwrap();
        assert_eq!(endless.left, LONGEST);
        assert_eq!(kept(&channel(), &Rest::Pause(Pause::new(PausedBy::Session, "no session"))), None);
    }
}
