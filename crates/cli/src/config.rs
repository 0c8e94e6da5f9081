//! Configuration: embedded defaults, then a file, then the environment; checked before anything starts.
//!
//! `config.default.toml` is the list of keys, the sample and the reference in one. The environment is read here and
//! nowhere else ([`process_environment`]); tests hand in one of their own.

mod layers;
mod reader;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::Path, time::Duration};

use chrono::TimeDelta;
use secrecy::SecretString;
use sincro_core::awaiting::{Pace, Waits};
use sincro_worker::target::{Access, Place, Target};
use url::Url;

use self::reader::Reader;

/// The variables of a process, by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// What the whole process runs by. Every value is within the bounds that `config.default.toml` names.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where a process that only works answers about itself.
    pub worker_listen: Option<SocketAddr>,
    /// How the outside reaches the API, when it differs from `listen`; see [`Config::public_url`].
    pub public_url: Option<Url>,
    /// Event streams that this process serves at once.
    pub event_streams: usize,
    /// The longest webhook.
    pub hook_max_body_bytes: usize,
    /// Postgres, when set; see [`Config::database_url`].
    pub database_url: Option<SecretString>,
    /// Redis, when set; see [`Config::redis_url`].
    pub redis_url: Option<SecretString>,
    /// Part of every Redis key.
    pub redis_namespace: String,
    /// Parts of the queue.
    pub redis_shards: u16,
    /// Base64 of 32 bytes, when set; see [`Config::secret_key`].
    pub secret_key: Option<SecretString>,
    /// Jobs under way at once in this process.
    pub worker_concurrency: usize,
    /// How long a claim holds without renewal.
    pub lease: Duration,
    /// How long a drain waits.
    pub shutdown_grace: Duration,
    /// Size of the Postgres pool.
    pub database_connections: u32,
    /// Outcomes per transaction at most.
    pub settle_batch: usize,
    /// Between two looks for what a crash left behind.
    pub sweep_every: Duration,
    /// The attempt after which a job fails.
    pub max_attempts: u32,
    /// Ceiling of the first wait between attempts.
    pub retry_base: Duration,
    /// Ceiling of every wait between attempts.
    pub retry_cap: Duration,
    /// The longest a gateway may take.
    pub gateway_timeout: Duration,
    /// The largest answer of a gateway, in bytes.
    pub gateway_max_body_bytes: usize,
    /// The largest contact list of a gateway, in bytes.
    pub gateway_max_contacts_bytes: usize,
    /// Room for answers in memory, in bytes.
    pub gateway_memory_bytes: usize,
    /// How long is waited for what gateways deliver later.
    pub waits: Waits,
    /// How long jobs are kept after the end of their sync; none: for ever.
    pub retention: Option<TimeDelta>,
    /// How long webhooks are kept that were read; none: for ever.
    pub hook_retention: Option<TimeDelta>,
    /// Where files go; none: they are not fetched.
    pub media_place: Option<Place>,
    /// How that is reached where it is a bucket.
    pub media_access: Access,
    /// The longest file.
    pub media_most_bytes: u64,
    /// Filter directives for the log.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What looks wrong but does not refuse to start; to be logged once logging runs.
    pub warnings: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why a configuration is refused: each problem names the key, what is wrong with its value, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub Vec<String>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "configuration: {only}"),
            all => {
                write!(f, "configuration, {} problems:", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Refused {}

/// The variables of this process.
pub(crate) fn process_environment() -> Environment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    let variables = std::env::vars_os();
    variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())).collect()
}

