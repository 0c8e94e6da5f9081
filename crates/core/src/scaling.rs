//! How many workers the limits keep busy: what they admit, not what is queued.
//!
//! A worker process makes as many calls at once as it has slots. How many calls can be under way at all follows from
//! Little's law, calls per second times seconds per call, and from the concurrencies; more workers than that stand in
//! front of a wall.

use std::collections::BTreeMap;

use crate::{channel::ChannelId, limit::Level, waiting::WaitsFor};

/// What is going on behind one provider server, as the queue sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerLoad {
    /// `provider/host:port`.
    pub server: String,
    /// Calls per second that it admits now; none without a limit.
    pub rate: Option<f64>,
    /// Calls that it admits at once; none without a limit.
    pub concurrency: Option<u32>,
    /// Jobs at workers.
    pub running: i64,
    /// How long a job was at its worker lately, in seconds; none before the first.
    pub call_seconds: Option<f64>,
    /// What keeps all its channels from being called, longer than a rate does.
    pub blocked: Option<WaitsFor>,
    /// The channels that have jobs to give or at workers.
    pub channels: Vec<ChannelLoad>,
}

/// What is going on in one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelLoad {
    /// The channel.
    pub id: ChannelId,
    /// Calls per second that it admits now.
    pub rate: f64,
    /// Calls that it admits at once.
    pub concurrency: u32,
    /// Its share among the channels of its server.
    pub weight: u32,
    /// Jobs that wait for their turn.
    pub queued: i64,
    /// Jobs at workers.
    pub running: i64,
    /// What keeps it from being called, longer than a rate does.
    pub blocked: Option<WaitsFor>,
}

/// The signal for whoever adds and removes workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Worker processes that the limits keep busy.
    pub useful_workers: u32,
    /// Jobs that could run if there were room for all.
    pub runnable_jobs: i64,
    /// Calls per second that the limits admit for them.
    pub admissible_rate: f64,
    /// Why it is as many, for people.
    pub reason: String,
}

/// Before anything was called: what a call may take, in seconds.
pub const ASSUMED_CALL_SECONDS: f64 = 0.5;

/// How many workers are worth having, each of which makes `worker_slots` calls at once.
#[must_use]
pub fn scaling(loads: &[ServerLoad], worker_slots: u32) -> Scaling {
    let admitted: Vec<Admitted<'_>> = loads.iter().filter_map(admitted).collect();
    let in_flight: f64 = admitted.iter().map(|server| server.in_flight).sum();
    Scaling {
        useful_workers: workers_for(in_flight, worker_slots),
        runnable_jobs: admitted.iter().map(|server| server.jobs).sum(),
        // A sum of nothing would be -0.
        admissible_rate: admitted.iter().map(|server| server.rate).fold(0.0, |sum, rate| sum + rate),
        reason: match admitted.iter().max_by(|a, b| a.in_flight.total_cmp(&b.in_flight)) {
            Some(largest) => largest.reason(admitted.len()),
            None => standstill(loads),
        },
    }
}

/// Worker processes for so many calls under way, at least one when there are any.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and `as` clamps")]
pub(crate) fn workers_for(in_flight: f64, worker_slots: u32) -> u32 {
    (in_flight / f64::from(worker_slots.max(1))).ceil() as u32
}

/// What keeps the calls behind one server from being more.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// Calls per second.
    Rate(Level, f64),
    /// Calls at once.
    Concurrency(Level, f64),
    Jobs,
}

/// What the limits admit behind one server, where anything can run.
struct Admitted<'a> {
    load: &'a ServerLoad,
    channels: usize,
    in_flight: f64,
    rate: f64,
    jobs: i64,
    bound: Bound,
}

