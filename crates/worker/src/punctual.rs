//! A permit that got stale is not used.
//!
//! The limiter spaces permits; the gateway sees calls. What lies between them does not matter while it is always the
//! same, but a call that comes late stands closer to the next one than their permits did. So a claim whose way to its
//! call took markedly longer than usual (a loaded machine, a slow ledger) goes back, and its permit is lost. The margin of
//! the limiter (docs/decisions/0005-limit-margin.md) covers what is tolerated here.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How much later than usual a call may be.
const TOLERANCE: Duration = Duration::from_millis(8);
/// "Usual" is the shortest way among the last so many claims, at least; twice as many at most.
const REMEMBERED: u32 = 128;
/// Faster channels are as good as unlimited: their calls stand so close that no lateness of one of them shows.
const SLOWEST_UNLIMITED: f64 = 1_000.0;

/// How long claims take on their way to their calls.
#[derive(Debug)]
pub(crate) struct Punctuality(Mutex<Ways>);

#[derive(Debug)]
struct Ways {
    counted: u32,
    shortest: Duration,
    shortest_before: Duration,
}

impl Default for Punctuality {
    fn default() -> Self {
        Self(Mutex::new(Ways { counted: 0, shortest: Duration::MAX, shortest_before: Duration::MAX }))
    }
}

impl Punctuality {
    /// Whether a call may still be made under a permit of that age. Takes note of the age.
    pub(crate) fn accepts(&self, age: Duration, rate_per_second: f64) -> bool {
        if rate_per_second > SLOWEST_UNLIMITED {
            return true;
        }
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.counted == REMEMBERED {
            *ways = Ways { counted: 0, shortest: Duration::MAX, shortest_before: ways.shortest };
        }
        ways.counted += 1;
        ways.shortest = ways.shortest.min(age);
        age <= ways.shortest.min(ways.shortest_before).saturating_add(TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_way_that_is_always_long_is_no_lateness_but_one_that_gets_longer_is() {
        let punctuality = Punctuality::default();
        assert!((0..1_000).all(|n| punctuality.accepts(30 * MS + n % 8 * MS, 100.0)));
        assert!(!punctuality.accepts(39 * MS, 100.0));
    }

    #[test]
    fn a_way_that_has_become_longer_for_good_is_usual_after_a_while() {
        let punctuality = Punctuality::default();
        punctuality.accepts(MS, 100.0);
        let refused = (0..1_000).filter(|_| !punctuality.accepts(50 * MS, 100.0)).count();
        assert!((REMEMBERED as usize..2 * REMEMBERED as usize).contains(&refused), "{refused}");
    }

    #[test]
    fn a_channel_that_is_as_good_as_unlimited_is_not_held_up() {
        let punctuality = Punctuality::default();
        assert!(punctuality.accepts(MS, 10_000.0) && punctuality.accepts(500 * MS, 10_000.0));
    }
}