impl Config {
    /// Reads and checks all layers; every problem is reported, not only the first.
    pub(crate) fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Refused> {
        let mut reader = Reader::new(layers::merge(file, environment)?);
        let config = Self {
            listen: reader.socket_address("listen"),
            worker_listen: reader.optional_socket_address("worker_listen"),
            public_url: reader.http_url("public_url"),
            event_streams: reader.whole_number("event_streams", 1..=65_536),
            hook_max_body_bytes: reader.whole_number::<usize>("hook_max_body_mb", 1..=1024) * 1024 * 1024,
            database_url: reader.secret_url("database_url", &["postgres", "postgresql"]),
            redis_url: reader.redis_url("redis_url"),
            redis_namespace: reader.name("redis_namespace"),
            redis_shards: reader.whole_number("redis_shards", 1..=256),
            secret_key: reader.secret_key("secret_key"),
            worker_concurrency: reader.whole_number("worker_concurrency", 1..=4096),
            lease: reader.seconds("lease_seconds", 1.0..=600.0),
            shutdown_grace: reader.seconds("shutdown_grace_seconds", 0.0..=600.0),
            database_connections: reader.whole_number("database_connections", 2..=1000),
            settle_batch: reader.whole_number("settle_batch", 1..=10_000),
            sweep_every: reader.seconds("sweep_seconds", 0.1..=300.0),
            max_attempts: reader.whole_number("max_attempts", 1..=100),
            retry_base: reader.seconds("retry_base_seconds", 0.01..=3600.0),
            retry_cap: reader.seconds("retry_cap_seconds", 0.01..=86_400.0),
            gateway_timeout: reader.seconds("gateway_timeout_seconds", 0.1..=600.0),
            gateway_max_body_bytes: reader.whole_number::<usize>("gateway_max_body_mb", 1..=1024) * 1024 * 1024,
            gateway_max_contacts_bytes: reader.whole_number::<usize>("gateway_max_contacts_mb", 1..=4096) * 1024 * 1024,
            gateway_memory_bytes: reader.whole_number::<usize>("gateway_memory_mb", 1..=4096) * 1024 * 1024,
            waits: Waits {
                history: reader.seconds("delivery_deadline_seconds", 1.0..=1_209_600.0),
                quiet: reader.seconds("delivery_quiet_seconds", 0.1..=86_400.0),
                beginning: reader.seconds("delivery_begins_seconds", 0.1..=86_400.0),
                event: reader.seconds("event_deadline_seconds", 0.1..=86_400.0),
                reply: reader.seconds("phone_deadline_seconds", 0.1..=86_400.0),
                reply_quiet: reader.seconds("phone_quiet_seconds", 0.1..=3600.0),
                pace: Pace {
                    gap: reader.seconds("phone_spacing_seconds", 0.0..=3600.0),
                    per_hour: reader.whole_number("phone_requests_per_hour", 1..=1_000_000),
                    per_day: reader.whole_number("phone_requests_per_day", 1..=1_000_000),
                },
                silences: reader.whole_number("phone_silences", 1..=1_000_000),
                initial_sync: reader.seconds("initial_sync_seconds", 0.1..=86_400.0),
                rereads: [
                    reader.seconds("reread_first_seconds", 0.1..=86_400.0),
                    reader.seconds("reread_second_seconds", 0.1..=86_400.0),
                    reader.seconds("reread_third_seconds", 0.1..=86_400.0),
                ],
            },
            retention: reader.days("retention_days", 0..=36_500),
            hook_retention: reader.days("hook_retention_days", 0..=36_500),
            media_place: reader.media_place("media_target"),
            media_access: Access {
                endpoint: reader.http_url("media_s3_endpoint"),
                region: reader.name("media_s3_region"),
                keys: reader.key_pair("media_s3_access_key", "media_s3_secret_key"),
                allow_http: reader.truth("media_s3_allow_http"),
            },
            media_most_bytes: reader.whole_number("media_max_bytes", 1..=2_147_483_648),
            log: reader.log_directives("log"),
            log_format: reader.one_of("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            warnings: layers::suspicious_variables(environment),
        };
        // A value that was refused is zero here and was reported already.
        if !config.retry_cap.is_zero() && config.retry_cap < config.retry_base {
            reader.refuse("retry_cap_seconds", "must be at least retry_base_seconds");
        }
        let Access { endpoint, allow_http, .. } = &config.media_access;
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http") && !allow_http {
            reader.refuse(
                "media_s3_endpoint",
                "files would travel in the clear: give https, or media_s3_allow_http = true",
            );
        }
        reader.finish(config)
    }

    /// The base of every webhook address: as configured, else `http://` and the address that is listened on.
    pub(crate) fn public_url(&self, listening_on: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{listening_on}"),
        }
    }

    /// The place for files, if there is one. What is in it is not looked at.
    pub(crate) fn media_target(&self) -> Option<Result<Target, sincro_worker::target::Error>> {
        self.media_place.as_ref().map(|place| Target::new(place, &self.media_access))
    }

    /// Where Postgres is, or how to say so.
    pub(crate) fn database_url(&self) -> Result<&SecretString, Refused> {
        self.database_url.as_ref().ok_or_else(|| missing("database_url", "SINCRO_DATABASE_URL or DATABASE_URL"))
    }

    /// Where Redis is, or how to say so.
    pub(crate) fn redis_url(&self) -> Result<&SecretString, Refused> {
        self.redis_url.as_ref().ok_or_else(|| missing("redis_url", "SINCRO_REDIS_URL or REDIS_URL"))
    }

    /// The key that seals credentials (base64 of 32 bytes, checked), or how to make one.
    pub(crate) fn secret_key(&self) -> Result<&SecretString, Refused> {
        let how = "SINCRO_SECRET_KEY (make one with: openssl rand -base64 32)";
        self.secret_key.as_ref().ok_or_else(|| missing("secret_key", how))
    }
}

fn missing(key: &str, how: &str) -> Refused {
    Refused(vec![format!("{key} is not set: give it in {how}; `sincro dev` and `sincro demo` do without")])
}
