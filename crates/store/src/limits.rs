//! The rules of `/v1/limits`, and every change of a limit.
//!
//! The rules are replaced as a whole, by one caller after the other, so that the numbers of their changes, which are the
//! version of all rules together, become visible in their order. Which rule wins where is for `sincro_core` to say.

mod history;
mod row;

use std::collections::{BTreeMap, BTreeSet};

use sincro_core::{
    channel::ChannelId,
    limit::{self, LevelLimit, LimitRule, Match},
    notice::Notice,
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use history::{Changed, record};
pub use history::{LimitChange, LimitSource};
pub(crate) use history::{record_own, withdraw};
pub(crate) use row::{RuleRow, resolved};

use crate::{Error, Missing, Store, notices};

/// Names the advisory lock that whoever changes rules holds until the commit: "sincro limits".
const RULES_LOCK: i64 = 0x0051_C011;

/// Changes to the rules happen one after the other, so that their numbers are in the order of their commits. Taken before
/// any channel's lock.
pub(crate) async fn lock_rules(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", RULES_LOCK).execute(connection).await?;
    Ok(())
}

impl Store {
    /// The rules, in the order of what they are about.
    pub async fn limit_rules(&self) -> Result<Vec<LimitRule>, Error> {
        let mut connection = self.pool.acquire().await?;
        all(&mut connection).await
    }

    /// Replaces all rules; of two about the same the last one counts. Returns what the queue must hear: a notice for each
    /// server and each channel that has another limit now, none for the others. A rule about a channel that does not
    /// exist is [`Missing::Channel`], and nothing is changed.
    pub async fn replace_limit_rules(&self, rules: &[LimitRule], by: &str) -> Result<Vec<Notice>, Error> {
        let mut tx = self.pool.begin().await?;
        lock_rules(&mut tx).await?;
        let before = all(&mut tx).await?;
        let changes = changes(&before, rules);
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let channels = lock_channels(&mut tx, &changes).await?;
        write(&mut tx, &changes).await?;
        record(&mut tx, by, LimitSource::Rule, &changes).await?;
        let after = all(&mut tx).await?;
        let speakers = speakers(&mut tx, &changes, &before, &after).await?;
        let notices = tell(&mut tx, &channels, &speakers).await?;
        tx.commit().await?;
        Ok(notices)
    }
}

async fn all(connection: &mut PgConnection) -> Result<Vec<LimitRule>, Error> {
    let rows =
        sqlx::query_scalar!(r#"SELECT to_jsonb(r) AS "rule!: Json<RuleRow>" FROM limit_rules r ORDER BY matches"#);
    rows.fetch_all(connection).await?.into_iter().map(|row| row.0.try_into()).collect()
}

/// What is not as it was, by what it is about.
fn changes(before: &[LimitRule], after: &[LimitRule]) -> Vec<Changed> {
    let mut all: BTreeMap<&Match, (Option<LevelLimit>, Option<LevelLimit>)> = BTreeMap::new();
    for rule in before {
        all.entry(&rule.matches).or_default().0 = Some(rule.admits);
    }
    for rule in after {
        all.entry(&rule.matches).or_default().1 = Some(rule.admits);
    }
    let changed = all.into_iter().filter(|(_, (before, after))| before != after);
    changed.map(|(matches, (before, after))| Changed { matches: matches.clone(), before, after }).collect()
}

/// Takes the locks of the channels that changes are about, and says which they are.
async fn lock_channels(connection: &mut PgConnection, changes: &[Changed]) -> Result<Vec<ChannelId>, Error> {
    let wanted: Vec<Uuid> = changes.iter().filter_map(Changed::channel).collect();
    let there =
        sqlx::query_scalar!("SELECT id FROM channels WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", &wanted)
            .fetch_all(connection)
            .await?;
    if there.len() == wanted.len() { Ok(there) } else { Err(Error::NotFound(Missing::Channel)) }
}

async fn write(connection: &mut PgConnection, changes: &[Changed]) -> Result<(), Error> {
    let gone: Vec<String> =
        changes.iter().filter(|change| change.after.is_none()).map(|change| change.matches.to_string()).collect();
    sqlx::query!("DELETE FROM limit_rules WHERE matches = ANY($1)", &gone).execute(&mut *connection).await?;
    let rows: Vec<RuleRow> =
        changes.iter().filter_map(|change| change.after.map(|admits| RuleRow::new(&change.matches, admits))).collect();
    sqlx::query!(
        "INSERT INTO limit_rules (matches, channel_id, rate_per_second, burst, concurrency, per_minute, per_hour, per_day, weight)
         SELECT matches, channel_id, rate_per_second, burst, concurrency, per_minute, per_hour, per_day, weight
         FROM jsonb_populate_recordset(NULL::limit_rules, $1)
         ON CONFLICT (matches) DO UPDATE SET
            rate_per_second = excluded.rate_per_second, burst = excluded.burst, concurrency = excluded.concurrency,
            per_minute = excluded.per_minute, per_hour = excluded.per_hour, per_day = excluded.per_day, weight = excluded.weight",
        Json(&rows) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// One channel of each server that has another limit now: a notice about it tells the server's limit too.
async fn speakers(
    connection: &mut PgConnection,
    changes: &[Changed],
    before: &[LimitRule],
    after: &[LimitRule],
) -> Result<Vec<ChannelId>, Error> {
    let (mut servers, mut providers) = (Vec::new(), Vec::new());
    for change in changes {
        match &change.matches {
            Match::Server(server) => servers.push(server.clone()),
            Match::EachServer(provider) => providers.push(provider.to_string()),
            Match::Channel(_) => {}
        }
    }
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (server) server, id FROM channels WHERE server = ANY($1) OR provider = ANY($2) ORDER BY server, id",
        &servers,
        &providers
    );
    let rows = rows.fetch_all(connection).await?;
    let limit = |rules: &[LimitRule], server: &str| limit::resolve(rules, server, Uuid::nil()).server;
    let touched = rows.into_iter().filter(|row| limit(before, &row.server) != limit(after, &row.server));
    Ok(touched.map(|row| row.id).collect())
}

/// Writes the notices. The version of a channel grows only where its own limit is another.
async fn tell(
    connection: &mut PgConnection,
    channels: &[ChannelId],
    speakers: &[ChannelId],
) -> Result<Vec<Notice>, Error> {
    sqlx::query!("UPDATE channels SET version = version + 1 WHERE id = ANY($1)", channels)
        .execute(&mut *connection)
        .await?;
    let about: BTreeSet<ChannelId> = channels.iter().chain(speakers).copied().collect();
    notices::write_channels(connection, &about.into_iter().collect::<Vec<_>>()).await
}
