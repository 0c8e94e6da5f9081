//! Named points at which a test build can be ended or held: the moments at which a crash would hurt most.
//!
//! The code says [`reach`] where it passes such a point. A release build does nothing there. A build with debug assertions can
//! be told to abort the whole process at the n-th passage ([`abort_at`]), or whenever a certain thing passes ([`abort_with`]), or
//! to ask a gate of the thread before it goes on ([`hold`]), which is how a test decides in which order several workers move.

use crate::word::words;

words! {
    /// A moment in the life of a request, a job or the queue.
    pub enum Point {
        /// What a request asked for is in the ledger; the queue has not heard of it, and nobody has been answered.
        Requested = "requested",
        /// A piece of a contact list and its jobs are written, not committed.
        Planning = "planning",
        /// They are committed; the queue has not heard of the jobs.
        Planned = "planned",
        /// Notices are in the queue and still in the ledger's outbox.
        Delivered = "delivered",
        /// A job is claimed; nothing was done with it.
        Claimed = "claimed",
        /// The job is loaded; its call is about to be made.
        Calling = "calling",
        /// A request that is made once is in the ledger; it was not made.
        Attempting = "attempting",
        /// A piece of a webhook is written, not committed.
        Ingesting = "ingesting",
        /// The gateway has answered; nobody else knows.
        Called = "called",
        /// A file has come whole; what it is kept in is about to be written.
        Keeping = "keeping",
        /// A file is in its place; the ledger has not heard.
        Kept = "kept",
        /// What the answer comes to is decided, and the lease still held; the ledger has not heard.
        Judged = "judged",
        /// Results are written, not committed.
        Settling = "settling",
        /// Results are committed; the queue still holds their jobs.
        Settled = "settled",
        /// The queue has rulings and has given jobs out; the worker does not know that yet.
        Ruled = "ruled",
        /// A shard of the queue is dropped and has no epoch.
        Emptied = "emptied",
        /// A lane was put back, and there may be more.
        Restored = "restored",
        /// A channel stands still in the ledger; the queue has not heard.
        Paused = "paused",
        /// A session is back in the ledger; the queue has not heard.
        Resumed = "resumed",
    }
}

/// The code passes a point.
pub async fn reach(point: Point) {
    #[cfg(debug_assertions)]
    armed::pass(point).await;
    #[cfg(not(debug_assertions))]
    let _ = point;
}

/// The code passes a point with something in hand: the call it is about to make, say.
pub async fn reach_with(point: Point, what: &(impl std::fmt::Debug + Sync)) {
    #[cfg(debug_assertions)]
    armed::carry(point, what);
    #[cfg(not(debug_assertions))]
    let _ = what;
    reach(point).await;
}

#[cfg(debug_assertions)]
pub use armed::{Gate, abort_at, abort_with, hold};

#[cfg(debug_assertions)]
mod armed {
    use std::{
        cell::RefCell,
        pin::Pin,
        sync::{
            Arc, OnceLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    use super::Point;

    /// Asked at every point that a thread reaches; the thread goes on when the future is ready.
    pub type Gate = Arc<dyn Fn(Point) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

    static ABORT: OnceLock<(Point, AtomicU32)> = OnceLock::new();

    static ABORT_WITH: OnceLock<(Point, String)> = OnceLock::new();

    thread_local! {
        static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
    }

    /// Ends the process at the n-th passage of a point (from 1), as if it had been killed. Only the first call counts.
    pub fn abort_at(point: Point, n: u32) {
        let _ = ABORT.set((point, AtomicU32::new(n)));
    }

    /// Ends the process whenever a point is passed with something whose description contains this text. Only the first call
    /// counts.
    pub fn abort_with(point: Point, text: String) {
        let _ = ABORT_WITH.set((point, text));
    }

    /// Puts a gate before all points of this thread, or takes it away.
    pub fn hold(gate: Option<Gate>) {
        GATE.with_borrow_mut(|held| *held = gate);
    }

    pub(super) fn carry(point: Point, what: &impl std::fmt::Debug) {
        if let Some((at, text)) = ABORT_WITH.get()
            && *at == point
            && format!("{what:?}").contains(text)
        {
            std::process::abort();
        }
    }

    pub(super) async fn pass(point: Point) {
        if let Some((at, left)) = ABORT.get()
            && *at == point
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
        let gate = GATE.with_borrow(Clone::clone);
        if let Some(gate) = gate {
            gate(point).await;
        }
    }
}
