//! Questions about many channels: how much each of them got, how fast, how evenly, and whether a rest was kept.
//!
//! Ranges of time are microseconds since the Unix epoch, as in the log. Nothing is judged here: what is enough or too much
//! is the test's to say.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use crate::{
    call_log::{Asks, Call, CallLog},
    clock,
};

impl Call {
    /// Whether it came with the token of this channel.
    #[must_use]
    pub fn is_of(&self, channel: usize) -> bool {
        self.channel == Some(channel)
    }

    /// Whether it only looks at the session: what a probe does.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.asks == Asks::Status
    }

    /// Whether it is for the contact list.
    #[must_use]
    pub fn is_contacts(&self) -> bool {
        self.asks == Asks::Contacts
    }

    /// Whether it is for the LID of a phone.
    #[must_use]
    pub fn is_lookup(&self) -> bool {
        self.asks == Asks::Lid
    }

    /// Whether it is for a chat.
    #[must_use]
    pub fn is_history(&self) -> bool {
        self.asks == Asks::History
    }

    /// Whether it is to have history sent by webhook.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.asks == Asks::Request
    }

    /// Whether it is for one message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.asks == Asks::Message
    }

    /// Whether it is for the file of a message.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.asks == Asks::File
    }

    /// Whether it asked for others of its kind to stay away for a while, and for how long after its end.
    fn rest_us(&self) -> Option<Range<u64>> {
        let (ended_us, seconds) = (self.ended_us?, self.retry_after_s?);
        Some(ended_us..ended_us.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

impl CallLog {
    /// The calls of each channel that made any.
    #[must_use]
    pub fn calls_per_channel(&self) -> BTreeMap<usize, usize> {
        self.calls_per_channel_within(&(0..u64::MAX))
    }

    /// The calls of each channel that made any within a range of time.
    #[must_use]
    pub fn calls_per_channel_within(&self, range: &Range<u64>) -> BTreeMap<usize, usize> {
        self.look(|calls| {
            let mut counts = BTreeMap::new();
            let within = calls.iter().filter(|call| range.contains(&call.at_us));
            for channel in within.filter_map(|call| call.channel) {
                *counts.entry(channel).or_default() += 1;
            }
            counts
        })
    }

    /// How many `wanted` calls arrived per second within a range of time.
    pub fn rate_within(&self, range: &Range<u64>, wanted: impl Fn(&Call) -> bool) -> f64 {
        let calls = self.count(|call| range.contains(&call.at_us) && wanted(call));
        let length = Duration::from_micros(range.end.saturating_sub(range.start));
        if calls == 0 { 0.0 } else { float(calls) / length.as_secs_f64() }
    }

    /// How evenly these channels were served within a range of time; see [`jain`]. Those without a call count as well.
    pub fn fairness_within(&self, range: &Range<u64>, channels: impl IntoIterator<Item = usize>) -> f64 {
        let counts = self.calls_per_channel_within(range);
        jain(channels.into_iter().map(|channel| float(counts.get(&channel).copied().unwrap_or(0))))
    }

    /// The most arrivals of each channel that fell into any half-open window of this length.
    #[must_use]
    pub fn max_in_window_per_channel(&self, window: Duration) -> BTreeMap<usize, usize> {
        let channels: Vec<usize> = self.calls_per_channel().into_keys().collect();
        channels.into_iter().map(|channel| (channel, self.max_in_window(window, |call| call.is_of(channel)))).collect()
    }

    /// The times between one `wanted` arrival and the next.
    pub fn gaps(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Duration> {
        self.arrivals(wanted).windows(2).map(|pair| Duration::from_micros(pair[1] - pair[0])).collect()
    }

    /// The calls that came although the gateway had asked for a rest that was not over: their channel after a 429, any
    /// channel after a 503. What arrives less than `grace` after the refusal was on its way already.
    #[must_use]
    pub fn calls_in_rests(&self, grace: Duration) -> Vec<Call> {
        let grace_us = clock::micros(grace);
        self.look(|calls| {
            let rests: Vec<(Option<usize>, Range<u64>)> = calls
                .iter()
                .filter_map(|call| {
                    let Range { start, end } = call.rest_us()?;
                    let whom = call.channel.filter(|_| call.status != Some(503));
                    Some((whom, start.saturating_add(grace_us)..end))
                })
                .collect();
            let in_rest = |call: &&Call| {
                rests.iter().any(|(whom, rest)| (whom.is_none() || *whom == call.channel) && rest.contains(&call.at_us))
            };
            calls.iter().filter(in_rest).cloned().collect()
        })
    }
}

/// Jain's index of fairness: 1 when all got the same, 1/n when one of n got everything, 1 for nobody and nothing.
pub fn jain(shares: impl IntoIterator<Item = f64>) -> f64 {
    let (mut number, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        number += 1.0;
        sum += share;
        squares += share * share;
    }
    if squares == 0.0 { 1.0 } else { sum * sum / (number * squares) }
}

#[expect(clippy::cast_precision_loss, reason = "no log holds 2^52 calls")]
const fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call_log::Arrival, clock::Clock};

    /// A log of calls of channels, each at its time.
    fn log(calls: &[(usize, u64)]) -> CallLog {
        let log = CallLog::new(Clock::start());
        for (channel, at_us) in calls {
            arrived(&log, *channel, *at_us).answered(200);
        }
        log
    }

    fn arrived(log: &CallLog, channel: usize, at_us: u64) -> crate::call_log::OpenCall {
        let arrival = Arrival {
            method: "GET".into(),
            path: "/session/status".into(),
            asks: Asks::Status,
            address: None,
            since_s: None,
            channel: Some(channel),
            token_present: true,
        };
        log.open(at_us, arrival)
    }

    #[test]
    fn what_each_channel_got_is_counted_within_its_range_of_time() {
        let log = log(&[(0, 10), (1, 20), (0, 30), (7, 1_000_010), (0, 2_000_000)]);
        assert_eq!(log.calls_per_channel(), [(0, 3), (1, 1), (7, 1)].into());
        assert_eq!(log.calls_per_channel_within(&(20..2_000_000)), [(0, 1), (1, 1), (7, 1)].into());
        assert!((log.rate_within(&(0..2_000_000), |call| call.is_of(0)) - 1.0).abs() < 1e-9);
        assert!(log.rate_within(&(5..5), |_| true).abs() < 1e-9, "no time, no calls");
        assert_eq!(log.max_in_window_per_channel(Duration::from_micros(21)), [(0, 2), (1, 1), (7, 1)].into());
        assert_eq!(log.gaps(|call| call.is_of(0)), [Duration::from_micros(20), Duration::from_micros(1_999_970)]);
        assert_eq!(log.count(Call::is_status), 5);
    }

    #[test]
    fn fairness_is_one_for_equal_shares_and_counts_those_who_got_nothing() {
        assert!((jain([3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
        assert!((jain([9.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
        assert!((jain([0.0, 0.0]) - 1.0).abs() < 1e-9);
        assert!((jain([]) - 1.0).abs() < 1e-9);
        let log = log(&[(0, 1), (1, 2), (0, 3), (1, 4), (0, 5)]);
        assert!((log.fairness_within(&(0..5), 0..2) - 1.0).abs() < 1e-9);
        assert!((log.fairness_within(&(0..5), 0..4) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_call_inside_a_rest_that_was_asked_for_is_found_unless_it_was_on_its_way() {
        let log = CallLog::new(Clock::start());
        let refuse = |channel, status| {
            let now_us = log.now_us();
            let call = arrived(&log, channel, now_us);
            call.asks_to_wait(3);
            call.answered(status);
            log.all().last().and_then(|call| call.ended_us).unwrap()
        };
        let grace = Duration::from_millis(20);
        let found = || log.calls_in_rests(grace).iter().map(|call| (call.channel, call.at_us)).collect::<Vec<_>>();

        let ended_us = refuse(0, 429);
        for (channel, after_us) in [(0, 19_999), (1, 1_000_000), (0, 3_000_000)] {
            arrived(&log, channel, ended_us + after_us).answered(200);
        }
        assert_eq!(found(), []);
        arrived(&log, 0, ended_us + 2_999_999).answered(200);
        assert_eq!(found(), [(Some(0), ended_us + 2_999_999)]);

        log.clear();
        let ended_us = refuse(0, 503);
        arrived(&log, 1, ended_us + 1_000_000).answered(200);
        assert_eq!(found(), [(Some(1), ended_us + 1_000_000)], "a 503 is said to all");
    }
}
