//! How fast gateways may be called: the limits of provider servers and channels, and the rules that set them.
//!
//! A limit holds at one of two *levels*: for a provider server (all channels behind one base URL) or for a channel. A
//! gateway call needs leave from both. What a limit means for the times of calls is decided here ([`LevelLimit::spacing`]),
//! for the queue's limiter and for whoever computes ahead.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{channel::ChannelId, provider::Provider, word::words};

words! {
    /// Where a limit holds.
    pub enum Level {
        /// For all channels behind one base URL.
        Server = "server",
        /// For one channel.
        Channel = "channel",
    }
}

/// How fast a gateway may be called.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Gateway calls per second over all workers, more than 0, at most 10,000.
    #[serde(default = "default_rate")]
    #[cfg_attr(feature = "schema", schema(default = default_rate, exclusive_minimum = 0.0, maximum = 10_000.0))]
    pub rate_per_second: f64,
    /// Calls that may be made at once after a quiet time, 1 to 1,000.
    #[serde(default = "default_burst")]
    #[cfg_attr(feature = "schema", schema(default = default_burst, minimum = 1, maximum = 1_000))]
    pub burst: u32,
    /// Calls that may be under way at once over all workers, 1 to 1,000.
    #[serde(default = "default_concurrency")]
    #[cfg_attr(feature = "schema", schema(default = default_concurrency, minimum = 1, maximum = 1_000))]
    pub concurrency: u32,
}

const fn default_rate() -> f64 {
    20.0
}
const fn default_burst() -> u32 {
    1
}
const fn default_concurrency() -> u32 {
    8
}

impl Default for Limit {
    fn default() -> Self {
        Self { rate_per_second: default_rate(), burst: default_burst(), concurrency: default_concurrency() }
    }
}

impl Limit {
    /// The field that is out of its bounds, and the bounds.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.rate_per_second > 0.0 && self.rate_per_second <= 10_000.0) {
            return Err(("rate_per_second", "must be more than 0 and at most 10000"));
        }
        if !(1..=1_000).contains(&self.burst) {
            return Err(("burst", "must be 1 to 1000"));
        }
        if !(1..=1_000).contains(&self.concurrency) {
            return Err(("concurrency", "must be 1 to 1000"));
        }
        Ok(())
    }
}

words! {
    /// The length of time that a cap counts calls in.
    pub enum Period {
        /// 60 seconds.
        Minute = "minute",
        /// 60 minutes.
        Hour = "hour",
        /// 24 hours.
        Day = "day",
    }
}

impl Period {
    const fn micros(self) -> u64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// Everything that one level admits: a limit, caps over longer times, and a weight among its like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelLimit {
    /// Rate, burst, concurrency.
    pub limit: Limit,
    /// Most calls in any 60 seconds, 1 to 100,000.
    pub per_minute: Option<u32>,
    /// Most calls in any 60 minutes, 1 to 100,000.
    pub per_hour: Option<u32>,
    /// Most calls in any 24 hours, 1 to 100,000.
    pub per_day: Option<u32>,
    /// The share when there is not enough for all, 1 to 100: of a channel among the channels of its server, of a server
    /// among the servers when workers are scarce.
    pub weight: u32,
}

/// No cap counts further: the limiter keeps the time of every call that one covers.
pub const LARGEST_CAP: u32 = 100_000;

impl From<Limit> for LevelLimit {
    fn from(limit: Limit) -> Self {
        Self { limit, per_minute: None, per_hour: None, per_day: None, weight: 1 }
    }
}

impl LevelLimit {
    /// The caps that are set.
    pub fn caps(&self) -> impl Iterator<Item = (Period, u32)> {
        let caps = [(Period::Minute, self.per_minute), (Period::Hour, self.per_hour), (Period::Day, self.per_day)];
        caps.into_iter().filter_map(|(period, cap)| cap.map(|cap| (period, cap)))
    }

