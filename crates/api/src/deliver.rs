//! Tells the queue what the ledger has just recorded.

use sincro_core::{
    drill::{Point, reach},
    notice::Notice,
};

use crate::state::App;

/// Delivers notices whose changes are committed. Nothing here can fail the request: what is not delivered, or delivered
/// and not forgotten, the sweeper delivers (again), and hearing twice changes nothing.
pub(crate) async fn deliver(app: &App, notices: &[Notice]) {
    if notices.is_empty() {
        return;
    }
    reach(Point::Requested).await;
    let applied = app.queue.apply(notices).await;
    reach(Point::Delivered).await;
    if let Err(error) = app.store.forget_notices(&applied).await {
        tracing::warn!(%error, "delivered notices could not be forgotten; the sweeper will do it");
    }
}
