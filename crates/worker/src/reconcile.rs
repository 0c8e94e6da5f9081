//! The janitor of single lanes: what the queue lost of them is put back from the ledger.

use sincro_queue::Queue;
use sincro_store::Store;

use crate::trouble::Trouble;

/// Goes once through all shards; returns how many lanes were put back.
pub(crate) async fn reconcile(store: &Store, queue: &Queue) -> Result<usize, Trouble> {
    for shard in queue.shards() {
        crate::restore::restore(store, queue, shard).await?;
    }
    Ok(0)
}
