//! A channel as clients see it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sincro_core::{
    channel::{Channel, ChannelId, ChannelState, Feature, Limit},
    provider::Provider,
};
use sincro_queue::ChannelView as Seen;
use sincro_store::access::{Principal, Scope};
use url::Url;

use crate::{queue_view::Deadline, state::App};

/// A channel. Its credentials are not part of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Channel)]
pub(crate) struct View {
    /// Public id.
    #[schema(value_type = Uuid)]
    pub(super) id: ChannelId,
    /// Your name for it.
    name: String,
    /// The kind of gateway.
    provider: Provider,
    /// The gateway's root.
    base_url: String,
    /// What it is entitled to.
    #[schema(value_type = Vec<Feature>)]
    features: BTreeSet<Feature>,
    /// How fast its gateway may be called.
    limit: Limit,
    /// Whether its jobs may run.
    state: ChannelState,
    /// Why it is paused, when it is.
    reason: Option<String>,
    /// What holds now; null while Redis does not answer.
    effective: Option<Effective>,
    /// The address to give to the provider for its webhooks. It is unguessable, so only keys with scope `admin` see it.
    hook_url: Option<String>,
    /// When it was created.
    created_at: DateTime<Utc>,
}

/// What holds for a channel at this moment.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Effective {
    /// Calls per second that are made at most now; lower than the limit after the gateway asked for less.
    rate_per_second: f64,
    /// Jobs at workers.
    running: i64,
    /// Nothing is called before then, when the channel rests.
    cooldown_until: Option<DateTime<Utc>>,
    /// Why it rests.
    cooldown_reason: Option<String>,
    /// When the next call may be made; null while the channel is paused or as many calls are under way as may be.
    next_slot_at: Option<DateTime<Utc>>,
}

impl View {
    /// A channel for this caller, with what the queue says of it.
    pub(super) async fn of(app: &App, caller: &Principal, channel: Channel, deadline: Deadline) -> Self {
        let seen = app.queue.channel(deadline, &channel).await;
        let effective = seen.map(|seen| Effective::of(&channel, seen));
        let hook_url = (caller.scope >= Scope::Admin).then(|| hook_url(&app.settings.public_url, &channel));
        Self {
            id: channel.id,
            name: channel.name,
            provider: channel.provider,
            base_url: channel.base_url.into(),
            features: channel.features,
            limit: channel.limit,
            state: channel.state,
            reason: channel.reason,
            effective,
            hook_url,
            created_at: channel.created_at,
        }
    }
}

impl Effective {
    /// A channel that the queue has not heard of yet has its full limit.
    fn of(channel: &Channel, seen: Option<Seen>) -> Self {
        let Some(seen) = seen else {
            return Self {
                rate_per_second: channel.limit.rate_per_second,
                running: 0,
                cooldown_until: None,
                cooldown_reason: None,
                next_slot_at: None,
            };
        };
        Self {
            rate_per_second: seen.rate_per_second,
            running: seen.running,
            cooldown_until: seen.cooldown_until,
            cooldown_reason: seen.cooldown_reason,
            next_slot_at: seen.next_slot_at,
        }
    }
}

fn hook_url(public_url: &Url, channel: &Channel) -> String {
    format!("{}/hooks/{}/{}", public_url.as_str().trim_end_matches('/'), channel.provider, channel.hook_token)
}

#[cfg(test)]
mod tests {
    use sincro_core::clock;
    use uuid::Uuid;

    use super::*;

    fn channel() -> Channel {
        Channel {
            id: Uuid::from_u128(7),
            name: "support".into(),
            provider: Provider::Wuzapi,
            base_url: "http://gateway:8080".parse().unwrap(),
            features: BTreeSet::new(),
            limit: Limit::default(),
            state: ChannelState::Active,
            reason: None,
            hook_token: "t0k3n".into(),
            version: 1,
            created_at: clock::now(),
        }
    }

    #[test]
    fn a_hook_address_keeps_the_path_of_the_public_one() {
        for public in ["https://sync.example.org/base", "https://sync.example.org/base/"] {
            let url = hook_url(&public.parse().unwrap(), &channel());
            assert_eq!(url, "https://sync.example.org/base/hooks/wuzapi/t0k3n");
        }
        let url = hook_url(&"http://127.0.0.1:8080".parse().unwrap(), &channel());
        assert_eq!(url, "http://127.0.0.1:8080/hooks/wuzapi/t0k3n");
    }

    #[test]
    fn a_channel_that_the_queue_does_not_know_yet_has_its_full_limit() {
        let effective = Effective::of(&channel(), None);
        assert!((effective.rate_per_second - 20.0).abs() < f64::EPSILON);
        assert_eq!((effective.running, effective.cooldown_until), (0, None));
    }
}
