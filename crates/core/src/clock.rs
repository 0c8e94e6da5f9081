//! The one place that reads the wall clock.

use chrono::{DateTime, SubsecRound, Utc};

/// Now, to the microsecond: as exact as Postgres keeps it, so that a stored time equals the one in hand.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that may read the clock")]
pub fn now() -> DateTime<Utc> {
    let now = Utc::now();
    #[cfg(debug_assertions)]
    let now = wrong::stopped().unwrap_or(now) + wrong::by();
    now.trunc_subsecs(6)
}

#[cfg(debug_assertions)]
pub use wrong::{set_process, set_thread, stop_thread};

/// A test build can have a clock that is wrong.
#[cfg(debug_assertions)]
mod wrong {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicI64, Ordering},
    };

    use chrono::{DateTime, TimeDelta, Utc};

    static PROCESS_US: AtomicI64 = AtomicI64::new(0);

    thread_local! {
        static THREAD_US: Cell<i64> = const { Cell::new(0) };
        static STOPPED: Cell<Option<DateTime<Utc>>> = const { Cell::new(None) };
    }

    pub(super) fn by() -> TimeDelta {
        TimeDelta::microseconds(PROCESS_US.load(Ordering::Relaxed) + THREAD_US.get())
    }

    pub(super) fn stopped() -> Option<DateTime<Utc>> {
        STOPPED.get()
    }

    /// From now on the clock of this thread stands at that time, or goes again.
    pub fn stop_thread(at: Option<DateTime<Utc>>) {
        STOPPED.set(at);
    }

    /// From now on the clock of this process is wrong by so many microseconds.
    pub fn set_process(micros: i64) {
        PROCESS_US.store(micros, Ordering::Relaxed);
    }

    /// From now on the clock of this thread is wrong by so many microseconds more.
    pub fn set_thread(micros: i64) {
        THREAD_US.set(micros);
    }
}
