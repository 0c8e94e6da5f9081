//! A call that comes late has its permit moved.
//!
//! The limiter spaces permits; the gateway sees calls. What lies between them does not matter while it is always the
//! same, but a call that comes late stands closer to the next one than their permits did. So when the way from a claim to
//! its call took markedly longer than usual (a loaded machine, a slow ledger), the queue moves the permit on as far. When even that takes too long several times over, the job goes back, and its permit with it. The margin of the limiter
//! (docs/decisions/0005-limit-margin.md) covers what is tolerated here.

use std::time::Duration;

use parking_lot::Mutex;
use sincro_queue::{Claim, Queue};
use tokio::time::Instant;

/// How much later than usual a call may be.
const TOLERANCE: Duration = Duration::from_millis(5);
/// "Usual" is the shortest way among the last so many, at least; twice as many at most. Not an average: what is usual must be
/// the same at every worker.
const REMEMBERED: u32 = 128;
/// What is usual until so many ways are known: the first of a process is as long as everything that is done for the first time.
const FIRST_USUAL: Duration = Duration::from_millis(20);
const FIRST: u32 = 8;
/// Calls that may stand closer are as good as unlimited: no lateness of one of them shows.
const CLOSEST_LIMITED: Duration = Duration::from_millis(1);
/// So often a permit is moved for one call.
const MOVES: usize = 3;

/// How long the ways to calls are.
#[derive(Debug, Default)]
pub(crate) struct Punctuality {
    from_claims: Ways,
    from_moves: Ways,
}

impl Punctuality {
    /// Whether the call of a claim may be made now, after its permit was moved if need be.
    pub(crate) async fn admits(&self, claim: &Claim, queue: &Queue) -> bool {
        if claim.spacing < CLOSEST_LIMITED || self.from_claims.is_usual(claim.age()) {
            return true;
        }
        for n in 0..MOVES {
            metrics::counter!("sincro_moved_permits_total").increment(1);
            let asked = Instant::now();
            match queue.move_permit(claim, self.from_claims.shortest(), n > 0).await {
                Ok(true) if self.from_moves.is_usual(asked.elapsed()) => return true,
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    tracing::debug!(job = claim.job, %error, "a permit could not be moved");
                    return false;
                }
            }
        }
        metrics::counter!("sincro_stale_permits_total").increment(1);
        false
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

    /// Whether a way of that length is none that is markedly longer than usual. Takes note of it.
    fn is_usual(&self, way: Duration) -> bool {
        let mut shortest = self.0.lock();
        if shortest.counted == REMEMBERED {
            *shortest = Shortest { counted: 0, now: Duration::MAX, before: shortest.now, ..*shortest };
        }
        shortest.in_all = shortest.in_all.saturating_add(1);
        shortest.counted += 1;
        shortest.now = shortest.now.min(way);
        way <= shortest.usual().saturating_add(TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_way_that_is_always_long_is_no_lateness_but_one_that_gets_longer_is() {
        let ways = Ways::default();
        let usual = (0..1_000).filter(|n| ways.is_usual(30 * MS + n % 5 * MS)).count();
        assert_eq!(usual, 1_000 - FIRST as usize);
        assert_eq!(ways.shortest(), 30 * MS);
        assert!(!ways.is_usual(36 * MS));
    }

    #[test]
    fn the_first_way_is_late_when_everything_was_done_for_the_first_time() {
        let ways = Ways::default();
        assert!(!ways.is_usual(300 * MS));
        assert_eq!(ways.shortest(), FIRST_USUAL, "so far its permit stays behind");
        assert!(ways.is_usual(10 * MS));
        assert!(!ways.is_usual(16 * MS));
    }

    #[test]
    fn a_way_that_has_become_longer_for_good_is_usual_after_a_while() {
        let ways = Ways::default();
        ways.is_usual(MS);
        let unusual = (0..1_000).filter(|_| !ways.is_usual(50 * MS)).count();
        assert!((REMEMBERED as usize..2 * REMEMBERED as usize).contains(&unusual), "{unusual}");
    }
}
