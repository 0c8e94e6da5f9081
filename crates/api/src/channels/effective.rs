//! What holds for a channel at this moment: its own level, its provider server's, and which of both binds.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sincro_core::{
    channel::Channel,
    clock,
    limit::{Cooldown, Resolved, resolve},
};
use sincro_queue::{ChannelView as Seen, LevelView};

use crate::{queue_view::Deadline, state::App};

/// What holds for a channel at this moment.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Effective {
    /// Calls per second that are made at most now: the lower one of both levels' effective rates.
    rate_per_second: f64,
    /// Jobs at workers.
    running: i64,
    /// Nothing is called before then, when the channel or its server rests; the later end where both do.
    cooldown_until: Option<DateTime<Utc>>,
    /// Why it rests.
    cooldown_reason: Option<String>,
    /// When the next call may be made; null while the channel is paused or as many calls are under way as may be.
    next_slot_at: Option<DateTime<Utc>>,
    /// The channel's own level.
    channel: LevelNow,
    /// The level of its provider server, which it shares with all channels behind the same address.
    server: LevelNow,
    /// What keeps its next job from starting, in the words of a sync's `limited_by`; null when nothing does.
    waits_for: Option<String>,
    /// The same; while the session is lost, when that is looked at.
    next_call_at: Option<DateTime<Utc>>,
    /// When its session is looked at again, while that is lost.
    probe_at: Option<DateTime<Utc>>,
}

/// A level of limits at this moment.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct LevelNow {
    /// Calls per second as configured; null without a limit.
    pub(crate) configured_rate: Option<f64>,
    /// Calls per second that are allowed now: lower than the configured rate after the gateway asked for less, and climbing
    /// back; null without a limit.
    pub(crate) effective_rate: Option<f64>,
    /// Calls per second that were made lately.
    pub(crate) observed_rate: f64,
    /// Calls that may be under way at once; null without a limit.
    pub(crate) concurrency: Option<u32>,
    /// Calls that are under way.
    pub(crate) running: i64,
    /// Its rest, while it rests.
    pub(crate) cooldown: Option<Cooldown>,
}

impl LevelNow {
    fn of(seen: LevelView, now: DateTime<Utc>) -> Self {
        let LevelView { configured_rate, effective_rate, observed_rate, concurrency, running, cooldown } = seen;
        let cooldown = cooldown.filter(|cooldown| cooldown.until > now);
        Self { configured_rate, effective_rate, observed_rate, concurrency, running, cooldown }
    }

    fn unheard(configured_rate: Option<f64>, concurrency: Option<u32>) -> Self {
        let effective_rate = configured_rate;
        Self { configured_rate, effective_rate, observed_rate: 0.0, concurrency, running: 0, cooldown: None }
    }
}

impl Effective {
    /// What the queue says of the channel; none while it does not answer.
    pub(super) async fn of(app: &App, channel: &Channel, deadline: Deadline) -> Option<Self> {
        if let Some(seen) = app.queue.channel(deadline, channel).await? {
            return Some(Self::seen(seen, clock::now()));
        }
        // It hears of a channel with its first sync.
        let rules = app.rules().await.ok()?;
        Some(Self::unheard(channel, resolve(&rules, &channel.server(), channel.id)))
    }

    fn seen(seen: Seen, now: DateTime<Utc>) -> Self {
        let Seen { paused, channel, server, waits_for, next_call_at, probe_at } = seen;
        let (channel, server) = (LevelNow::of(channel, now), LevelNow::of(server, now));
        let resting = channel.cooldown.iter().chain(&server.cooldown).max_by_key(|cooldown| cooldown.until).cloned();
        let (cooldown_until, cooldown_reason) = resting.map(|cooldown| (cooldown.until, cooldown.reason)).unzip();
        Self {
            rate_per_second: lower(channel.effective_rate, server.effective_rate),
            running: channel.running,
            cooldown_until,
            cooldown_reason,
            next_slot_at: next_call_at.filter(|_| paused.is_none()),
            channel,
            server,
            waits_for: waits_for.map(|reason| reason.to_string()),
            next_call_at,
            probe_at,
        }
    }

