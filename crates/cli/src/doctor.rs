//! `sincro doctor`: checks settings, servers and versions, and says what is wrong and how to mend it.

use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use sincro_queue::{Queue, QueueSettings};
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
    findings
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
    vec![server, schema]
}

async fn examine_redis(config: &Config) -> Vec<Finding> {
    let redis_url = match config.redis_url() {
        Ok(url) => url.clone(),
        Err(refused) => return vec![Finding::broken("Redis", refused.to_string())],
    };
    let settings = QueueSettings { redis_url, namespace: config.redis_namespace.clone(), shards: config.redis_shards };
    let facts = match Queue::connect(settings).await {
        Ok(queue) => queue.server_facts().await,
        Err(error) => Err(error),
    };
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return vec![Finding::broken("Redis", error.to_string())],
    };
    let mut findings = vec![Finding::ok("Redis", format!("version {}", facts.version))];
    if facts.eviction_policy.as_deref().is_some_and(|policy| policy != "noeviction") {
        findings.push(Finding::warning(
            "Redis memory",
            "maxmemory-policy is not noeviction: under pressure Redis would drop parts of the queue. They come back \
             from the ledger, but slowly; set maxmemory-policy noeviction",
        ));
    }
    findings
}
