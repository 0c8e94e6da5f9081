//! What people read about a sync, without drawing anything: numbers, durations, the text beside the bar.

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use sincro_core::sync::{JobCounts, MessageCounts, SyncState, SyncStatus};

use crate::output::one_line;

/// The pace is taken over this long: short enough to follow a change of the limit, long enough to be calm.
const PACE_WINDOW: Duration = Duration::from_secs(15);

/// How fast jobs are settled, as the last observations show it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    observed: VecDeque<(Duration, i64)>,
}

impl Pace {
    /// Notes how many jobs were settled at a time since some beginning.
    pub(crate) fn observe(&mut self, at: Duration, settled: i64) {
        // A retry opens jobs again: what was observed before tells nothing any more.
        if self.observed.back().is_some_and(|(_, before)| *before > settled) {
            self.observed.clear();
        }
        self.observed.push_back((at, settled));
        // The oldest one kept is the last that is outside of the window, so that the window is always covered.
        while self.observed.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= PACE_WINDOW) {
            self.observed.pop_front();
        }
    }

    /// Jobs per second; none before a second has passed.
    pub(crate) fn per_second(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.observed.front()?, self.observed.back()?);
        let elapsed = last.saturating_sub(*first).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
        let settled = (to - from) as f64;
        (elapsed >= 1.0).then(|| settled / elapsed)
    }
}

/// What stands beside the bar: `1234/2000 jobs, 19.8/s, 38s left, waits for rate: channel, 3 failed`.
pub(crate) fn progress(status: &SyncStatus, per_second: Option<f64>) -> String {
    let jobs = &status.jobs;
    let mut parts = Vec::new();
    let says_itself = status.limited_by.as_deref().is_some_and(|limit| limit.starts_with("paused"));
    match status.state {
        SyncState::Planning => parts.push(format!("planning, {} jobs so far", jobs.total)),
        SyncState::Paused if says_itself => parts.push(format!("{}/{} jobs", jobs.settled(), jobs.total)),
        SyncState::Running => parts.push(format!("{}/{} jobs", jobs.settled(), jobs.total)),
        other => parts.push(format!("{}, {}/{} jobs", words(other), jobs.settled(), jobs.total)),
    }
    if status.state == SyncState::Running {
        parts.extend(per_second.map(|pace| format!("{pace:.1}/s")));
        parts.extend(status.eta_seconds.map(|eta| format!("{} left", seconds(eta))));
    }
    if !status.state.is_terminal() {
        parts.extend(status.limited_by.as_deref().map(waits_for));
    }
    if jobs.failed > 0 {
        parts.push(format!("{} failed", jobs.failed));
    }
    one_line(&parts.join(", "))
}

/// How a sync ended: `completed in 1m 41s (19.8/s): 2000 jobs: ..., messages: ...`.
pub(crate) fn end(status: &SyncStatus) -> String {
    let jobs = &status.jobs;
    let took = status.finished_at.zip(status.started_at).and_then(|(end, start)| (end - start).to_std().ok());
    let how_long = took.map(|took| {
        #[expect(clippy::cast_precision_loss, reason = "a rate to be read by people")]
        let pace = jobs.settled() as f64 / took.as_secs_f64();
        let pace = if took.as_secs() > 0 { format!(" ({pace:.1} jobs/s)") } else { String::new() };
        format!(" in {}{pace}", duration(took))
    });
    let why = status.error.as_deref().map(|error| format!("\nwhy: {error}")).unwrap_or_default();
    format!(
        "{}{}\njobs: {} of {}: {}\nmessages: {}{why}",
        words(status.state),
        how_long.unwrap_or_default(),
        jobs.settled(),
        jobs.total,
        self::jobs(jobs),
        messages(&status.messages),
    )
}

/// The states that jobs are in, those without any left out.
pub(crate) fn jobs(jobs: &JobCounts) -> String {
    let counts = [
        (jobs.queued, "queued"),
        (jobs.running, "running"),
        (jobs.delayed, "delayed"),
        (jobs.awaiting, "awaiting"),
        (jobs.succeeded, "succeeded"),
        (jobs.empty, "empty"),
        (jobs.skipped, "skipped"),
        (jobs.failed, "failed"),
        (jobs.cancelled, "cancelled"),
    ];
    let some: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, state)| format!("{n} {state}")).collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

/// Messages, so that the sum can be seen.
pub(crate) fn messages(messages: &MessageCounts) -> String {
    let MessageCounts { fetched, stored, duplicate, left_out } = messages;
    let sum = format!("{fetched} fetched = {stored} stored + {duplicate} already there");
    if *left_out == 0 { sum } else { format!("{sum}; {left_out} outside the window") }
}

