//! When the way from a limiter to the gateway was as it should be, and when it was not.
//!
//! A call that a frozen worker, a slow line or a machine out of breath delays arrives beside later ones. What the limits and
//! rests promise is promised for fair weather; in foul weather only so much less is asked of them (see `calls`).

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use sincro_simulator::CallLog;
use tokio::{
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::support::Gateway;

/// After the end of a fault, until everybody is back: connections, leases, what was pent up.
const AFTERMATH_US: u64 = 1_500_000;
const BEAT: Duration = Duration::from_millis(5);
/// A beat that comes later says that the machine had something else to do. The limiter bears as much.
const LATE: Duration = Duration::from_millis(10);
/// What must be fair before a call of which the limit is asked for.
const BEFORE_US: u64 = 1_000_000;
/// In microseconds.
const SAMPLE: usize = 50_000;

/// Keeps the times of foul weather, by the clock of the gateway's call log.
pub(super) struct Weather {
    log: CallLog,
    began: u64,
    /// By faults.
    foul: Vec<Range<u64>>,
    /// By a machine that was late.
    late: Arc<Mutex<Vec<Range<u64>>>>,
    since: Option<u64>,
    faults: usize,
    hearts: [AbortHandle; 2],
}

impl Weather {
    /// Two hearts: of the lines, and of the gateway, whose log is wrong by as much as its thread is late.
    pub(super) fn watch(gateway: &Gateway) -> Self {
        let (log, late) = (gateway.calls().clone(), Arc::<Mutex<Vec<Range<u64>>>>::default());
        let beat = || beat(log.clone(), late.clone());
        let hearts = [tokio::spawn(beat()).abort_handle(), gateway.beside(beat())];
        let began = log.now_us();
        Self { log, began, foul: Vec::new(), late, since: None, faults: 0, hearts }
    }

    /// A fault begins.
    pub(super) fn worse(&mut self) {
        self.since.get_or_insert(self.log.now_us());
        self.faults += 1;
    }

    /// A fault is over.
    pub(super) fn better(&mut self) {
        self.faults -= 1;
        if self.faults == 0
            && let Some(since) = self.since.take()
        {
            self.foul.push(since..self.log.now_us() + AFTERMATH_US);
        }
    }

    /// Whether all of this time was fair.
    pub(super) fn was_fair(&self, time: &Range<u64>) -> bool {
        self.was_without_faults(time) && self.late.lock().unwrap().iter().all(|late| apart(late, time))
    }

    /// The part of the time without faults that was fair: what is missing, the machine was too busy for.
    pub(super) fn fair_part(&self) -> f64 {
        let seconds =
            (self.began..self.log.now_us().saturating_sub(BEFORE_US)).step_by(SAMPLE).map(|at| at..at + BEFORE_US);
        let without: Vec<Range<u64>> = seconds.filter(|second| self.was_without_faults(second)).collect();
        let fair = without.iter().filter(|second| self.was_fair(second)).count();
        f64::from(u32::try_from(fair).unwrap()) / f64::from(u32::try_from(without.len().max(1)).unwrap())
    }

    fn was_without_faults(&self, time: &Range<u64>) -> bool {
        self.since.is_none_or(|since| since >= time.end) && self.foul.iter().all(|foul| apart(foul, time))
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.hearts.iter().for_each(AbortHandle::abort);
    }
}

fn apart(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.end <= other.start || one.start >= other.end
}

async fn beat(log: CallLog, late_times: Arc<Mutex<Vec<Range<u64>>>>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        beats.tick().await;
        let late = last.elapsed().saturating_sub(BEAT);
        if late > LATE {
            let now = log.now_us();
            let began = now - u64::try_from(last.elapsed().as_micros()).unwrap();
            late_times.lock().unwrap().push(began..now);
        }
        last = Instant::now();
    }
}
