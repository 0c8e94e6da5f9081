//! Whether what went wrong had effect: a run in which nothing died, froze or was lost shows nothing.
//!
//! Asked of runs of two minutes and more. The numbers are far below what such a run brings, so that it passes on a busy machine too.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{backend::Backend, calls::Findings, site::Site, weather::Weather};

/// A shorter run may do without some of it.
pub(super) const LONG_ENOUGH: Duration = Duration::from_secs(110);
/// The first life of the queue.
const FIRST: usize = 1;
const LOSSES: [&str; 4] = ["FLUSHALL", "Redis restarted", "Redis emptied", "Redis rewound"];
const VERBS: [&str; 4] = ["pause", "resume", "cancel", "retry"];
/// So much of the time without faults must have been fair for anything to be asked of the limits and rests.
const FAIR_ENOUGH: f64 = 0.5;
const FAIR_CALLS: usize = 100;

/// What the system noticed.
pub(super) struct Effects {
    late_results: usize,
    restorations: usize,
    died_at_points: usize,
    fair_part: f64,
}

impl Effects {
    pub(super) fn of(site: &Site, weather: &Weather) -> Self {
        Self {
            late_results: site.times_said("the result came after the lease had run out"),
            restorations: site.times_said("the queue is restored from the ledger"),
            died_at_points: site.died_at_points,
            fair_part: weather.fair_part(),
        }
    }

    /// What should have been noticed and was not.
    pub(super) fn missing(
        &self,
        faults: &BTreeMap<&'static str, usize>,
        findings: &Findings,
        backend: &Backend,
    ) -> Vec<String> {
        let count = |kind: &str| faults.get(kind).copied().unwrap_or(0);
        let losses: usize = LOSSES.iter().map(|kind| count(kind)).sum();
        // Losses that follow each other at once are one, and so are those while nobody works.
        let restorations = FIRST + losses / 3;
        let mut missing = Vec::new();
        let mut demand = |what: &str, there: usize, least: usize| {
            if there < least {
                missing.push(format!("the faults had too little effect: {there} {what}, not {least} or more"));
            }
        };
        demand("restorations", self.restorations, restorations);
        demand("processes that died at their point", self.died_at_points, usize::from(count("crash point") >= 4));
        demand("late results", self.late_results, usize::from(count("SIGSTOP") >= 6));
        for verb in VERBS {
            demand(&format!("times that `{verb}` was taken"), usize::from(backend.has_done(verb)), 1);
        }
        if self.fair_part >= FAIR_ENOUGH {
            demand("calls in fair weather", findings.fair, FAIR_CALLS);
            demand("rests", findings.rests, 1);
        }
        missing
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { late_results, restorations, died_at_points, fair_part } = self;
        write!(
            to,
            "{late_results} late results dropped, {restorations} restorations, {died_at_points} died at their point; "
        )?;
        write!(to, "{:.0} % of the time without faults was fair", fair_part * 100.0)?;
        if *fair_part < FAIR_ENOUGH {
            write!(to, " (THE MACHINE WAS TOO BUSY: limits and rests were hardly looked at; run it alone)")?;
        }
        Ok(())
    }
}