    /// A channel that the queue has not heard of yet has its full limit.
    fn unheard(channel: &Channel, resolved: Resolved) -> Self {
        let own = resolved.channel.map_or(channel.limit, |admits| admits.limit);
        let server = resolved.server.map(|admits| admits.limit);
        let server_rate = server.map(|limit| limit.rate_per_second);
        Self {
            rate_per_second: lower(Some(own.rate_per_second), server_rate),
            running: 0,
            cooldown_until: None,
            cooldown_reason: None,
            next_slot_at: None,
            channel: LevelNow::unheard(Some(own.rate_per_second), Some(own.concurrency)),
            server: LevelNow::unheard(server_rate, server.map(|limit| limit.concurrency)),
            waits_for: None,
            next_call_at: None,
            probe_at: None,
        }
    }
}

/// The lower of two rates; a level without a limit has none.
fn lower(channel: Option<f64>, server: Option<f64>) -> f64 {
    [channel, server].into_iter().flatten().reduce(f64::min).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use sincro_core::{
        limit::{Level, LevelLimit, Limit},
        waiting::WaitsFor,
    };

    use super::*;
    use crate::channels::view::channel_for_tests;

    fn level(configured: f64, effective: f64, cooldown: Option<Cooldown>) -> LevelView {
        LevelView {
            configured_rate: Some(configured),
            effective_rate: Some(effective),
            observed_rate: 1.0,
            concurrency: Some(8),
            running: 3,
            cooldown,
        }
    }

    #[test]
    fn the_level_that_binds_decides_the_rate_and_the_cooldown() {
        let now = clock::now();
        let rest = |seconds, reason: &str| Cooldown { until: now + TimeDelta::seconds(seconds), reason: reason.into() };
        let seen = |channel_rest, server_rest| Seen {
            paused: None,
            channel: level(20.0, 10.0, channel_rest),
            server: level(50.0, 6.25, server_rest),
            waits_for: Some(WaitsFor::Rate { level: Level::Server, per: None }),
            next_call_at: Some(now),
            probe_at: None,
        };
        let both = Effective::seen(seen(Some(rest(5, "throttled: a")), Some(rest(9, "unreachable: b"))), now);
        assert!((both.rate_per_second - 6.25).abs() < f64::EPSILON);
        assert_eq!(both.cooldown_reason.as_deref(), Some("unreachable: b"));
        assert_eq!((both.waits_for.as_deref(), both.running), (Some("rate: server"), 3));
        let over = Effective::seen(seen(Some(rest(5, "throttled: a")), Some(rest(-1, "over"))), now);
        assert_eq!((over.cooldown_reason.as_deref(), over.server.cooldown), (Some("throttled: a"), None));
    }

    #[test]
    fn a_channel_that_the_queue_does_not_know_yet_has_its_full_limit() {
        let nothing = Resolved { server: None, channel: None };
        let effective = Effective::unheard(&channel_for_tests(), nothing);
        assert!((effective.rate_per_second - 20.0).abs() < f64::EPSILON);
        assert_eq!((effective.running, effective.cooldown_until, effective.server.configured_rate), (0, None, None));
    }

    #[test]
    fn rules_hold_before_the_queue_has_heard_of_the_channel() {
        let admits = |rate_per_second| LevelLimit::from(Limit { rate_per_second, ..Limit::default() });
        let resolved = Resolved { server: Some(admits(3.0)), channel: Some(admits(5.0)) };
        let effective = Effective::unheard(&channel_for_tests(), resolved);
        assert!((effective.rate_per_second - 3.0).abs() < f64::EPSILON);
        assert_eq!(effective.channel.configured_rate, Some(5.0));
    }
}
