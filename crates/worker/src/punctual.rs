//! A call that comes late has its permit moved.
//!
//! The limiter spaces permits; the gateway sees calls. What lies between them does not matter while it is always the
//! same, but a call that comes late stands closer to the next one than their permits did. So when the way from a claim to
//! its call took markedly longer than usual (a loaded machine, a slow ledger), the queue moves the permit on as far. What is less
//! than that is told with the settlement, and so is what may have passed between the call and the moment at which the gateway saw
//! it, as far as a longer answer than the shortest shows it: the permit becomes as much younger. The margin of the limiter
//! (docs/decisions/0005-limit-margin.md) is for the rest.

use std::{
    collections::HashMap,
    mem::{Discriminant, discriminant},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sincro_core::{channel::Channel, gateway::Call};
use sincro_queue::{Claim, Queue};

/// A call that is later than usual by no more than this is told of with its settlement, and one by more at once.
const TOLERANCE: Duration = Duration::from_millis(5);
/// A call that is later than this has to ask whether there is still room for it: the windows may have filled up without it.
const TOO_LATE: Duration = Duration::from_millis(200);
/// "Usual" is the shortest way among the last so many, at least; twice as many at most. Not an average: what is usual must be
/// the same at every worker.
const REMEMBERED: u32 = 128;
/// What is usual until so many ways are known: the first of a process is as long as everything that is done for the first time.
const FIRST_USUAL: Duration = Duration::from_millis(10);
const FIRST: u32 = 8;
/// So much later than usual a call counts as seen at the most: a gateway that answers now fast and now slowly was not reached late each
/// time. What takes longer than that on the way, such as a new connection to a gateway far away, is not covered.
const SEEN_LATE_AT_MOST: Duration = Duration::from_millis(20);
/// Answers of so many kinds are remembered; then all are learned anew.
const KINDS: usize = 10_000;
/// Calls that may stand closer are as good as unlimited: no lateness of one of them shows.
const CLOSEST_LIMITED: Duration = Duration::from_millis(1);

/// How long the ways to calls are.
#[derive(Debug, Default)]
pub(crate) struct Punctuality {
    from_claims: Mutex<Usual>,
    /// From calls to answers, by server and by what is asked.
    to_answers: Mutex<HashMap<(String, Discriminant<Call>), Usual>>,
}

impl Punctuality {
    /// Whether the call of a claim may be made now. If it is late, its permit is moved while the call is made: nothing depends on it
    /// before one window has passed.
    pub(crate) async fn admits(&self, claim: &Claim, queue: &Queue) -> bool {
        if claim.spacing < CLOSEST_LIMITED {
            return true;
        }
        let (late, shortest) = self.from_claims.lock().note(claim.age());
        if late > TOO_LATE {
            return moved_before_the_call(claim, queue, shortest).await;
        }
        claim.note_late(late);
        if late > TOLERANCE {
            tokio::spawn(move_beside_the_call(claim.clone(), queue.clone(), shortest, late));
        }
        true
    }

    /// A call was answered after so long: it may have been seen late.
    pub(crate) fn note_answer(&self, claim: &Claim, channel: &Channel, call: &Call, took: Duration) {
        if claim.spacing < CLOSEST_LIMITED {
            return;
        }
        let mut kinds = self.to_answers.lock();
        if kinds.len() > KINDS {
            kinds.clear();
        }
        let (late, _) = kinds.entry((channel.server(), discriminant(call))).or_default().note(took);
        claim.note_late(late.min(SEEN_LATE_AT_MOST));
    }
}

/// Should it come to nothing, the settlement says how late the call was.
async fn move_beside_the_call(claim: Claim, queue: Queue, shortest: Duration, late: Duration) {
    match queue.move_permit(&claim, shortest, false).await {
        Ok(true) => {
            metrics::counter!("sincro_moved_permits_total").increment(1);
            claim.forget_late(late);
        }
        Ok(false) => {}
        Err(error) => tracing::debug!(job = claim.job, %error, "a permit could not be moved"),
    }
}

/// Whether there is still room for a call that is very late; without an answer from the queue there is none.
async fn moved_before_the_call(claim: &Claim, queue: &Queue, shortest: Duration) -> bool {
    let asked = Instant::now();
    let moved = queue.move_permit(claim, shortest, true).await;
    if let Ok(true) = moved {
        metrics::counter!("sincro_moved_permits_total").increment(1);
        claim.note_late(asked.elapsed());
        return true;
    }
    tracing::debug!(job = claim.job, ?moved, "a call would come too late");
    metrics::counter!("sincro_stale_permits_total").increment(1);
    false
}

/// How long one kind of way takes as a rule.
#[derive(Debug)]
struct Usual {
    in_all: u32,
    counted: u32,
    now: Duration,
    before: Duration,
}

impl Default for Usual {
    fn default() -> Self {
        Self { in_all: 0, counted: 0, now: Duration::MAX, before: Duration::MAX }
    }
}

impl Usual {
    /// Takes note of a way: by how much it is longer than usual, and what is usual.
    fn note(&mut self, way: Duration) -> (Duration, Duration) {
        if self.counted == REMEMBERED {
            *self = Self { counted: 0, now: Duration::MAX, before: self.now, ..*self };
        }
        self.in_all = self.in_all.saturating_add(1);
        self.counted += 1;
        self.now = self.now.min(way);
        let usual = self.usual();
        (way.saturating_sub(usual), usual)
    }

    /// The shortest seen lately.
    fn usual(&self) -> Duration {
        let shortest = self.now.min(self.before);
        if self.in_all <= FIRST { shortest.min(FIRST_USUAL) } else { shortest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_way_that_is_always_long_is_no_lateness_but_one_that_gets_longer_is() {
        let mut ways = Usual::default();
        let usual = (0..1_000).filter(|n| ways.note(30 * MS + n % 5 * MS).0 <= 4 * MS).count();
        assert_eq!(usual, 1_000 - FIRST as usize);
        assert_eq!(ways.usual(), 30 * MS);
        assert_eq!(ways.note(36 * MS).0, 6 * MS);
    }

    #[test]
    fn the_first_way_is_late_when_everything_was_done_for_the_first_time() {
        let mut ways = Usual::default();
        assert_eq!(ways.note(300 * MS).0, 290 * MS);
        assert_eq!(ways.usual(), FIRST_USUAL, "so far its permit stays behind");
        assert_eq!(ways.note(2 * MS).0, Duration::ZERO);
        assert_eq!(ways.note(8 * MS).0, 6 * MS);
    }

    #[test]
    fn a_way_that_has_become_longer_for_good_is_usual_after_a_while() {
        let mut ways = Usual::default();
        ways.note(MS);
        let unusual = (0..1_000).filter(|_| !ways.note(50 * MS).0.is_zero()).count();
        assert!((REMEMBERED as usize..2 * REMEMBERED as usize).contains(&unusual), "{unusual}");
    }
}
