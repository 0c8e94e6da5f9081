//! The only place that reads a clock.
//!
//! Times are microseconds since the Unix epoch, taken from the wall clock once and carried on by the monotonic clock, so
//! that the call log never runs backwards however the machine's time is corrected.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that cannot step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_unix_us: u64,
}

impl Clock {
    /// Reads the wall clock for the only time.
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the simulator knows none of the other crates, their clock neither"
        )]
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_unix_us: micros(unix) }
    }

    /// Microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> u64 {
        self.started_unix_us.saturating_add(micros(self.uptime()))
    }

    /// Since the clock was started.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
