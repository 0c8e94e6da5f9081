//! When a failed attempt is tried again: the one rule for the ledger and the queue.
//!
//! Exponential with full jitter: attempt `n` waits between nothing and `base * 2^(n-1)`, at most the cap.
//! The `backoff` crate supplies the exponential and the randomness; it is unmaintained
//! (RUSTSEC-2025-0012) and named by the project's brief, so it stays inside this file.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// How often and how patiently a job is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait before the second attempt.
    pub base: Duration,
    /// The longest wait before any attempt.
    pub cap: Duration,
    /// Attempts before a job fails.
    pub max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), cap: Duration::from_mins(5), max_attempts: 5 }
    }
}

impl RetryPolicy {
    /// The wait after failed attempt number `attempt` (1 is the first).
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        full_jitter(ceiling)
    }
}

/// Evenly between nothing and `ceiling`: a centre of half of it, randomised by the whole of it.
fn full_jitter(ceiling: Duration) -> Duration {
    let mut once: ExponentialBackoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(ceiling / 2)
        .with_max_interval(ceiling)
        .with_randomization_factor(1.0)
        .with_max_elapsed_time(None)
        .build();
    once.next_backoff().unwrap_or(ceiling).min(ceiling)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_and_stops_at_the_cap() {
        let policy = RetryPolicy { base: Duration::from_secs(1), cap: Duration::from_secs(5), max_attempts: 9 };
        for (attempt, ceiling) in [(1, 1), (2, 2), (3, 4), (4, 5), (40, 5)] {
            let longest = (0..500).map(|_| policy.delay_after(attempt)).max().unwrap();
            assert!(longest <= Duration::from_secs(ceiling), "attempt {attempt}: {longest:?}");
            assert!(longest >= Duration::from_secs(ceiling) * 8 / 10, "attempt {attempt}: {longest:?}");
        }
    }

    #[test]
    fn the_jitter_is_full_so_that_a_failed_batch_spreads_out() {
        let policy = RetryPolicy::default();
        let waits: Vec<_> = (0..1_000).map(|_| policy.delay_after(3)).collect();
        let below_half = waits.iter().filter(|wait| **wait < policy.base * 2).count();
        assert!((400..600).contains(&below_half), "{below_half} of 1000 in the lower half");
    }
}
