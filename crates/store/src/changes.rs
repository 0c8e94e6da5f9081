//! Which sync changed, as it happens: the database says so itself, whoever wrote.

use std::time::Duration;

use sincro_core::sync::SyncId;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;

use crate::{Error, Store};

const RECONNECT_AFTER: Duration = Duration::from_secs(1);

impl Store {
    /// Passes the ids of changed syncs on until the future is dropped. While the database is away nothing is passed on;
    /// listeners read again from time to time, so a missed change is late, not lost.
    pub async fn forward_changes(&self, changed: broadcast::Sender<SyncId>) {
        loop {
            if let Err(error) = self.listen(&changed).await {
                tracing::warn!(%error, "not hearing of changed syncs; trying again");
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    async fn listen(&self, changed: &broadcast::Sender<SyncId>) -> Result<(), Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen("sincro_sync").await?;
        loop {
            let notification = listener.recv().await?;
            if let Ok(sync) = notification.payload().parse() {
                // Nobody listening is no error.
                let _ = changed.send(sync);
            }
        }
    }
}
