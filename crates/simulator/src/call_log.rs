//! Every call that reached the gateway, timed on arrival, and the questions tests ask about them.
//!
//! The log judges nothing and is never trimmed: it is a test tool. It holds no token and no body.

use std::{borrow::Cow, collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    clock::{self, Clock},
    guarded::Guarded,
};

/// What a call asks for, whatever its provider's path is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Is the session there?
    Status,
    /// The contact list, or a page of it.
    Contacts,
    /// The LID of a phone.
    Lid,
    /// The messages of a chat, or a page of them.
    History,
    /// That history be sent by webhook: of a chat, or of the whole account.
    Request,
    /// One message.
    Message,
    /// The file of a message.
    File,
    /// Anything else.
    #[default]
    Other,
}

/// One call. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Counts from 0 over the simulator's life.
    pub number: u64,
    /// When it arrived: read before anything else was done with it.
    pub at_us: u64,
    /// When the head of the answer was handed over, or the caller hung up; nothing while it is under way.
    pub ended_us: Option<u64>,
    /// `GET`, ...
    pub method: Cow<'static, str>,
    /// The path, with `{jid}` in place of an address.
    pub path: Cow<'static, str>,
    /// What it asks for.
    #[serde(default)]
    pub asks: Asks,
    /// The chat or person asked for.
    pub address: Option<Box<str>>,
    /// From when on messages are asked for, in seconds since the Unix epoch, where the call says so.
    #[serde(default)]
    pub since_s: Option<i64>,
    /// Which channel the token belongs to; nothing without a valid token.
    pub channel: Option<usize>,
    /// Whether any token was sent.
    pub token_present: bool,
    /// The status answered; nothing while under way, or if the caller never got an answer.
    pub status: Option<u16>,
    /// The fault that was applied, by its compact name, or `limit` for the gateway's own rate limit.
    pub fault: Option<Cow<'static, str>>,
    /// The whole seconds of the answer's `Retry-After`, where it has one.
    #[serde(default)]
    pub retry_after_s: Option<u64>,
}

/// What can be said of a call before it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) method: Cow<'static, str>,
    pub(crate) path: Cow<'static, str>,
    pub(crate) asks: Asks,
    pub(crate) address: Option<String>,
    pub(crate) since_s: Option<i64>,
    pub(crate) channel: Option<usize>,
    pub(crate) token_present: bool,
}

/// All calls, in the order they were noticed. Cheap to clone; outlives the simulator.
#[derive(Debug, Clone)]
pub struct CallLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    kept: Guarded<Kept>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    cleared: u64,
    calls: Vec<Call>,
}

impl Kept {
    fn get_mut(&mut self, number: u64) -> Option<&mut Call> {
        let index = number.checked_sub(self.cleared)?;
        self.calls.get_mut(usize::try_from(index).ok()?)
    }
}

impl CallLog {
    pub(crate) fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, kept: Guarded::default(), changed: Notify::new() }))
    }

    /// Notes a call that arrived at `at_us`.
    pub(crate) fn open(&self, at_us: u64, arrival: Arrival) -> OpenCall {
        let number = self.0.kept.with(|kept| {
            let number = kept.cleared + kept.calls.len() as u64;
            kept.calls.push(Call {
                number,
                at_us,
                ended_us: None,
                method: arrival.method,
                path: arrival.path,
                asks: arrival.asks,
                address: arrival.address.map(String::into_boxed_str),
                since_s: arrival.since_s,
                channel: arrival.channel,
                token_present: arrival.token_present,
                status: None,
                fault: None,
                retry_after_s: None,
            });
            number
        });
        self.0.changed.notify_waiters();
        OpenCall { log: self.clone(), number, ended: false }
    }

    /// The log's clock: every call that is noted from now on arrived at this time or later.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.0.clock.now_us()
    }

    /// A copy of everything.
    #[must_use]
    pub fn all(&self) -> Vec<Call> {
        self.look(<[Call]>::to_vec)
    }

    /// Looks at everything; nothing is noted meanwhile.
    pub(crate) fn look<R>(&self, question: impl FnOnce(&[Call]) -> R) -> R {
        self.0.kept.with(|kept| question(&kept.calls))
    }

    /// How many calls are `wanted`.
    pub fn count(&self, wanted: impl Fn(&Call) -> bool) -> usize {
        self.look(|calls| calls.iter().filter(|call| wanted(call)).count())
    }

    /// Forgets all calls; numbers go on.
    pub fn clear(&self) {
        self.0.kept.with(|kept| {
            kept.cleared += kept.calls.len() as u64;
            kept.calls.clear();
        });
    }

    /// Waits until at least `count` calls are `wanted`. Arrivals and answers both wake it.
    pub async fn wait_for(&self, count: usize, wanted: impl Fn(&Call) -> bool) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Registered before counting, so that a call between the two is not missed.
            changed.as_mut().enable();
            if self.count(&wanted) >= count {
                return;
            }
            changed.await;
        }
    }

    /// The most `wanted` arrivals that fell into any half-open window of this length.
    pub fn max_in_window(&self, window: Duration, wanted: impl Fn(&Call) -> bool) -> usize {
        let arrivals = self.arrivals(wanted);
        let window_us = clock::micros(window);
        let (mut most, mut first) = (0, 0);
        for (last, at_us) in arrivals.iter().enumerate() {
            while at_us - arrivals[first] >= window_us && first < last {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }

    /// The most `wanted` calls that were under way at once.
    pub fn max_in_flight(&self, wanted: impl Fn(&Call) -> bool) -> usize {
        let mut edges: Vec<(u64, i8)> = self.look(|calls| {
            let spans = calls.iter().filter(|call| wanted(call));
            spans.flat_map(|call| [(call.at_us, 1), (call.ended_us.unwrap_or(u64::MAX), -1)]).collect()
        });
        // At the same microsecond an end counts before an arrival.
        edges.sort_unstable();
        let (mut now, mut most) = (0_usize, 0);
        for (_, step) in edges {
            now = now.saturating_add_signed(isize::from(step));
            most = most.max(now);
        }
        most
    }

    /// How often each address was asked for.
    #[must_use]
    pub fn per_address(&self) -> BTreeMap<String, usize> {
        self.look(|calls| {
            let mut counts = BTreeMap::new();
            for address in calls.iter().filter_map(|call| call.address.as_deref()) {
                *counts.entry(address.to_owned()).or_default() += 1;
            }
            counts
        })
    }

    /// When the `wanted` calls arrived, in order.
    pub(crate) fn arrivals(&self, wanted: impl Fn(&Call) -> bool) -> Vec<u64> {
        let mut arrivals: Vec<u64> =
            self.look(|calls| calls.iter().filter(|call| wanted(call)).map(|call| call.at_us).collect());
        // Two calls may be noted in the other order than they arrived.
        arrivals.sort_unstable();
        arrivals
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Call)) {
        self.0.kept.with(|kept| kept.get_mut(number).map(change));
        self.0.changed.notify_waiters();
    }
}

