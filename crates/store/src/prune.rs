//! Old jobs are deleted, a bounded number at a time; their syncs stay, with their totals.
//!
//! A sync says that it is pruned before the first of its jobs goes: from then on nobody can retry it. One process at a time
//! prunes, by a lock that ends with the transaction.

use chrono::{DateTime, Utc};
use sincro_core::{clock, sync::SyncId};
use sqlx::PgConnection;

use crate::{Error, Store};

/// The advisory lock's name: "sincro prunes".
const PRUNE_LOCK: i64 = 0x51C1;

/// What one transaction has pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// So many jobs are gone; there may be more.
    Jobs(u64),
    /// No sync has ended before that time and kept its jobs, or somebody else is at it.
    Nothing,
}

impl Store {
    /// Deletes at most `most` jobs of one sync that ended before `before`.
    pub async fn prune(&self, before: DateTime<Utc>, most: i64) -> Result<Pruned, Error> {
        let mut tx = self.pool.begin().await?;
        let free = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "free!""#, PRUNE_LOCK);
        if !free.fetch_one(&mut *tx).await? {
            return Ok(Pruned::Nothing);
        }
        let oldest = sqlx::query!(
            "SELECT id, pruned_at FROM syncs WHERE finished_at < $1 AND jobs_kept ORDER BY finished_at LIMIT 1 FOR NO KEY UPDATE",
            before
        );
        let Some(sync) = oldest.fetch_optional(&mut *tx).await? else {
            // Said aloud: dropped, the transaction would keep the lock until its connection is used again.
            tx.rollback().await?;
            return Ok(Pruned::Nothing);
        };
        if sync.pruned_at.is_none() {
            mark(&mut tx, sync.id).await?;
        }
        let deleted = sqlx::query!(
            "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE sync_id = $1 ORDER BY id LIMIT $2)",
            sync.id,
            most
        );
        let deleted = deleted.execute(&mut *tx).await?.rows_affected();
        if deleted < most.unsigned_abs() {
            sqlx::query!("DELETE FROM listed_pages WHERE sync_id = $1", sync.id).execute(&mut *tx).await?;
            sqlx::query!("UPDATE syncs SET jobs_kept = false WHERE id = $1", sync.id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Pruned::Jobs(deleted))
    }
}

/// What the receipt will say once the jobs are gone.
async fn mark(connection: &mut PgConnection, sync: SyncId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE syncs SET pruned_at = $2,
                contacts_pruned = (SELECT count(DISTINCT contact_id) FROM contact_receipts r WHERE r.sync_id = $1)
         WHERE id = $1",
        sync,
        clock::now()
    )
    .execute(connection)
    .await?;
    Ok(())
}
