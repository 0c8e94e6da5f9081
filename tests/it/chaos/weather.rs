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
/// A beat that comes later says that the machine had something else to do. The limiter bears 14 ms.
const LATE: Duration = Duration::from_millis(10);

/// Keeps the times of foul weather, by the clock of the gateway's call log.
pub(super) struct Weather {
    log: CallLog,
    foul: Arc<Mutex<Vec<Range<u64>>>>,
    since: Option<u64>,
    faults: usize,
    hearts: [AbortHandle; 2],
}

impl Weather {
    /// Two hearts: of the lines, and of the gateway, whose log is wrong by as much as its thread is late.
    pub(super) fn watch(gateway: &Gateway) -> Self {
        let (log, foul) = (gateway.calls().clone(), Arc::<Mutex<Vec<Range<u64>>>>::default());
        let beat = || beat(log.clone(), foul.clone());
        let hearts = [tokio::spawn(beat()).abort_handle(), gateway.beside(beat())];
        Self { log, foul, since: None, faults: 0, hearts }
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
            self.foul.lock().unwrap().push(since..self.log.now_us() + AFTERMATH_US);
        }
    }

    /// Whether all of this time was fair.
    pub(super) fn was_fair(&self, time: &Range<u64>) -> bool {
        let apart = |foul: &Range<u64>| foul.end <= time.start || foul.start >= time.end;
        self.since.is_none_or(|since| since >= time.end) && self.foul.lock().unwrap().iter().all(apart)
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.hearts.iter().for_each(AbortHandle::abort);
    }
}

async fn beat(log: CallLog, foul: Arc<Mutex<Vec<Range<u64>>>>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        beats.tick().await;
        let late = last.elapsed().saturating_sub(BEAT);
        if late > LATE {
            let now = log.now_us();
            let began = now - u64::try_from(last.elapsed().as_micros()).unwrap();
            foul.lock().unwrap().push(began..now);
        }
        last = Instant::now();
    }
}
