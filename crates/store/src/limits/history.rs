//! Every change of a limit, for ever: who, when, from what, to what.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sincro_core::{
    channel::ChannelId,
    clock,
    limit::{LevelLimit, Limit, Match},
};
use sqlx::{PgConnection, types::Json};

use super::row::Admits;
use crate::{Error, Store};

/// Where a limit is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitSource {
    /// In a rule of `/v1/limits`.
    Rule,
    /// In the channel itself.
    Channel,
}

impl LimitSource {
    /// The source's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Channel => "channel",
        }
    }
}

/// One change of one limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitChange {
    /// Its number; later changes have higher ones.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: the name of the API key.
    pub by: String,
    /// What the limit is about; the channel may be gone.
    pub matches: Match,
    /// Where it is written down.
    pub source: LimitSource,
    /// What was admitted; none when there was no such rule.
    pub before: Option<LevelLimit>,
    /// What is admitted since; none when the rule was taken away.
    pub after: Option<LevelLimit>,
}

/// A limit that is not as it was.
pub(super) struct Changed {
    pub(super) matches: Match,
    pub(super) before: Option<LevelLimit>,
    pub(super) after: Option<LevelLimit>,
}

impl Changed {
    pub(super) const fn channel(&self) -> Option<ChannelId> {
        match self.matches {
            Match::Channel(id) => Some(id),
            Match::EachServer(_) | Match::Server(_) => None,
        }
    }
}

/// A row to be, as JSON.
#[derive(Serialize)]
struct Entry {
    matches: String,
    before: Option<Admits>,
    after: Option<Admits>,
}

impl Store {
    /// Changes of limits, newest first, older than the one named.
    pub async fn limit_changes(&self, before: Option<i64>, limit: i64) -> Result<Vec<LimitChange>, Error> {
        let rows = sqlx::query!(
            r#"SELECT id, at, by, matches, source, before AS "before: Json<Admits>", after AS "after: Json<Admits>"
               FROM limit_changes WHERE id < $1 ORDER BY id DESC LIMIT $2"#,
            before.unwrap_or(i64::MAX),
            limit
        );
        let changes = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            Ok(LimitChange {
                id: row.id,
                at: row.at,
                by: row.by,
                matches: row.matches.parse().map_err(Error::unreadable)?,
                source: if row.source == LimitSource::Rule.as_str() { LimitSource::Rule } else { LimitSource::Channel },
                before: row.before.map(|admits| admits.0.into()),
                after: row.after.map(|admits| admits.0.into()),
            })
        });
        changes.collect()
    }
}

pub(super) async fn record(
    connection: &mut PgConnection,
    by: &str,
    source: LimitSource,
    changes: &[Changed],
) -> Result<(), Error> {
    let entries: Vec<Entry> = changes
        .iter()
        .map(|change| Entry {
            matches: change.matches.to_string(),
            before: change.before.map(Admits::from),
            after: change.after.map(Admits::from),
        })
        .collect();
    sqlx::query!(
        "INSERT INTO limit_changes (at, by, source, matches, before, after)
         SELECT $1, $2, $3, e.matches, e.before, e.after
         FROM jsonb_to_recordset($4) AS e (matches text, before jsonb, after jsonb) ORDER BY e.matches",
        clock::now(),
        by,
        source.as_str(),
        Json(&entries) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records that the limit in a channel itself is another, if it is.
pub(crate) async fn record_own(
    connection: &mut PgConnection,
    channel: ChannelId,
    by: &str,
    before: Limit,
    after: Limit,
) -> Result<(), Error> {
    if before == after {
        return Ok(());
    }
    let change = Changed { matches: Match::Channel(channel), before: Some(before.into()), after: Some(after.into()) };
    record(connection, by, LimitSource::Channel, &[change]).await
}

/// Takes the rule about a channel away that is being deleted, under the lock of the rules. No server's limit changes, so nobody
/// is told.
pub(crate) async fn withdraw(connection: &mut PgConnection, channel: ChannelId, by: &str) -> Result<(), Error> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM limit_rules r WHERE channel_id = $1 RETURNING matches, to_jsonb(r) - 'matches' - 'channel_id' AS admitted)
         INSERT INTO limit_changes (at, by, source, matches, before)
         SELECT $2, $3, $4, matches, jsonb_strip_nulls(admitted) FROM gone",
        channel,
        clock::now(),
        by,
        LimitSource::Rule.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}
