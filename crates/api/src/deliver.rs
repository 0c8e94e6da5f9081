//! Tells the queue what the ledger has just recorded.

use std::time::Duration;

use sincro_core::{
    drill::{Point, reach},
    notice::Notice,
};
use tokio::time::timeout;

use crate::state::App;

/// The longest that an answer to a client waits for a delivery, which goes on without it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Delivers notices whose changes are committed. Nothing here can fail the request, nor delay it for long: what is not
/// delivered, or delivered and not forgotten, the sweeper delivers (again), and hearing twice changes nothing.
pub(crate) async fn deliver(app: &App, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    reach(Point::Requested).await;
    // A task of its own: a client that goes away, or a Redis that is slow, does not break it off halfway.
    let delivery = tokio::spawn(hand_over(app.clone(), notices.to_vec()));
    if timeout(PATIENCE, delivery).await.is_err() {
        tracing::debug!("the queue is slow to listen; the answer does not wait for it");
    }
}

async fn hand_over(app: App, notices: Vec<Notice>) {
    let applied = app.queue.apply(&notices).await;
    reach(Point::Delivered).await;
    if let Err(error) = app.store.forget_notices(&applied).await {
        tracing::warn!(%error, "delivered notices could not be forgotten; the sweeper will do it");
    }
}
