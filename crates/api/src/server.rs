//! Serving until told to stop, and stopping without cutting anybody off.

use std::{io, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use sincro_queue::Queue;
use sincro_store::Store;
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    routes,
    state::{App, Settings},
};

/// How long answers under way may take once the process is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How often what was measured is folded together, so that it does not pile up while nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The HTTP API, ready to be served.
#[derive(Clone)]
pub struct Api {
    app: App,
    about_itself_only: bool,
}

impl Api {
    /// An API over this ledger and this queue. The ledger need not be migrated and Redis need not be there: `/readyz` says so.
    #[must_use]
    pub fn new(store: Store, queue: Queue, settings: Settings) -> Self {
        Self { app: App::new(store, queue, settings), about_itself_only: false }
    }

    /// Only `/healthz`, `/readyz` and `/metrics`: for processes that work and serve nobody.
    #[must_use]
    pub fn about_itself(self) -> Self {
        Self { about_itself_only: true, ..self }
    }

    /// The calls alone, without what [`Api::serve`] does beside them: event streams see changes a second late at most.
    pub fn router(&self) -> Router {
        let app = self.app.clone();
        if self.about_itself_only { routes::process_router(app) } else { routes::router(app) }
    }

    /// Serves until `drain` is cancelled: then nothing new is accepted, event streams end, other answers under way are
    /// finished, for ten seconds at most.
    pub async fn serve(self, listener: TcpListener, drain: CancellationToken) -> io::Result<()> {
        tracing::info!(address = %listener.local_addr()?, "serving the API");
        let router = self.router();
        let Self { app, .. } = self;
        let listener = listener.tap_io(|connection| {
            // An event is one small packet; it must not wait for the next one.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "a connection without TCP_NODELAY");
            }
        });
        let closing = app.closing.clone();
        let stopped = {
            let (drain, closing) = (drain.clone(), closing.clone());
            async move {
                drain.cancelled().await;
                closing.cancel();
            }
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped);
        tokio::select! {
            ended = serving => ended,
            () = given_up(&drain) => {
                tracing::warn!("answers under way were cut off after {} s", LAST_ANSWERS.as_secs());
                Ok(())
            }
            () = app.store.forward_changes(app.changes.clone()) => Ok(()),
            () = keep_up(&app) => Ok(()),
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("settings", &self.app.settings).finish_non_exhaustive()
    }
}

async fn given_up(drain: &CancellationToken) {
    drain.cancelled().await;
    sleep(LAST_ANSWERS).await;
}

async fn keep_up(app: &App) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.settings.metrics.run_upkeep();
    }
}
