//! What the gateway saw: no limit exceeded, no rest disturbed.

use std::{ops::Range, time::Duration};

use sincro_simulator::Call;

use super::{plan::CHANNELS, site::Site, weather::Weather};

/// Of each channel, and of the server that they share.
pub(super) const CHANNEL_RATE: u32 = 30;
pub(super) const SERVER_RATE: u32 = 60;
pub(super) const CONCURRENCY: u32 = 8;

const SECOND_US: u64 = 1_000_000;
/// In fair weather a window is shorter by what a call may be late, beyond the limiter's own margin of 10 ms, on a machine that
/// runs all of this on a few cores. The tests of `limits` and `fleet`, which run little and alone, count whole seconds.
const LATE_US: u64 = 40_000;
/// What a refusal does not reach any more: calls on their way, and the way of the refusal to Redis.
const GRACE: Duration = Duration::from_millis(250);
/// So long after a refusal the weather must be fair for the refusal to be heard.
const HEARD_US: u64 = 700_000;

/// What was found in the call log.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) calls: usize,
    /// Calls that a full second of fair weather came before.
    pub(super) fair: usize,
    /// The most calls in a second of fair weather, and of any weather, as parts of the limit.
    pub(super) fullest_fair: f64,
    pub(super) fullest: f64,
    /// Rests that everybody could hear of.
    pub(super) rests: usize,
    pub(super) wrong: Vec<String>,
}

/// Looks through all calls.
pub(super) fn look_through(site: &Site, weather: &Weather) -> Findings {
    let mut calls = site.gateway.calls().all();
    calls.sort_by_key(|call| call.at_us);
    let mut findings = Findings { calls: calls.len(), ..Findings::default() };
    check_rate("the server", &calls, SERVER_RATE, weather, &mut findings);
    for channel in 0..CHANNELS {
        let of: Vec<Call> = calls.iter().filter(|call| call.is_of(channel)).cloned().collect();
        check_rate(&format!("channel {channel}"), &of, CHANNEL_RATE, weather, &mut findings);
    }
    check_rests(&calls, weather, &mut findings);
    findings
}

/// Every second that ends with a call. In foul weather, what all slots at once could have held back may come on top.
fn check_rate(whose: &str, calls: &[Call], rate: u32, weather: &Weather, findings: &mut Findings) {
    let (rate, slots) = (rate as usize, CONCURRENCY as usize * if whose == "the server" { CHANNELS } else { 1 });
    let within = |last: usize, window_us: u64| {
        let call = &calls[last];
        calls[..=last].iter().rev().take_while(|earlier| call.at_us - earlier.at_us < window_us).count()
    };
    for (last, call) in calls.iter().enumerate() {
        let count = within(last, SECOND_US);
        let second = call.at_us.saturating_sub(SECOND_US)..call.at_us + 1;
        let fair = weather.was_fair(&second);
        let part = fraction(count, rate);
        findings.fullest = findings.fullest.max(part);
        if fair {
            findings.fullest_fair = findings.fullest_fair.max(part);
            findings.fair += usize::from(whose == "the server");
        }
        let too_many = if fair { within(last, SECOND_US - LATE_US) > rate } else { count > rate + slots };
        if too_many {
            let weather = if fair { "fair" } else { "foul" };
            findings.wrong.push(format!(
                "{count} calls of {whose} in a second of {weather} weather that ends at {}, the limit is {rate}",
                call.at_us
            ));
        }
    }
}

/// A refusal that was heard in fair weather is obeyed to its end, whatever dies meanwhile.
fn check_rests(calls: &[Call], weather: &Weather, findings: &mut Findings) {
    let grace_us = u64::try_from(GRACE.as_micros()).unwrap();
    for refusal in calls {
        let (Some(ended_us), Some(seconds)) = (refusal.ended_us, refusal.retry_after_s) else { continue };
        if !weather.was_fair(&(refusal.at_us.saturating_sub(SECOND_US)..ended_us + HEARD_US)) {
            continue;
        }
        findings.rests += 1;
        let rest: Range<u64> = ended_us + grace_us..ended_us + seconds * SECOND_US;
        let whom = refusal.channel.filter(|_| refusal.status != Some(503));
        let disturbs = |call: &&Call| rest.contains(&call.at_us) && (whom.is_none() || call.channel == whom);
        if let Some(early) = calls.iter().find(disturbs) {
            findings.wrong.push(format!(
                "a call of channel {:?} {} ms after a refusal ({:?}) that asked for {seconds} s of rest: {early:?}",
                early.channel,
                (early.at_us - ended_us) / 1_000,
                refusal.status
            ));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no log holds 2^52 calls")]
fn fraction(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
