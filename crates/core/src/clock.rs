//! The one place that reads the wall clock.

use chrono::{DateTime, SubsecRound, Utc};

/// Now, to the microsecond: as exact as Postgres keeps it, so that a stored time equals the one in hand.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that may read the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
