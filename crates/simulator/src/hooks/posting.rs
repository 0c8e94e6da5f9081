//! How a provider sends its webhooks: how often it tries, what it holds ready, how it signs.

use std::time::Duration;

/// What is the same for all webhooks of a provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting {
    pub(crate) retries: Retries,
    /// Where what waits is held in memory: how many of them, before the next is dropped.
    pub(crate) capacity: Option<usize>,
    /// The headers that hold the signature; none where nothing is signed.
    pub(crate) signed_in: &'static [&'static str],
    /// What stands before the digits.
    pub(crate) prefix: &'static str,
    /// Whether nothing but 200 counts as received.
    pub(crate) only_200: bool,
}

impl Posting {
    /// Tried once, unsigned.
    pub(crate) const ONCE: Self =
        Self { retries: Retries::NONE, capacity: None, signed_in: &[], prefix: "", only_200: false };

    /// Whether this answer ends it.
    pub(crate) fn is_received(&self, status: u16) -> bool {
        status == 200 || !self.only_200 && (200..300).contains(&status)
    }
}

/// How often a webhook is tried, and how long is waited before the next attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retries {
    /// The first one included; without end if there is no number.
    pub(crate) attempts: Option<u32>,
    pub(crate) first_wait: Duration,
    pub(crate) longest_wait: Duration,
    /// Waits grow by the first one instead of doubling.
    pub(crate) linear: bool,
}

impl Retries {
    pub(crate) const NONE: Self =
        Self { attempts: Some(1), first_wait: Duration::ZERO, longest_wait: Duration::ZERO, linear: false };

    /// The wait behind an attempt that failed, counted from 1; none if it was the last.
    pub(crate) fn wait_after(&self, attempt: u32) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        let factor = if self.linear { attempt } else { 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX) };
        Some(self.first_wait.saturating_mul(factor).min(self.longest_wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_or_grow_evenly_to_the_longest_and_end_with_the_last_attempt() {
        let second = Duration::from_secs(1);
        let doubling = Retries { attempts: Some(4), first_wait: second, longest_wait: 3 * second, linear: false };
        let waits = |retries: Retries| (1..=4).map(|attempt| retries.wait_after(attempt)).collect::<Vec<_>>();
        assert_eq!(waits(doubling), [Some(second), Some(2 * second), Some(3 * second), None]);
        let linear = Retries { attempts: None, linear: true, longest_wait: 9 * second, ..doubling };
        assert_eq!(waits(linear), [1, 2, 3, 4].map(|times| Some(times * second)));
        assert_eq!(waits(Retries::NONE), [None; 4]);
    }
}
