//! Every attempt to deliver a webhook, and the questions tests ask about them. It judges nothing and is never trimmed.

use std::{borrow::Cow, pin::pin, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::guarded::Guarded;

/// One attempt, or the end of an event that was never tried. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event's number, the same for all attempts and copies of it; counts from 0 over the simulator's life.
    pub number: u64,
    /// Whose event it is.
    pub channel: usize,
    /// As the provider names its kind.
    pub event: String,
    /// Whether it brings messages of the past.
    pub history: bool,
    /// Counts from 1; 0 if it was never tried.
    pub attempt: u32,
    /// How long the body is.
    pub bytes: u64,
    /// When the attempt began.
    pub at_us: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What was answered; nothing where nobody did.
    pub status: Option<u16>,
    /// What went wrong on purpose, by its compact name; `no hook` where nobody wanted the event, `full` where the queue was.
    pub fault: Option<Cow<'static, str>>,
}

/// All attempts, in the order they ended. Cheap to clone; outlives the simulator.
#[derive(Debug, Clone, Default)]
pub struct DeliveryLog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Guarded<Vec<Delivery>>,
    changed: Notify,
}

impl DeliveryLog {
    pub(crate) fn note(&self, delivery: Delivery) {
        self.0.kept.with(|kept| kept.push(delivery));
        self.0.changed.notify_waiters();
    }

    /// A copy of everything.
    #[must_use]
    pub fn all(&self) -> Vec<Delivery> {
        self.0.kept.with(|kept| kept.clone())
    }

    /// How many are `wanted`.
    pub fn count(&self, wanted: impl Fn(&Delivery) -> bool) -> usize {
        self.0.kept.with(|kept| kept.iter().filter(|delivery| wanted(delivery)).count())
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.0.kept.with(Vec::clear);
    }

    /// Waits until at least `count` are `wanted`.
    pub async fn wait_for(&self, count: usize, wanted: impl Fn(&Delivery) -> bool) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Registered before counting, so that one between the two is not missed.
            changed.as_mut().enable();
            if self.count(&wanted) >= count {
                return;
            }
            changed.await;
        }
    }
}