    /// The field that is out of its bounds, and the bounds.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        self.limit.check()?;
        for (period, cap) in self.caps() {
            if !(1..=LARGEST_CAP).contains(&cap) {
                let field = match period {
                    Period::Minute => "per_minute",
                    Period::Hour => "per_hour",
                    Period::Day => "per_day",
                };
                return Err((field, "must be 1 to 100000"));
            }
        }
        if !(1..=100).contains(&self.weight) {
            return Err(("weight", "must be 1 to 100"));
        }
        Ok(())
    }

    /// What the limit means for the times of calls.
    #[must_use]
    pub fn spacing(&self) -> Spacing {
        let Limit { rate_per_second, burst, .. } = self.limit;
        let interval_us = whole(1e6 / rate_per_second);
        // As many calls as fit into a second at that rate, or the one call that takes longer.
        let calls = whole(rate_per_second.floor());
        let span_us = whole(1e6 * rate_per_second.floor().max(1.0) / rate_per_second);
        let rate = Window { period: None, calls: calls + u64::from(burst) - 1, micros: span_us + JITTER_US };
        let caps = self.caps().map(|(period, cap)| Window {
            period: Some(period),
            calls: cap.into(),
            micros: period.micros() + JITTER_US,
        });
        Spacing { interval_us, windows: std::iter::once(rate).chain(caps).collect() }
    }

    /// Calls per second that can be kept up for long: the rate, or a cap that allows less.
    #[must_use]
    pub fn sustained_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a period in microseconds is far below 2^53")]
        let caps = self.caps().map(|(period, cap)| f64::from(cap) * 1e6 / period.micros() as f64);
        caps.fold(self.limit.rate_per_second, f64::min)
    }
}

/// What may lie between a permit and the call it was given for: two calls can come closer to each other than their
/// permits by so much (µs), and no window at the gateway holds too many all the same.
pub const JITTER_US: u64 = 10_000;

/// The times of calls under a limit: never closer than the interval (a burst aside), and never more in any window than
/// it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spacing {
    /// From one call to the next (µs).
    pub interval_us: u64,
    /// The rate's window first, then those of the caps.
    pub windows: Vec<Window>,
}

/// At most so many calls in any stretch of so many microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The cap's; none for the rate's own window.
    pub period: Option<Period>,
    /// Calls, at least 1.
    pub calls: u64,
    /// Length, with the tolerated jitter.
    pub micros: u64,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and clamped to what Lua counts")]
fn whole(number: f64) -> u64 {
    number.ceil().clamp(1.0, 1e14) as u64
}

/// A rest that a gateway asked for, or that nobody answering there asked for in its stead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cooldown {
    /// Nothing is called before then.
    pub until: DateTime<Utc>,
    /// `throttled: ...`, `unreachable: ...`: the call and the cause.
    pub reason: String,
}

/// A cooldown as the ledger keeps it, so that it outlives the queue. Told as a length of time, because no two machines need
/// agree on what time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCooldown {
    /// The server that rests, or that the resting channel is at.
    pub server: String,
    /// The channel that rests; none when the whole server does.
    pub channel: Option<ChannelId>,
    /// How much of it is left.
    pub left: Duration,
    /// The call and the cause.
    pub reason: String,
}

/// How often a level with a cap was called, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptCalls {
    /// The server, or that of the channel.
    pub server: String,
    /// The channel; none when it is about the whole server.
    pub channel: Option<ChannelId>,
    /// (minute since the Unix epoch by the queue's clock, calls), the latest first.
    pub by_minute: Vec<(i64, i64)>,
    /// Calls per second that its rate allows.
    pub rate: f64,
    /// Since the last count.
    pub unnoted: Duration,
    /// Whether it had work at the last count.
    pub worked: bool,
}

/// From one count of calls to the next, with time to spare.
const BETWEEN_COUNTS: Duration = Duration::from_secs(2);
/// A level that nobody has counted for longer is not taken to have been called all the while.
const LONGEST_UNCOUNTED: Duration = Duration::from_secs(10);

impl KeptCalls {
    /// Calls that may have been made and were never counted: as many as the rate allows in that time.
    #[must_use]
    pub fn assumed(&self) -> i64 {
        // Without work at the last count, it can only have got some since the next one was due.
        let most = if self.worked { LONGEST_UNCOUNTED } else { BETWEEN_COUNTS };
        let calls = (self.unnoted.min(most).as_secs_f64() * self.rate).ceil().clamp(0.0, f64::from(LARGEST_CAP));
        #[expect(clippy::cast_possible_truncation, reason = "at most the largest cap")]
        let calls = calls as i64;
        calls
    }
}

