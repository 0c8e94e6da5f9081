//! The simulated gateway, on a thread of its own so that what a test computes does not slow it down, and what it saw.

use std::{collections::BTreeMap, ops::Deref};

use sincro_simulator::{Call, Fault, Faults, Population, Rule, Settings, Simulator, When};
use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
};

use super::within;

const HISTORY: &str = "/chat/history";

/// A running gateway.
pub(crate) struct Gateway {
    simulator: Simulator,
    runtime: Option<Runtime>,
}

/// A channel with so many contacts, otherwise as the simulator has it.
pub(crate) fn people(contacts: u32) -> Population {
    Population { contacts, ..Population::default() }
}

impl Gateway {
    /// A faultless one that knows these people.
    pub(crate) async fn of(population: Population) -> Self {
        Self::start(Settings { population, ..Settings::default() }).await
    }

    pub(crate) async fn start(settings: Settings) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("gateway").enable_all().build().unwrap();
        let simulator = runtime.spawn(Simulator::start(settings)).await.unwrap().unwrap();
        Self { simulator, runtime: Some(runtime) }
    }

    /// Runs something on the gateway's own thread, for who wants to know when that was late.
    pub(crate) fn beside(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.as_ref().expect("taken only when dropped").spawn(task).abort_handle()
    }

    /// From now on whoever reads a chat waits for an answer that does not come.
    pub(crate) fn hold_reads(&self) {
        self.set_faults(Rule::new(Fault::Hang, When::Always).on_path(HISTORY)).unwrap();
    }

    /// So many wait.
    pub(crate) async fn until_reads_hang(&self, so_many: usize) {
        within("calls that hang", self.calls().wait_for(so_many, is_history)).await;
    }

    /// Everybody is answered again.
    pub(crate) fn answer_again(&self) {
        self.set_faults(Faults::default()).unwrap();
    }

    /// How often each chat was read.
    pub(crate) fn reads_per_address(&self) -> BTreeMap<String, usize> {
        let mut reads = BTreeMap::new();
        for call in self.calls().all().iter().filter(|call| is_history(call)) {
            *reads.entry(call.address.as_deref().unwrap_or_default().to_owned()).or_default() += 1;
        }
        reads
    }

    /// How often the LID of each phone was asked for.
    pub(crate) fn lookups_per_phone(&self) -> BTreeMap<String, usize> {
        let mut lookups = BTreeMap::new();
        for call in self.calls().all().iter().filter(|call| is_lookup(call)) {
            *lookups.entry(call.address.as_deref().unwrap_or_default().to_owned()).or_default() += 1;
        }
        lookups
    }
}

impl Deref for Gateway {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A call for the contact list.
pub(crate) fn is_contacts(call: &Call) -> bool {
    call.is_contacts()
}

/// A call for the LID of a phone.
pub(crate) fn is_lookup(call: &Call) -> bool {
    call.is_lookup()
}

/// A call for a chat.
pub(crate) fn is_history(call: &Call) -> bool {
    call.is_history()
}
