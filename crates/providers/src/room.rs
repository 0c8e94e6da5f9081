//! Room in memory for answers: all calls of a process together keep no more of them than this.
//!
//! A small answer is free. A larger one takes room as it grows, and keeps it until it is settled. Where there is none left, one
//! answer at a time may grow to its full length beyond it, so that nobody waits for another who waits as well.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much of every answer is free.
const FREE: usize = 64 * 1_024;
/// Room is taken in steps of this.
const STEP: usize = 256 * 1_024;

/// The room of one process.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    steps: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Room {
    /// For so many bytes, beside what is free and beside the one answer that may go beyond.
    pub(crate) fn new(bytes: usize) -> Self {
        let steps = (bytes / STEP).clamp(1, Semaphore::MAX_PERMITS);
        Self { steps: Arc::new(Semaphore::new(steps)), beyond: Arc::new(Semaphore::new(1)) }
    }

    /// The place of one answer.
    pub(crate) fn place(&self) -> Held {
        Held { room: Some(self.clone()), granted: FREE, steps: None, beyond: None }
    }
}

/// What one answer takes; dropped with the last thing made of it.
#[derive(Debug, Default)]
pub struct Held {
    room: Option<Room>,
    granted: usize,
    steps: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Waits until the answer may be so long.
    pub(crate) async fn grow(&mut self, to: usize) {
        let Some(room) = self.room.clone() else { return };
        while self.granted < to && self.beyond.is_none() {
            let step = room.steps.clone().acquire_owned();
            let beyond = room.beyond.clone().acquire_owned();
            // Never closed: an error would mean that there is nothing to wait for.
            tokio::select! {
                biased;
                step = step => match (&mut self.steps, step) {
                    (Some(steps), Ok(step)) => { steps.merge(step); self.granted += STEP; }
                    (steps, step) => { *steps = step.ok(); self.granted += STEP; }
                },
                beyond = beyond => self.beyond = beyond.ok(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn grows(held: &mut Held, to: usize) -> bool {
        held.grow(to).now_or_never().is_some()
    }

    #[test]
    fn small_answers_are_free_and_large_ones_share_the_room() {
        let room = Room::new(2 * STEP);
        let mut small: Vec<Held> = (0..100).map(|_| room.place()).collect();
        assert!(small.iter_mut().all(|held| grows(held, FREE)));
        let (mut first, mut second, mut third) = (room.place(), room.place(), room.place());
        assert!(grows(&mut first, FREE + STEP) && grows(&mut second, FREE + 1));
        assert!(grows(&mut first, 100 * STEP), "one may go beyond, to any length");
        assert!(!grows(&mut second, 2 * STEP) && !grows(&mut third, FREE + 1), "the others wait");
        drop(first);
        assert!(grows(&mut second, FREE + 2 * STEP), "for what comes free");
        assert!(grows(&mut third, FREE + 1));
    }
}