/// What a rule of `/v1/limits` is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Match {
    /// `wuzapi/*`: each server of that provider, for itself.
    EachServer(Provider),
    /// `wuzapi/host:port`: one server, all channels behind it together.
    Server(String),
    /// A channel's id: one channel.
    Channel(ChannelId),
}

impl Match {
    /// Where the rule holds.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::EachServer(_) | Self::Server(_) => Level::Server,
            Self::Channel(_) => Level::Channel,
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EachServer(provider) => write!(f, "{provider}/*"),
            Self::Server(server) => f.write_str(server),
            Self::Channel(id) => write!(f, "{id}"),
        }
    }
}

/// A text that says of nothing known what a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither `provider/*` nor `provider/host:port` nor a channel's id")]
pub struct BadMatch(pub String);

impl FromStr for Match {
    type Err = BadMatch;

    fn from_str(text: &str) -> Result<Self, BadMatch> {
        let bad = || BadMatch(text.chars().take(200).collect());
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(Self::Channel(id));
        }
        let (provider, host) = text.split_once('/').ok_or_else(bad)?;
        let provider: Provider = provider.parse().map_err(|_| bad())?;
        if host == "*" {
            return Ok(Self::EachServer(provider));
        }
        // Through the same parser as base URLs, so that a rule names a server as a channel does.
        let url = url::Url::parse(&format!("http://{host}")).map_err(|_| bad())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let named = url.host_str().unwrap_or_default();
        // `%2a` is a star as well.
        if !bare || host.contains(['/', '@']) || named.is_empty() || named.contains('*') {
            return Err(bad());
        }
        // A base URL leaves out its scheme's own port, and which scheme that is cannot be seen here.
        let server = match host_port(text) {
            Some(port) => format!("{provider}/{named}:{port}"),
            None => format!("{provider}/{named}"),
        };
        Ok(Self::Server(server))
    }
}

/// The port that is written out, even where it is a scheme's own.
fn host_port(text: &str) -> Option<u16> {
    let (_, port) = text.rsplit_once(':')?;
    port.parse().ok()
}

/// One rule: what it is about, and what it admits there.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitRule {
    /// What it is about.
    pub matches: Match,
    /// What it admits.
    pub admits: LevelLimit,
}

/// The rules that hold for one channel: for its server and, instead of its own limit, for itself.
///
/// At each level the most specific rule wins: the server's own before the provider's wildcard.
#[must_use]
pub fn resolve(rules: &[LimitRule], server: &str, channel: ChannelId) -> Resolved {
    let find = |wanted: &Match| rules.iter().find(|rule| rule.matches == *wanted).map(|rule| rule.admits);
    let provider = server.split_once('/').and_then(|(provider, _)| provider.parse().ok());
    Resolved {
        server: find(&Match::Server(server.to_owned()))
            .or_else(|| provider.and_then(|provider| find(&Match::EachServer(provider)))),
        channel: find(&Match::Channel(channel)),
    }
}

/// See [`resolve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resolved {
    /// None: the server is not limited.
    pub server: Option<LevelLimit>,
    /// None: the limit in the channel itself holds.
    pub channel: Option<LevelLimit>,
}

