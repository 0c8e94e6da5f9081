//! The channels' credentials, opened once per version of a channel.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sincro_core::{
    channel::{ChannelId, Connection},
    job::Job,
};
use sincro_store::{Error, Store};

/// More are not kept open; opening one again costs a query.
const MOST_KEPT: usize = 4_096;

/// Opened connections. A channel that changes gets a new version, and with it a new entry.
pub(crate) struct Connections {
    store: Store,
    opened: Mutex<Opened>,
    /// Whoever opens one: a swarm of jobs of a new channel asks for it once.
    opening: tokio::sync::Mutex<()>,
}

impl Connections {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, opened: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    /// The connection of a job's channel, at least as new as the job.
    pub(crate) async fn of(&self, job: &Job) -> Result<Arc<Connection>, Error> {
        let known = || self.opened.lock().get(job.channel, job.channel_version);
        if let Some(connection) = known() {
            return Ok(connection);
        }
        let _opening = self.opening.lock().await;
        if let Some(connection) = known() {
            return Ok(connection);
        }
        let connection = Arc::new(self.store.connection(job.channel).await?);
        self.opened.lock().put(connection.clone());
        Ok(connection)
    }
}

/// The newest version of each channel that is kept.
#[derive(Default)]
struct Opened(HashMap<ChannelId, Arc<Connection>>);

impl Opened {
    fn get(&self, channel: ChannelId, version: i64) -> Option<Arc<Connection>> {
        self.0.get(&channel).filter(|known| known.channel.version >= version).cloned()
    }

    /// When there is no room, any other goes.
    fn put(&mut self, connection: Arc<Connection>) {
        let channel = connection.channel.id;
        if self.0.len() >= MOST_KEPT
            && !self.0.contains_key(&channel)
            && let Some(other) = self.0.keys().next().copied()
        {
            self.0.remove(&other);
        }
        self.0.insert(channel, connection);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use sincro_core::{channel::Channel, limit::Limit, provider::Provider};
    use uuid::Uuid;

    use super::*;

    fn connection(id: u128, version: i64) -> Arc<Connection> {
        let channel = Channel {
            id: Uuid::from_u128(id),
            name: String::new(),
            provider: Provider::Wuzapi,
            base_url: "http://gate:8080".parse().unwrap(),
            features: [].into(),
            limit: Limit::default(),
            paused: None,
            hook_token: String::new(),
            version,
            created_at: DateTime::UNIX_EPOCH,
        };
        Arc::new(Connection { channel, credentials: "{}".to_owned().into() })
    }

    #[test]
    fn a_channel_that_has_changed_is_opened_again() {
        let mut opened = Opened::default();
        opened.put(connection(1, 3));
        let version = |opened: &Opened, of| opened.get(Uuid::from_u128(1), of).map(|found| found.channel.version);
        assert_eq!((version(&opened, 3), version(&opened, 4)), (Some(3), None));
        opened.put(connection(1, 4));
        assert_eq!((version(&opened, 4), opened.0.len()), (Some(4), 1));
    }

    #[test]
    fn no_more_channels_are_kept_open_than_there_is_room_for() {
        let mut opened = Opened::default();
        let most = u128::try_from(MOST_KEPT).unwrap();
        for id in 1..=most + 100 {
            opened.put(connection(id, 1));
            assert!(opened.get(Uuid::from_u128(id), 1).is_some(), "what was just opened is there");
        }
        assert_eq!(opened.0.len(), MOST_KEPT);
    }
}
