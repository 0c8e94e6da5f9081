//! Notices -> queue. Whatever does not arrive is left to the sweeper.

use sincro_core::{
    drill::{Point, reach},
    notice::Notice,
};
use sincro_queue::{Delivery, Queue};
use sincro_store::Store;

use crate::patience::answered;

/// Tells the queue, then forgets what it has applied.
pub(crate) async fn deliver(store: &Store, queue: &Queue, notices: &[Notice]) -> Delivery {
    if notices.is_empty() {
        return Delivery::default();
    }
    let delivery = queue.deliver(notices).await;
    if let Some(error) = &delivery.failure {
        let notices = notices.len() - delivery.applied.len();
        tracing::warn!(%error, notices, "the queue did not hear; the sweeper will tell it again");
        if delivery.applied.is_empty() {
            return delivery;
        }
    }
    reach(Point::Delivered).await;
    if let Err(error) = answered(store.forget_notices(&delivery.applied)).await {
        tracing::warn!(%error, "delivered notices could not be forgotten; they will be delivered again, to no effect");
    }
    delivery
}