/// What one of several gets of a rate that all share by weight, where none takes more than it can use.
///
/// `mine` and `others` are weights with the most calls per second that each can use.
#[must_use]
pub fn fair_share(rate: f64, mine: (u32, f64), others: &[(u32, f64)]) -> f64 {
    let mut left = rate;
    let mut weights: f64 = f64::from(mine.0) + others.iter().map(|(weight, _)| f64::from(*weight)).sum::<f64>();
    // Who needs least for its weight is served in full first; what it leaves is shared by the rest.
    let mut by_need: Vec<(u32, f64)> = others.to_vec();
    by_need.sort_by(|a, b| (a.1 * f64::from(b.0)).total_cmp(&(b.1 * f64::from(a.0))));
    for (weight, most) in by_need {
        let weight = f64::from(weight);
        if most >= left * weight / weights {
            break;
        }
        left -= most;
        weights -= weight;
    }
    (left * f64::from(mine.0) / weights).min(mine.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rate_per_second: f64, burst: u32) -> LevelLimit {
        Limit { rate_per_second, burst, ..Limit::default() }.into()
    }

    #[test]
    fn a_rate_becomes_an_interval_and_a_window_that_holds_no_more_calls_than_it_says() {
        for (per_second, burst, interval_us, calls, micros) in [
            (20.0, 1, 50_000, 20, 1_010_000),
            (20.0, 5, 50_000, 24, 1_010_000),
            (10_000.0, 1, 100, 10_000, 1_010_000),
            (0.2, 1, 5_000_000, 1, 5_010_000),
            (2.5, 1, 400_000, 2, 810_000),
        ] {
            let spacing = rate(per_second, burst).spacing();
            assert_eq!(spacing.interval_us, interval_us);
            assert_eq!(spacing.windows, [Window { period: None, calls, micros }]);
        }
    }

    #[test]
    fn each_cap_is_a_window_of_its_own_and_can_be_what_the_long_run_allows() {
        let capped = LevelLimit { per_minute: Some(30), per_day: Some(2_000), ..rate(5.0, 1) };
        let windows = capped.spacing().windows;
        assert_eq!(windows[1], Window { period: Some(Period::Minute), calls: 30, micros: 60_010_000 });
        assert_eq!(windows[2], Window { period: Some(Period::Day), calls: 2_000, micros: 86_400_010_000 });
        assert!((capped.sustained_rate() - 2_000.0 / 86_400.0).abs() < 1e-9);
    }

    #[test]
    fn a_rule_names_every_server_of_a_provider_or_one_or_a_channel() {
        let id = Uuid::from_u128(7);
        for (text, expected) in [
            ("wuzapi/*".to_owned(), Match::EachServer(Provider::Wuzapi)),
            ("whapi/gate.whapi.cloud".to_owned(), Match::Server("whapi/gate.whapi.cloud".into())),
            ("wuzapi/127.0.0.1:8080".to_owned(), Match::Server("wuzapi/127.0.0.1:8080".into())),
            ("wuzapi/[::1]:8080".to_owned(), Match::Server("wuzapi/[::1]:8080".into())),
            (id.to_string(), Match::Channel(id)),
        ] {
            let read: Match = text.parse().unwrap();
            assert_eq!((&read, read.to_string()), (&expected, text));
        }
        for text in
            ["", "*", "*/*", "wuzapi", "wuzapi/", "other/host", "wuzapi/host/path", "wuzapi/ho*st", "wuzapi/a@b"]
        {
            assert!(text.parse::<Match>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_shared_by_weight_and_what_one_cannot_use_the_others_get() {
        let share = |mine, others: &[(u32, f64)]| fair_share(100.0, mine, others);
        assert!((share((1, 80.0), &[(1, 80.0), (2, 80.0)]) - 25.0).abs() < 1e-9);
        assert!((share((1, 80.0), &[(1, 10.0), (1, 80.0)]) - 45.0).abs() < 1e-9);
        assert!((share((1, 5.0), &[(1, 80.0)]) - 5.0).abs() < 1e-9);
        assert!((share((1, 80.0), &[]) - 80.0).abs() < 1e-9);
    }

    #[test]
    fn the_most_specific_rule_wins_at_its_level() {
        let channel = Uuid::from_u128(7);
        let rule =
            |matches: &str, per_second| LimitRule { matches: matches.parse().unwrap(), admits: rate(per_second, 1) };
        let rules = [rule("wuzapi/*", 1.0), rule("wuzapi/a:1", 2.0), rule(&channel.to_string(), 3.0)];
        let rates = |server, channel| {
            let Resolved { server, channel } = resolve(&rules, server, channel);
            (server.map(|l| l.limit.rate_per_second), channel.map(|l| l.limit.rate_per_second))
        };
        assert_eq!(rates("wuzapi/a:1", channel), (Some(2.0), Some(3.0)));
        assert_eq!(rates("wuzapi/b:1", Uuid::nil()), (Some(1.0), None));
        assert_eq!(rates("whapi/b", Uuid::nil()), (None, None));
    }
}
