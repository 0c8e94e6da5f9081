//! A channel as clients see it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sincro_core::{
    channel::{Channel, ChannelId, ChannelState, Feature, PausedBy},
    limit::Limit,
    provider::Provider,
};
use sincro_store::access::{Principal, Scope};
use url::Url;

use super::effective::Effective;
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
    /// How fast its gateway may be called where no rule of `/v1/limits` is about the channel.
    limit: Limit,
    /// Whether its jobs may run.
    state: ChannelState,
    /// Why it is paused, when it is.
    reason: Option<String>,
    /// Who or what paused it, when it is: after `session` it goes on by itself, otherwise when somebody resumes it.
    #[schema(value_type = Option<PausedBy>)]
    paused_by: Option<PausedBy>,
    /// What holds now; null while Redis does not answer.
    effective: Option<Effective>,
    /// The address to give to the provider for its webhooks. It is unguessable, so only keys with scope `admin` see it.
    hook_url: Option<String>,
    /// When it was created.
    created_at: DateTime<Utc>,
}

impl View {
    /// A channel for this caller, with what the queue says of it.
    pub(super) async fn of(app: &App, caller: &Principal, channel: Channel, deadline: Deadline) -> Self {
        let effective = Effective::of(app, &channel, deadline).await;
        let hook_url = (caller.scope >= Scope::Admin).then(|| hook_url(&app.settings.public_url, &channel));
        Self::put_together(channel, effective, hook_url)
    }

    fn put_together(channel: Channel, effective: Option<Effective>, hook_url: Option<String>) -> Self {
        let state = channel.state();
        let (paused_by, reason) = channel.paused.map(|pause| (pause.by, pause.reason)).unzip();
        Self {
            id: channel.id,
            name: channel.name,
            provider: channel.provider,
            base_url: channel.base_url.into(),
            features: channel.features,
            limit: channel.limit,
            state,
            reason,
            paused_by,
            effective,
            hook_url,
            created_at: channel.created_at,
        }
    }
}

fn hook_url(public_url: &Url, channel: &Channel) -> String {
    format!("{}/hooks/{}/{}", public_url.as_str().trim_end_matches('/'), channel.provider, channel.hook_token)
}

/// A channel for tests.
#[cfg(test)]
pub(crate) fn channel_for_tests() -> Channel {
    Channel {
        id: uuid::Uuid::from_u128(7),
        name: "support".into(),
        provider: Provider::Wuzapi,
        base_url: "http://gateway:8080".parse().unwrap(),
        features: BTreeSet::new(),
        limit: Limit::default(),
        paused: None,
        hook_token: "t0k3n".into(),
        version: 1,
        created_at: sincro_core::clock::now(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sincro_core::channel::Pause;

    use super::*;

    #[test]
    fn a_hook_address_keeps_the_path_of_the_public_one() {
        for public in ["https://sync.example.org/base", "https://sync.example.org/base/"] {
            let url = hook_url(&public.parse().unwrap(), &channel_for_tests());
            assert_eq!(url, "https://sync.example.org/base/hooks/wuzapi/t0k3n");
        }
        let url = hook_url(&"http://127.0.0.1:8080".parse().unwrap(), &channel_for_tests());
        assert_eq!(url, "http://127.0.0.1:8080/hooks/wuzapi/t0k3n");
    }

    #[test]
    fn a_paused_channel_says_why_and_by_whom() {
        let channel = Channel { paused: Some(Pause::new(PausedBy::Session, "not logged in")), ..channel_for_tests() };
        let view = json!(View::put_together(channel, None, None));
        assert_eq!(
            (&view["state"], &view["reason"], &view["paused_by"]),
            (&json!("paused"), &json!("not logged in"), &json!("session"))
        );
        let view = json!(View::put_together(channel_for_tests(), None, None));
        assert_eq!(
            (&view["state"], &view["reason"], &view["paused_by"]),
            (&json!("active"), &json!(null), &json!(null))
        );
    }
}
