//! The channels' credentials, opened once per version of a channel.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sincro_core::{
    channel::{ChannelId, Connection},
    job::Job,
};
use sincro_store::{Error, Store};

/// Opened connections. A channel that changes gets a new version, and with it a new entry.
pub(crate) struct Connections {
    store: Store,
    opened: Mutex<HashMap<ChannelId, Arc<Connection>>>,
}

impl Connections {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, opened: Mutex::default() }
    }

    /// The connection of a job's channel, at least as new as the job.
    pub(crate) async fn of(&self, job: &Job) -> Result<Arc<Connection>, Error> {
        let known = self.opened().get(&job.channel).cloned();
        if let Some(connection) = known.filter(|known| known.channel.version >= job.channel_version) {
            return Ok(connection);
        }
        let connection = Arc::new(self.store.connection(job.channel).await?);
        self.opened().insert(job.channel, connection.clone());
        Ok(connection)
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<ChannelId, Arc<Connection>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
