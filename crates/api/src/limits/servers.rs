//! What holds for each provider server now, beside the rules.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt as _, stream};
use serde::Serialize;
use sincro_core::limit::{Cooldown, LimitRule, Match};
use sincro_queue::LevelView;

use crate::{problem::Problem, queue_view::Deadline, state::App};

/// Channels that are read at once.
const PAGE: i64 = 1_000;
/// Questions to the queue that are under way at once for one request.
const AT_ONCE: usize = 16;

/// A provider server at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct ServerNow {
    /// `provider/host:port`: all channels behind one address.
    #[schema(example = "wuzapi/wuzapi:8080")]
    server: String,
    /// The `match` of the rule that holds for it; null: it has no limit of its own.
    rule: Option<String>,
    /// Calls per second as configured; null without a limit.
    configured_rate: Option<f64>,
    /// Calls per second that are allowed now; null without a limit, and while Redis does not answer.
    effective_rate: Option<f64>,
    /// Calls per second that were made lately; null while Redis does not answer.
    observed_rate: Option<f64>,
    /// Calls that are under way; null while Redis does not answer.
    running: Option<i64>,
    /// Its rest, while it rests.
    cooldown: Option<Cooldown>,
}

impl ServerNow {
    /// What is seen is none while Redis does not answer.
    fn of(server: String, rule: Option<&LimitRule>, seen: Option<LevelView>) -> Self {
        let configured_rate = rule.map(|rule| rule.admits.limit.rate_per_second);
        let rule = rule.map(|rule| rule.matches.to_string());
        let unknown = Self {
            server,
            rule,
            configured_rate,
            effective_rate: None,
            observed_rate: None,
            running: None,
            cooldown: None,
        };
        let Some(seen) = seen else { return unknown };
        Self {
            // The queue hears of a server with the first sync of one of its channels: until then nothing slows it down.
            effective_rate: configured_rate.map(|rate| seen.effective_rate.unwrap_or(rate)),
            observed_rate: Some(seen.observed_rate),
            running: Some(seen.running),
            cooldown: seen.cooldown,
            ..unknown
        }
    }
}

/// The servers that channels are behind, under these rules.
pub(super) async fn now(app: &App, rules: &[LimitRule]) -> Result<Vec<ServerNow>, Problem> {
    let by_match: HashMap<&Match, &LimitRule> = rules.iter().map(|rule| (&rule.matches, rule)).collect();
    let servers = known(app).await?;
    let deadline = Deadline::start();
    let shown = stream::iter(servers).map(async |server| {
        let seen = app.queue.server(deadline, &server).await;
        let rule = holding(&by_match, &server);
        ServerNow::of(server, rule, seen)
    });
    Ok(shown.buffered(AT_ONCE).collect().await)
}

/// All servers, in the order of their names.
async fn known(app: &App) -> Result<BTreeSet<String>, Problem> {
    let mut servers = BTreeSet::new();
    let mut after = None;
    loop {
        let channels = app.store.channels(after, PAGE).await?;
        servers.extend(channels.iter().map(sincro_core::channel::Channel::server));
        match channels.last() {
            Some(last) if channels.len() == usize::try_from(PAGE).unwrap_or(usize::MAX) => after = Some(last.id),
            _ => return Ok(servers),
        }
    }
}

/// The rule that holds for a server: its own, else its provider's.
fn holding<'a>(rules: &HashMap<&Match, &'a LimitRule>, server: &str) -> Option<&'a LimitRule> {
    let own = rules.get(&Match::Server(server.to_owned()));
    let each = || {
        let (provider, _) = server.split_once('/')?;
        rules.get(&Match::EachServer(provider.parse().ok()?))
    };
    own.or_else(each).copied()
}

#[cfg(test)]
mod tests {
    use sincro_core::limit::Limit;

    use super::*;

    fn rule(matches: &str, rate_per_second: f64) -> LimitRule {
        LimitRule { matches: matches.parse().unwrap(), admits: Limit { rate_per_second, ..Limit::default() }.into() }
    }

    #[test]
    fn the_rule_that_holds_is_the_servers_own_or_its_providers() {
        let rules = [rule("wuzapi/*", 50.0), rule("wuzapi/a:1", 5.0)];
        let by_match = rules.iter().map(|rule| (&rule.matches, rule)).collect();
        let held = |server| holding(&by_match, server).map(|rule| rule.matches.to_string());
        assert_eq!(held("wuzapi/a:1").as_deref(), Some("wuzapi/a:1"));
        assert_eq!(held("wuzapi/b:1").as_deref(), Some("wuzapi/*"));
        assert_eq!(held("whapi/b:1"), None);
    }

    #[test]
    fn what_only_the_queue_knows_is_null_while_it_is_away_and_full_before_it_has_heard() {
        let rule = rule("wuzapi/*", 50.0);
        let away = ServerNow::of("wuzapi/a".into(), Some(&rule), None);
        assert_eq!((away.configured_rate, away.effective_rate, away.running), (Some(50.0), None, None));
        let idle = LevelView {
            configured_rate: None,
            effective_rate: None,
            observed_rate: 0.0,
            concurrency: None,
            running: 0,
            cooldown: None,
        };
        let unheard = ServerNow::of("wuzapi/a".into(), Some(&rule), Some(idle));
        assert_eq!((unheard.effective_rate, unheard.running), (Some(50.0), Some(0)));
    }
}
