//! Notices -> queue. Whatever does not arrive is left to the sweeper.

use sincro_core::{
    drill::{Point, reach},
    notice::Notice,
};
use sincro_queue::Queue;
use sincro_store::Store;

use crate::patience::answered;

/// Tells the queue, then forgets what it has applied. Returns how many that were; none when the queue did not hear.
pub(crate) async fn deliver(store: &Store, queue: &Queue, notices: &[Notice]) -> Option<usize> {
    if notices.is_empty() {
        return Some(0);
    }
    let applied = match queue.apply(notices).await {
        Ok(applied) => applied,
        Err(error) => {
            tracing::warn!(%error, notices = notices.len(), "the queue did not hear; the sweeper will tell it again");
            return None;
        }
    };
    reach(Point::Delivered).await;
    if let Err(error) = answered(store.forget_notices(&applied)).await {
        tracing::warn!(%error, "delivered notices could not be forgotten; they will be delivered again, to no effect");
    }
    Some(applied.len())
}
