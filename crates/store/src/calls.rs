//! How often levels with caps were called, kept so that a queue that was emptied goes on counting.

use std::{collections::BTreeMap, time::Duration};

use sincro_core::{channel::ChannelId, limit::KeptCalls};

use crate::{Error, Store, restore::RestoreLock};

/// The calls of one minute of a level.
#[derive(Debug, Clone, PartialEq)]
pub struct CallCount {
    /// The server, or the channel's id.
    pub key: String,
    /// Minutes since the Unix epoch, by the queue's clock.
    pub minute: i64,
    /// Calls so far.
    pub calls: i64,
    /// Calls per second that its rate allows.
    pub rate: f64,
    /// Whether it has work.
    pub works: bool,
}

impl Store {
    /// Writes counts down; a count that is higher already stays. Forgets those that no cap reaches back to.
    pub async fn note_calls(&self, counts: &[CallCount]) -> Result<(), Error> {
        let mut counts: Vec<&CallCount> = counts.iter().collect();
        counts.sort_by(|a, b| (&a.key, a.minute).cmp(&(&b.key, b.minute)));
        sqlx::query!(
            "WITH old AS (DELETE FROM call_counts WHERE noted_at < now() - interval '25 hours')
             INSERT INTO call_counts (key, minute, calls, rate, works, noted_at)
             SELECT c.*, now() FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::double precision[], $5::boolean[]) AS c
             ON CONFLICT (key, minute) DO UPDATE SET calls = greatest(call_counts.calls, excluded.calls),
                rate = excluded.rate, works = excluded.works, noted_at = excluded.noted_at",
            &counts.iter().map(|count| count.key.as_str()).collect::<Vec<_>>() as _,
            &counts.iter().map(|count| count.minute).collect::<Vec<_>>(),
            &counts.iter().map(|count| count.calls).collect::<Vec<_>>(),
            &counts.iter().map(|count| count.rate).collect::<Vec<_>>(),
            &counts.iter().map(|count| count.works).collect::<Vec<_>>()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

impl RestoreLock {
    /// What is known of calls under caps, of all servers: the queue knows which are a shard's.
    pub async fn calls(&mut self) -> Result<Vec<KeptCalls>, Error> {
        let rows = sqlx::query!(
            r#"SELECT coalesce(c.server, k.key) AS "server!", c.id AS "channel?: ChannelId", k.minute, k.calls, k.rate, k.works,
                      greatest(0, extract(epoch FROM now() - k.noted_at))::double precision AS "unnoted!"
               FROM call_counts k LEFT JOIN channels c ON c.id::text = k.key
               WHERE k.noted_at >= now() - interval '25 hours' ORDER BY k.key, k.minute DESC"#
        );
        let mut levels: BTreeMap<(String, Option<ChannelId>), KeptCalls> = BTreeMap::new();
        for row in rows.fetch_all(&mut self.connection).await? {
            let unnoted = Duration::try_from_secs_f64(row.unnoted).map_err(Error::unreadable)?;
            let level = levels.entry((row.server.clone(), row.channel)).or_insert_with(|| KeptCalls {
                server: row.server,
                channel: row.channel,
                by_minute: Vec::new(),
                rate: row.rate,
                unnoted,
                worked: row.works,
            });
            level.by_minute.push((row.minute, row.calls));
        }
        Ok(levels.into_values().collect())
    }
}
