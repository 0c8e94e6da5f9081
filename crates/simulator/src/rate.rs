//! The gateway's own rate limit: a token bucket over all calls of the server.
//!
//! Real gateways of this kind have none, but what stands in front of them often does. It refuses; it never delays.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::guarded::Guarded;

/// How many calls the gateway takes before it answers 429.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Calls it takes per second in the long run.
    pub per_second: f64,
    /// Calls it takes at once after a rest, at least 1.
    pub burst: u32,
    /// Whether a refusal carries `Retry-After` (whole seconds, rounded up).
    #[serde(default)]
    pub retry_after: bool,
}

impl Limit {
    pub(crate) fn check(self) -> Result<()> {
        let drawable = self.per_second.is_finite() && self.per_second >= 0.001;
        ensure!(drawable, "limit.per_second must be at least 0.001, not {}", self.per_second);
        ensure!(self.burst >= 1, "limit.burst must be at least 1");
        Ok(())
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What the `Retry-After` header says, where there is one.
    pub(crate) retry_after_s: Option<u64>,
}

/// The bucket; without a limit it never empties.
#[derive(Debug, Default)]
pub(crate) struct Limiter(Guarded<Option<Bucket>>);

#[derive(Debug)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    filled_at_us: u64,
}

impl Limiter {
    /// Replaces the limit; the new bucket starts full.
    pub(crate) fn set(&self, limit: Option<Limit>, now_us: u64) {
        let bucket = limit.map(|limit| Bucket { limit, tokens: f64::from(limit.burst), filled_at_us: now_us });
        self.0.with(|kept| *kept = bucket);
    }

    /// Takes one call, or says why not.
    pub(crate) fn take(&self, now_us: u64) -> Result<(), Refused> {
        self.0.with(|kept| kept.as_mut().map_or(Ok(()), |bucket| bucket.take(now_us)))
    }
}

impl Bucket {
    fn take(&mut self, now_us: u64) -> Result<(), Refused> {
        let rested = Duration::from_micros(now_us.saturating_sub(self.filled_at_us)).as_secs_f64();
        self.tokens = (self.tokens + rested * self.limit.per_second).min(f64::from(self.limit.burst));
        self.filled_at_us = self.filled_at_us.max(now_us);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / self.limit.per_second);
        let whole_seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Refused { retry_after_s: self.limit.retry_after.then_some(whole_seconds) })
    }
}
