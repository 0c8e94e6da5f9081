//! How a rate becomes the spacing of calls.
//!
//! The limiter (GCRA) keeps one time per channel: when its bucket is full again. A claim moves it on by one interval, and
//! may happen while it is at most `burst - 1` intervals ahead. What the *gateway* must never see is more calls in any
//! one-second window than the rate says, and between the claim and the gateway lie a network and two schedulers. So the
//! interval is 1.5 % longer than the rate asks for: as many calls as fit into a second then take 15 ms longer than it, at
//! any rate, and that is the jitter the way to the gateway may add. 5 ms of it go to claims that come late: their
//! lateness does not push later slots away (`LATENESS_US` in `lua/shared/channel.lua`), so that a busy channel makes
//! 98.5 % of the calls it may make instead of losing a timer's tick with each. A burst comes on top of the rate.

use sincro_core::channel::Limit;

const MARGIN: f64 = 1.015;

/// Microseconds from one call to the next.
pub(crate) fn interval_us(limit: &Limit) -> u64 {
    let interval = (1e6 / limit.rate_per_second * MARGIN).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and clamped to what Lua counts"
    )]
    let interval = interval.clamp(1.0, 1e14) as u64;
    interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_undercut_by_a_margin_and_never_exceeded() {
        for (rate_per_second, expected) in [(20.0, 50_750), (10_000.0, 102), (0.5, 2_030_000), (3.0, 338_334)] {
            assert_eq!(interval_us(&Limit { rate_per_second, ..Limit::default() }), expected);
        }
    }
}
