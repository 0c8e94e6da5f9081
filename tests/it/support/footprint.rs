//! What a request leaves behind: in every table, and in the queue.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;

/// The content of an installation, small enough to compare.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// By table: how many rows, and a digest of them.
    rows: BTreeMap<String, (i64, String)>,
    /// The names of the queue's keys.
    keys: BTreeSet<String>,
}

impl World {
    /// What is there now. For worlds in which nobody works: there, equal before and after means that nothing was done.
    pub(crate) async fn footprint(&self) -> Footprint {
        let tables = self.tables().await;
        // When a key was last used is noted in passing.
        let each = tables.iter().map(|table| {
            format!(
                "SELECT '{table}' AS \"table\", count(*) AS n, coalesce(md5(string_agg(row, '' ORDER BY row)), '') AS digest
                 FROM (SELECT (to_jsonb(t) - 'last_used_at')::text AS row FROM {table} t) r"
            )
        });
        let all = each.collect::<Vec<_>>().join(" UNION ALL ");
        let rows = self.rows(&all).await.into_iter().map(|row| {
            let text = |field: &str| row[field].as_str().unwrap().to_owned();
            (text("table"), (row["n"].as_i64().unwrap(), text("digest")))
        });
        Footprint { rows: rows.collect(), keys: self.queue.keys().into_iter().collect() }
    }

    /// The tables of the ledger, by name.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let tables = self
            .rows(
                "SELECT table_name AS name FROM information_schema.tables
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1",
            )
            .await;
        tables.iter().map(|table| table["name"].as_str().unwrap().to_owned()).collect()
    }
}