fn admitted(load: &ServerLoad) -> Option<Admitted<'_>> {
    if load.blocked.is_some() {
        return None;
    }
    let call_seconds = load.call_seconds.unwrap_or(ASSUMED_CALL_SECONDS);
    let able: Vec<&ChannelLoad> =
        load.channels.iter().filter(|channel| channel.blocked.is_none() && channel.jobs() > 0).collect();
    if able.is_empty() {
        return None;
    }
    let under_way = |rate: f64| (rate * call_seconds).ceil().max(1.0);
    let sum = |of: &dyn Fn(&ChannelLoad) -> f64| able.iter().map(|channel| of(channel)).sum::<f64>();
    let jobs = |channel: &ChannelLoad| float(channel.jobs());
    let concurrency = |channel: &ChannelLoad| f64::from(channel.concurrency).min(jobs(channel));
    let flight = |channel: &ChannelLoad| under_way(channel.rate).min(concurrency(channel));
    let channels_rate = sum(&|channel| channel.rate);

    // Which of them is the smallest; of equal ones the first. A channel's rate binds where it takes anything away.
    let (wide, all) = (sum(&concurrency), sum(&jobs));
    let of_channels = match sum(&flight) {
        flight if flight < wide => (flight, Bound::Rate(Level::Channel, channels_rate)),
        flight if flight < all => (flight, Bound::Concurrency(Level::Channel, wide)),
        flight => (flight, Bound::Jobs),
    };
    let of_server = [
        load.rate.map(|rate| (under_way(rate), Bound::Rate(Level::Server, rate))),
        load.concurrency.map(|calls| (f64::from(calls), Bound::Concurrency(Level::Server, f64::from(calls)))),
    ];
    let levels = of_server.into_iter().flatten().chain([of_channels]);
    let (in_flight, bound) = levels.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Admitted {
        load,
        channels: able.len(),
        in_flight,
        rate: load.rate.map_or(channels_rate, |rate| rate.min(channels_rate)),
        jobs: able.iter().map(|channel| channel.jobs()).sum(),
        bound,
    })
}

impl ChannelLoad {
    const fn jobs(&self) -> i64 {
        self.queued + self.running
    }
}

impl Admitted<'_> {
    fn reason(&self, servers: usize) -> String {
        let (server, channels) = (&self.load.server, self.channels);
        let admitting = |level| match (level, channels) {
            (Level::Server, _) => format!("server {server} admits"),
            (Level::Channel, 1) => format!("the channel with work at {server} admits"),
            (Level::Channel, _) => format!("the {channels} channels with work at {server} admit"),
        };
        let reason = match self.bound {
            Bound::Rate(level, rate) => format!("rate: {} {} calls/s", admitting(level), short(rate)),
            Bound::Concurrency(level, calls) => format!("concurrency: {} {calls} calls at once", admitting(level)),
            Bound::Jobs => format!("jobs: only {} left at {server}", self.jobs),
        };
        match servers {
            1 => reason,
            2 => format!("{reason}; and 1 more server has work"),
            _ => format!("{reason}; and {} more servers have work", servers - 1),
        }
    }
}

/// Why nothing can run at all.
fn standstill(loads: &[ServerLoad]) -> String {
    let busy = |channel: &&ChannelLoad| channel.jobs() > 0;
    let reasons = loads
        .iter()
        .flat_map(|load| load.channels.iter().filter(busy).map(|c| c.blocked.as_ref().or(load.blocked.as_ref())));
    let mut counts = BTreeMap::<String, usize>::new();
    for reason in reasons.flatten() {
        *counts.entry(reason.to_string()).or_default() += 1;
    }
    // The most frequent one; of equally frequent ones the first.
    match counts.iter().rev().max_by_key(|(_, count)| **count) {
        None => "nothing is queued".to_owned(),
        Some((reason, count)) => {
            let more = match counts.values().sum::<usize>() - count {
                0 => String::new(),
                others => format!(" (and {others} more)"),
            };
            format!("every channel with work is paused, resting or without a session: {reason}{more}")
        }
    }
}

