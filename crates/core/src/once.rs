//! Requests that are made once: whether now is a time for it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{job::Failure, provider::OneShot};

/// What webhooks and people have told of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// When its number was paired or onboarded, or the channel created.
    pub onboarded_at: DateTime<Utc>,
    /// When the gateway's first sync was over.
    pub initial_sync_at: Option<DateTime<Utc>>,
    /// When somebody allowed the next request whatever is known.
    pub allowed_at: Option<DateTime<Utc>>,
    /// When a webhook was read last.
    pub heard_at: Option<DateTime<Utc>>,
}

/// What keeps such a request from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The gateway has not said yet that its first sync after pairing is over.
    InitialSync,
    /// It could be made once, and no longer can.
    TooLate(Failure),
}

impl Facts {
    /// What keeps the request from being made now. Somebody who allowed it since the number was onboarded knows better.
    #[must_use]
    pub fn hindrance(&self, one_shot: OneShot, now: DateTime<Utc>) -> Option<Hindrance> {
        if self.allowed_at.is_some_and(|at| at >= self.onboarded_at) {
            return None;
        }
        if one_shot.after_initial_sync && self.initial_sync_at.is_none() {
            return Some(Hindrance::InitialSync);
        }
        let within = one_shot.within.and_then(|within| TimeDelta::from_std(within).ok())?;
        let age = now - self.onboarded_at;
        (age > within).then(|| {
            let detail = format!(
                "the number was onboarded {} hours ago or its channel created then, and history can be asked for within {} hours of onboarding; \
                 where it was onboarded again since, say so with `sincro channel allow-history`",
                age.num_hours(),
                within.num_hours()
            );
            Hindrance::TooLate(Failure::new("too_late", detail))
        })
    }
}

impl Facts {
    /// Whether what the gateway would hand out is gone by now, as far as anybody told.
    #[must_use]
    pub fn is_gone(&self, one_shot: OneShot, now: DateTime<Utc>) -> bool {
        let keeps_for = one_shot.keeps_for.and_then(|keeps_for| TimeDelta::from_std(keeps_for).ok());
        keeps_for.zip(self.initial_sync_at).is_some_and(|(keeps_for, synced_at)| now - synced_at > keeps_for)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: OneShot =
        OneShot { within: Some(Duration::from_hours(24)), keeps_for: None, after_initial_sync: false, risk: "" };
    const SYNCED: OneShot =
        OneShot { within: None, keeps_for: Some(Duration::from_hours(1)), after_initial_sync: true, risk: "" };

    fn hours(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    const fn onboarded() -> Facts {
        Facts { onboarded_at: DateTime::UNIX_EPOCH, initial_sync_at: None, allowed_at: None, heard_at: None }
    }

    #[test]
    fn a_day_after_the_onboarding_it_is_too_late_unless_somebody_knows_better() {
        assert_eq!(onboarded().hindrance(DAY, hours(24)), None);
        assert!(
            matches!(onboarded().hindrance(DAY, hours(25)), Some(Hindrance::TooLate(why)) if why.code == "too_late")
        );
        let allowed = Facts { allowed_at: Some(hours(25)), ..onboarded() };
        assert_eq!(allowed.hindrance(DAY, hours(26)), None);
        let onboarded_since = Facts { onboarded_at: hours(30), ..allowed };
        assert_eq!(onboarded_since.hindrance(DAY, hours(31)), None);
        assert!(onboarded_since.hindrance(DAY, hours(55)).is_some(), "what was allowed before counts no longer");
    }

    #[test]
    fn a_first_sync_that_nobody_announced_is_waited_for_unless_somebody_knows_better() {
        assert_eq!(onboarded().hindrance(SYNCED, hours(1)), Some(Hindrance::InitialSync));
        let synced = Facts { initial_sync_at: Some(hours(0)), ..onboarded() };
        assert_eq!(synced.hindrance(SYNCED, hours(900)), None);
        assert_eq!(Facts { allowed_at: Some(hours(1)), ..onboarded() }.hindrance(SYNCED, hours(1)), None);
    }

    #[test]
    fn what_a_gateway_cached_is_gone_when_its_time_is_over() {
        let synced = Facts { initial_sync_at: Some(hours(0)), ..onboarded() };
        assert!(!synced.is_gone(SYNCED, hours(1)));
        assert!(synced.is_gone(SYNCED, hours(1) + TimeDelta::seconds(1)));
        assert!(!onboarded().is_gone(SYNCED, hours(9)) && !synced.is_gone(DAY, hours(9)), "nobody told");
    }
}
