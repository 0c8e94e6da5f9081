//! `sincro doctor`: checks settings, servers and versions, and says what is wrong and how to mend it.

use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use sincro_queue::{Queue, QueueSettings, RedisServer};
use sincro_store::{SecretKey, Store};

use crate::{
    config::{Config, Refused},
    output,
};

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// As it should be.
    Ok,
    /// Works, but will hurt some day.
    Warning,
    /// Does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    /// What was found, and what to do about it.
    detail: String,
}

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, health: Health::Ok, detail: detail.into() }
    }

    fn warning(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, health: Health::Warning, detail: detail.into() }
    }

    fn broken(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, health: Health::Broken, detail: detail.into() }
    }
}

/// Prints what it finds; a configuration that was refused is a finding too. Exit code 1 when something is broken.
pub(crate) async fn run(config: Result<Config, Refused>, json: bool) -> anyhow::Result<ExitCode> {
    let findings = match config {
        Err(refused) => vec![Finding::broken("configuration", refused.to_string())],
        Ok(config) => examine(&config).await,
    };
    if json {
        output::document(&serde_json::to_string(&findings)?)?;
    } else {
        for Finding { what, health, detail } in &findings {
            let sign = match health {
                Health::Ok => "ok     ",
                Health::Warning => "warning",
                Health::Broken => "broken ",
            };
            output::lines(&format!("{sign}  {what:<13}  {detail}"))?;
        }
    }
    let broken = findings.iter().any(|finding| finding.health == Health::Broken);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "every value is within its bounds")];
    findings.extend(config.warnings.iter().map(|warning| Finding::warning("configuration", warning)));
    findings.push(match config.secret_key() {
        Ok(_) => Finding::ok("secret key", "is set"),
        Err(refused) => Finding::broken("secret key", refused.to_string()),
    });
    findings.extend(examine_postgres(config).await);
    findings.extend(examine_redis(config).await);
    findings.push(examine_media(config).await);
    findings
}

async fn examine_media(config: &Config) -> Finding {
    match config.media_target() {
        None => Finding::ok("files", "are not fetched: media_target is empty"),
        Some(Err(error)) => Finding::broken("files", format!("media_target: {error}")),
        Some(Ok(target)) => match target.check().await {
            Ok(()) => Finding::ok("files", "media_target can be written"),
            Err(error) => Finding::broken("files", format!("media_target cannot be written: {error}")),
        },
    }
}

async fn examine_postgres(config: &Config) -> Vec<Finding> {
    let url = match config.database_url() {
        Ok(url) => url.expose_secret(),
        Err(refused) => return vec![Finding::broken("Postgres", refused.to_string())],
    };
    let secret_key = config.secret_key.as_ref().and_then(|key| SecretKey::from_base64(key.expose_secret()).ok());
    let store = match Store::connect(url, 2, secret_key).await {
        Ok(store) => store,
        Err(error) => return vec![Finding::broken("Postgres", error.to_string())],
    };
    let schema = match store.is_migrated().await {
        Ok(true) => Finding::ok("schema", "is up to date"),
        Ok(false) => Finding::broken("schema", "is older than this binary: run `sincro migrate`"),
        Err(error) => Finding::broken("schema", error.to_string()),
    };
    let server = match store.server_version().await {
        Ok(version) => Finding::ok("Postgres", format!("version {version}")),
        Err(error) => Finding::broken("Postgres", error.to_string()),
    };
    let mut findings = vec![server, schema];
    match store.risky_settings().await {
        Ok(off) if off.is_empty() => {}
        Ok(off) => findings.push(Finding::warning(
            "durability",
            format!("{} off: a power cut can cost what was committed", off.join(", ")),
        )),
        Err(error) => findings.push(Finding::broken("durability", error.to_string())),
    }
    findings
}

async fn examine_redis(config: &Config) -> Vec<Finding> {
    let redis_url = match config.redis_url() {
        Ok(url) => url.clone(),
        Err(refused) => return vec![Finding::broken("Redis", refused.to_string())],
    };
    let settings = QueueSettings { redis_url, namespace: config.redis_namespace.clone(), shards: config.redis_shards };
    let servers = match Queue::connect(settings).await {
        Ok(queue) => queue.redis_servers().await,
        Err(error) => Err(error),
    };
    match servers {
        Ok(servers) => judge_redis(&servers, config.redis_shards),
        Err(error) => vec![Finding::broken("Redis", error.to_string())],
    }
}

/// What is to be said of each server, and of all of them.
fn judge_redis(servers: &[RedisServer], shards: u16) -> Vec<Finding> {
    let mut findings = Vec::new();
    for RedisServer { address, primary, facts } in servers {
        let name = if servers.len() == 1 { String::new() } else { format!("{address}: ") };
        let role = if *primary { "" } else { ", a replica" };
        match facts {
            Ok(facts) => findings.push(Finding::ok("Redis", format!("{name}version {}{role}", facts.version))),
            Err(error) if *primary => findings.push(Finding::broken("Redis", format!("{name}{error}"))),
            Err(error) => findings.push(Finding::warning("Redis", format!("{name}{error} (a replica)"))),
        }
        let policy = facts.as_ref().ok().and_then(|facts| facts.eviction_policy.as_deref());
        if policy.is_some_and(|policy| policy != "noeviction") {
            findings.push(Finding::warning(
                "Redis memory",
                format!(
                    "{name}maxmemory-policy is not noeviction: under pressure Redis would drop parts of the queue. They \
                     come back from the ledger, but slowly; set maxmemory-policy noeviction"
                ),
            ));
        }
    }
    let primaries = servers.iter().filter(|server| server.primary).count();
    if primaries > usize::from(shards) {
        findings.push(Finding::warning(
            "Redis shards",
            format!("a cluster of {primaries} primaries and redis_shards = {shards}: some have nothing to do; see docs/redis.md"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use sincro_queue::{Error, ServerFacts};

    use super::*;

    fn server(address: &str, primary: bool, eviction_policy: &str) -> RedisServer {
        let facts = ServerFacts {
            version: "7.0.15".to_owned(),
            eviction_policy: Some(eviction_policy.to_owned()),
            append_only: true,
        };
        RedisServer { address: address.to_owned(), primary, facts: Ok(facts) }
    }

    fn said(servers: &[RedisServer], shards: u16) -> Vec<(Health, String)> {
        judge_redis(servers, shards).into_iter().map(|finding| (finding.health, finding.detail)).collect()
    }

    #[test]
    fn one_server_needs_no_name() {
        assert_eq!(said(&[server("one:1", true, "noeviction")], 1), [(Health::Ok, "version 7.0.15".to_owned())]);
    }

    #[test]
    fn of_several_servers_each_is_named_with_what_is_wrong_with_it() {
        let away = Err(Error::Settings("away".to_owned()));
        let gone = RedisServer { address: "three:3".to_owned(), primary: false, facts: away };
        let said = said(&[server("one:1", true, "noeviction"), server("two:2", true, "allkeys-lru"), gone], 1);
        let health: Vec<_> = said.iter().map(|(health, _)| *health).collect();
        assert_eq!(health, [Health::Ok, Health::Ok, Health::Warning, Health::Warning, Health::Warning]);
        assert!(said[2].1.starts_with("two:2: maxmemory-policy is not noeviction"), "{said:?}");
        assert!(said[3].1.starts_with("three:3: ") && said[3].1.ends_with("(a replica)"), "{said:?}");
        assert!(said[4].1.starts_with("a cluster of 2 primaries and redis_shards = 1"), "{said:?}");
    }
}
