//! A call that comes late has its permit moved.
//!
//! The limiter spaces permits; the gateway sees calls. What lies between them does not matter while it is always the
//! same, but a call that comes late stands closer to the next one than their permits did. So when the way from a claim to
//! its call took markedly longer than usual (a loaded machine, a slow ledger), the queue moves the permit on as far. What is less than that, and
//! what happens between the call and the moment at which the gateway sees it, shows in an answer that took longer than the
//! shortest: the call counts from the latest moment at which it can have been seen, once it is settled. The margin of the limiter
//! (docs/decisions/0005-limit-margin.md) covers the rest.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use sincro_core::channel::Channel;
use sincro_queue::{Claim, Queue};

/// A call that is later than usual by no more than this is told of with its settlement, and one by more at once.
const TOLERANCE: Duration = Duration::from_millis(5);
/// A permit that is older than usual by more than this goes back: no window may pass before it is known when the call was made.
const TOO_LATE: Duration = Duration::from_millis(200);
/// "Usual" is the shortest way among the last so many, at least; twice as many at most. Not an average: what is usual must be
/// the same at every worker.
const REMEMBERED: u32 = 128;
/// What is usual until so many ways are known: the first of a process is as long as everything that is done for the first time.
const FIRST_USUAL: Duration = Duration::from_millis(10);
const FIRST: u32 = 8;
/// So much later than usual a call was seen at the most. A gateway that answers now fast and now slowly was not reached late each
/// time, and what was late within the process is known before the call.
const SEEN_LATE_AT_MOST: Duration = Duration::from_millis(20);
/// Calls that may stand closer are as good as unlimited: no lateness of one of them shows.
const CLOSEST_LIMITED: Duration = Duration::from_millis(1);

/// How long the ways to calls are.
#[derive(Debug, Default)]
pub(crate) struct Punctuality {
    from_claims: Ways,
    /// From calls to answers, by server.
    to_answers: Mutex<HashMap<String, Ways>>,
}

impl Punctuality {
    /// Whether the call of a claim may be made now. If it is late, its permit is moved while the call is made: nothing depends on it
    /// before one window has passed.
    pub(crate) fn admits(&self, claim: &Claim, queue: &Queue) -> bool {
        if claim.spacing < CLOSEST_LIMITED {
            return true;
        }
        let late = self.from_claims.lateness(claim.age());
        if late > TOO_LATE {
            metrics::counter!("sincro_stale_permits_total").increment(1);
            return false;
        }
        if late <= TOLERANCE {
            claim.note_late(late);
        } else {
            metrics::counter!("sincro_moved_permits_total").increment(1);
            let (claim, queue, shortest) = (claim.clone(), queue.clone(), self.from_claims.shortest());
            tokio::spawn(async move {
                if let Err(error) = queue.move_permit(&claim, shortest).await {
                    tracing::debug!(job = claim.job, %error, "a permit could not be moved; its settlement says how late the call was");
                    claim.note_late(late);
                }
            });
        }
        true
    }

    /// An answer took so long: its call may have been seen late.
    pub(crate) fn note_answer(&self, claim: &Claim, channel: &Channel, took: Duration) {
        if claim.spacing >= CLOSEST_LIMITED {
            let late = self.to_answers.lock().entry(channel.server()).or_default().lateness(took);
            claim.note_late(late.min(SEEN_LATE_AT_MOST));
        }
    }
}

/// How long one kind of way takes.
#[derive(Debug, Default)]
struct Ways(Mutex<Shortest>);

#[derive(Debug)]
struct Shortest {
    in_all: u32,
    counted: u32,
    now: Duration,
    before: Duration,
}

impl Default for Shortest {
    fn default() -> Self {
        Self { in_all: 0, counted: 0, now: Duration::MAX, before: Duration::MAX }
    }
}

impl Shortest {
    fn usual(&self) -> Duration {
        let shortest = self.now.min(self.before);
        if self.in_all <= FIRST { shortest.min(FIRST_USUAL) } else { shortest }
    }
}

impl Ways {
    /// The shortest seen lately.
    fn shortest(&self) -> Duration {
        self.0.lock().usual()
    }

    /// By how much a way is longer than usual. Takes note of it.
    fn lateness(&self, way: Duration) -> Duration {
        let mut shortest = self.0.lock();
        if shortest.counted == REMEMBERED {
            *shortest = Shortest { counted: 0, now: Duration::MAX, before: shortest.now, ..*shortest };
        }
        shortest.in_all = shortest.in_all.saturating_add(1);
        shortest.counted += 1;
        shortest.now = shortest.now.min(way);
        way.saturating_sub(shortest.usual())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_way_that_is_always_long_is_no_lateness_but_one_that_gets_longer_is() {
        let ways = Ways::default();
        let usual = (0..1_000).filter(|n| ways.lateness(30 * MS + n % 5 * MS) <= 4 * MS).count();
        assert_eq!(usual, 1_000 - FIRST as usize);
        assert_eq!(ways.shortest(), 30 * MS);
        assert_eq!(ways.lateness(36 * MS), 6 * MS);
    }

    #[test]
    fn the_first_way_is_late_when_everything_was_done_for_the_first_time() {
        let ways = Ways::default();
        assert_eq!(ways.lateness(300 * MS), 290 * MS);
        assert_eq!(ways.shortest(), FIRST_USUAL, "so far its permit stays behind");
        assert_eq!(ways.lateness(2 * MS), Duration::ZERO);
        assert_eq!(ways.lateness(8 * MS), 6 * MS);
    }

    #[test]
    fn a_way_that_has_become_longer_for_good_is_usual_after_a_while() {
        let ways = Ways::default();
        ways.lateness(MS);
        let unusual = (0..1_000).filter(|_| !ways.lateness(50 * MS).is_zero()).count();
        assert!((REMEMBERED as usize..2 * REMEMBERED as usize).contains(&unusual), "{unusual}");
    }
}
