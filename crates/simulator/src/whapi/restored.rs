//! Messages that the phone holds and the gateway got only because somebody asked for them, one by one.

use std::{collections::BTreeSet, pin::pin};

use tokio::sync::Notify;

use crate::{archive::Stored, guarded::Guarded, people::Person, server::Channel};

/// Those of one channel, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    ids: Guarded<BTreeSet<String>>,
    changed: Notify,
}

impl Restored {
    /// It can be read from now on; false if it could before.
    pub(super) fn add(&self, id: &str) -> bool {
        let added = self.ids.with(|ids| ids.insert(id.to_owned()));
        self.changed.notify_waiters();
        added
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.with(|ids| ids.contains(id))
    }

    /// Until it can be read.
    pub(super) async fn wait_for(&self, id: &str) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before looking, so that a change between the two is not missed.
            changed.as_mut().enable();
            if self.has(id) {
                return;
            }
            changed.await;
        }
    }

    /// Those of one person, oldest first.
    pub(super) fn of(&self, channel: &Channel, person: &Person) -> Vec<Stored> {
        if self.ids.with(|ids| ids.is_empty()) {
            return Vec::new();
        }
        let older = channel.archive.older(person).into_iter().filter(|message| self.has(&message.id));
        older.map(|message| channel.archive.seen(person, message, false)).collect()
    }
}