/// A call under way. Dropped without an answer, it is noted as ended without a status: the caller hung up.
#[derive(Debug)]
pub(crate) struct OpenCall {
    log: CallLog,
    number: u64,
    ended: bool,
}

impl OpenCall {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn mark(&self, fault: &'static str) {
        self.log.change(self.number, |call| call.fault = Some(Cow::Borrowed(fault)));
    }

    pub(crate) fn asks_to_wait(&self, seconds: u64) {
        self.log.change(self.number, |call| call.retry_after_s = Some(seconds));
    }

    pub(crate) fn answered(mut self, status: u16) {
        self.end(Some(status));
    }

    fn end(&mut self, status: Option<u16>) {
        self.ended = true;
        let ended_us = Some(self.log.0.clock.now_us());
        self.log.change(self.number, |call| (call.status, call.ended_us) = (status, ended_us));
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if !self.ended {
            self.end(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(log: &CallLog, at_us: u64, address: &str) -> OpenCall {
        let arrival = Arrival {
            method: "GET".into(),
            path: "/chat/history".into(),
            asks: Asks::History,
            address: Some(address.to_owned()),
            since_s: None,
            channel: Some(0),
            token_present: true,
        };
        log.open(at_us, arrival)
    }

    #[test]
    fn the_fullest_window_is_found_wherever_it_begins() {
        let log = CallLog::new(Clock::start());
        for at_us in [0, 100, 190, 195, 199, 299, 300, 1_000] {
            arrived(&log, at_us, "a").answered(200);
        }
        let most = |window_us| log.max_in_window(Duration::from_micros(window_us), |_| true);
        assert_eq!(most(1), 1);
        assert_eq!(most(10), 3);
        assert_eq!(most(100), 4, "100..=199");
        assert_eq!(most(110), 4);
        assert_eq!(most(111), 5, "190..=300");
        assert_eq!(most(2_000), 8);
        assert_eq!(log.max_in_window(Duration::from_secs(1), |call| call.status == Some(429)), 0);
    }

    #[test]
    fn calls_noted_out_of_order_are_counted_by_arrival() {
        let log = CallLog::new(Clock::start());
        for at_us in [50, 40, 900, 45] {
            arrived(&log, at_us, "a").answered(200);
        }
        assert_eq!(log.max_in_window(Duration::from_micros(11), |_| true), 3);
    }

    #[test]
    fn calls_are_counted_per_address_and_under_way() {
        let log = CallLog::new(Clock::start());
        let (first, second) = (arrived(&log, 1, "a"), arrived(&log, 2, "b"));
        first.answered(200);
        drop(second);
        let third = arrived(&log, u64::MAX - 1, "a");
        assert_eq!(log.per_address(), BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        assert_eq!(log.max_in_flight(|_| true), 2);
        assert_eq!(log.all().iter().map(|call| call.status).collect::<Vec<_>>(), [Some(200), None, None]);
        assert_eq!(log.count(|call| call.ended_us.is_some()), 2, "one answered, one given up by its caller");
        drop(third);
    }

    #[test]
    fn a_cleared_log_ignores_the_end_of_forgotten_calls() {
        let log = CallLog::new(Clock::start());
        let forgotten = arrived(&log, 1, "a");
        log.clear();
        let kept = arrived(&log, 2, "b");
        forgotten.answered(500);
        kept.answered(200);
        assert_eq!(log.all().iter().map(|call| (call.number, call.status)).collect::<Vec<_>>(), [(1, Some(200))]);
    }
}