/// Not more digits than people read.
fn short(rate: f64) -> f64 {
    if rate < 0.1 { rate } else { (rate * 100.0).round() / 100.0 }
}

#[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^53")]
const fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::channel::PausedBy;

    fn channel(rate: f64, concurrency: u32, queued: i64) -> ChannelLoad {
        ChannelLoad { id: Uuid::nil(), rate, concurrency, weight: 1, queued, running: 0, blocked: None }
    }

    fn server(name: &str, rate: Option<f64>, concurrency: Option<u32>, channels: Vec<ChannelLoad>) -> ServerLoad {
        ServerLoad {
            server: format!("wuzapi/{name}"),
            rate,
            concurrency,
            running: 0,
            call_seconds: Some(0.4),
            blocked: None,
            channels,
        }
    }

    fn paused() -> WaitsFor {
        WaitsFor::ChannelPaused { by: PausedBy::Operator, reason: "new phone".into() }
    }

    #[test]
    fn replicas_are_not_added_in_front_of_a_wall() {
        let busy = || vec![channel(50.0, 8, 10_000), channel(50.0, 100, 10_000)];
        for (load, in_flight, reason) in [
            (server("x", Some(20.0), None, busy()), 8, "rate: server wuzapi/x admits 20 calls/s"),
            (server("x", None, Some(5), busy()), 5, "concurrency: server wuzapi/x admits 5 calls at once"),
            (server("x", None, None, busy()), 28, "rate: the 2 channels with work at wuzapi/x admit 100 calls/s"),
            (
                server("x", None, None, vec![channel(50.0, 8, 10_000)]),
                8,
                "concurrency: the channel with work at wuzapi/x admits 8 calls at once",
            ),
            (server("x", Some(100.0), None, vec![channel(50.0, 8, 3)]), 3, "jobs: only 3 left at wuzapi/x"),
        ] {
            let told = scaling(&[load], 1);
            assert_eq!((told.useful_workers, told.reason.as_str()), (in_flight, reason));
        }
    }

    #[test]
    fn workers_are_counted_by_their_slots_over_all_servers() {
        let loads = [
            server("x", Some(20.0), None, vec![channel(50.0, 100, 10_000)]),
            server("y", None, None, vec![channel(2.0, 8, 7)]),
            server("z", None, None, vec![ChannelLoad { blocked: Some(paused()), ..channel(50.0, 100, 10_000) }]),
        ];
        let told = scaling(&loads, 4);
        assert_eq!((told.useful_workers, told.runnable_jobs), (3, 10_007));
        assert!((told.admissible_rate - 22.0).abs() < 1e-9);
        assert_eq!(told.reason, "rate: server wuzapi/x admits 20 calls/s; and 1 more server has work");
    }

    #[test]
    fn what_is_left_is_enough_for_one_worker_as_long_as_anything_can_run() {
        let slow = [server("x", None, None, vec![channel(0.001, 8, 1)])];
        assert_eq!(scaling(&slow, 64).useful_workers, 1);
    }

    #[test]
    fn nobody_is_needed_when_nothing_can_run() {
        assert_eq!(scaling(&[], 64).reason, "nothing is queued");
        assert_eq!(scaling(&[server("x", None, None, vec![channel(5.0, 8, 0)])], 64).reason, "nothing is queued");
        let blocked = || ChannelLoad { blocked: Some(paused()), ..channel(5.0, 8, 100) };
        let lost = WaitsFor::SessionLost { detail: "no session".into() };
        let resting = ServerLoad { blocked: Some(lost), ..server("y", None, None, vec![channel(5.0, 8, 9)]) };
        let told = scaling(&[server("x", None, None, vec![blocked(), blocked()]), resting], 64);
        assert_eq!((told.useful_workers, told.runnable_jobs), (0, 0));
        assert_eq!(
            told.reason,
            "every channel with work is paused, resting or without a session: paused by operator: new phone (and 1 more)"
        );
    }
}