/// A point in time, to the second.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Seconds from elsewhere, which may be nonsense.
pub(crate) fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.ceil()).map_or_else(|_| "?".to_owned(), duration)
}

/// The two largest units: `850ms`, `38s`, `1m 41s`, `2h 05m`, `3d 04h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn words(state: SyncState) -> String {
    state.as_str().replace('_', " ")
}

/// How reasons begin that say themselves what is going on.
const SENTENCES: [&str; 6] = ["cooldown", "paused", "session lost", "behind", "retry at", "queue unavailable"];

/// Limits are waited for; a cooldown or a pause says itself what it is.
fn waits_for(limit: &str) -> String {
    if SENTENCES.iter().any(|beginning| limit.starts_with(beginning)) {
        limit.to_owned()
    } else {
        format!("waits for {limit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::status_for_tests;

    #[test]
    fn durations_show_their_two_largest_units() {
        for (millis, expected) in
            [(850, "850ms"), (1_999, "1s"), (101_000, "1m 41s"), (7_500_000, "2h 05m"), (273_600_000, "3d 04h")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
        assert_eq!(seconds(37.2), "38s");
        assert_eq!(seconds(f64::INFINITY), "?");
        assert_eq!(seconds(-1.0), "?");
    }

    #[test]
    fn the_text_beside_the_bar_says_pace_time_left_and_what_is_waited_for() {
        let mut status = status_for_tests("running", 1_234, 2_000);
        assert_eq!(progress(&status, None), "1234/2000 jobs");
        status.eta_seconds = Some(38.0);
        status.limited_by = Some("rate: channel".to_owned());
        status.jobs.failed = 3;
        assert_eq!(
            progress(&status, Some(19.84)),
            "1237/2000 jobs, 19.8/s, 38s left, waits for rate: channel, 3 failed"
        );
        status.state = SyncState::Paused;
        status.limited_by = Some("paused by gateway: number\nbanned".to_owned());
        assert_eq!(progress(&status, Some(1.0)), "1237/2000 jobs, paused by gateway: number banned, 3 failed");
    }

    #[test]
    fn each_reason_to_wait_reads_as_a_part_of_the_sentence() {
        for (reason, told) in [
            ("rate: server", "waits for rate: server"),
            ("rate: channel per day", "waits for rate: channel per day"),
            ("concurrency: channel", "waits for concurrency: channel"),
            ("a free worker", "waits for a free worker"),
            ("session lost: GET /session/status: not logged in", "session lost: GET /session/status: not logged in"),
            ("behind 12 jobs", "behind 12 jobs"),
            ("retry at 2027-01-15T08:00:00Z", "retry at 2027-01-15T08:00:00Z"),
            (
                "cooldown until 2027-01-15T08:00:00Z: server throttled",
                "cooldown until 2027-01-15T08:00:00Z: server throttled",
            ),
        ] {
            let mut status = status_for_tests("running", 1, 2);
            status.limited_by = Some(reason.to_owned());
            assert_eq!(progress(&status, None), format!("1/2 jobs, {told}"));
        }
    }

    #[test]
    fn while_planning_there_is_no_total_yet() {
        assert_eq!(progress(&status_for_tests("planning", 0, 0), None), "planning, 0 jobs so far");
    }

    #[test]
    fn the_end_adds_up() {
        let mut status = status_for_tests("completed_with_failures", 2_000, 2_000);
        status.finished_at = status.started_at.map(|start| start + Duration::from_secs(100));
        assert_eq!(
            end(&status),
            "completed with failures in 1m 40s (20.0 jobs/s)\njobs: 2000 of 2000: 2000 succeeded\n\
             messages: 50000 fetched = 48000 stored + 2000 already there"
        );
        let mut failed = status_for_tests("failed", 0, 0);
        failed.error = Some("GET /user/contacts: 501".to_owned());
        assert!(end(&failed).starts_with("failed\njobs: 0 of 0: none\n"));
        assert!(end(&failed).ends_with("\nwhy: GET /user/contacts: 501"));
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        pace.observe(Duration::ZERO, 500);
        assert_eq!(pace.per_second(), None);
        for second in 1..=60 {
            // Ten jobs a second for half a minute, then two.
            let settled = 500 + if second <= 30 { 10 * second } else { 300 + 2 * (second - 30) };
            pace.observe(Duration::from_secs(second), i64::try_from(settled).unwrap());
        }
        assert_eq!(pace.per_second(), Some(2.0));
    }

    #[test]
    fn a_retry_starts_the_pace_anew() {
        let mut pace = Pace::default();
        pace.observe(Duration::ZERO, 0);
        pace.observe(Duration::from_secs(10), 100);
        pace.observe(Duration::from_secs(11), 90);
        assert_eq!(pace.per_second(), None);
    }
}
