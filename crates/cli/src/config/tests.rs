//! Each layer, and each way to get one wrong. The environment is a map: tests never touch the process's own.

use std::io::Write as _;

use secrecy::ExposeSecret as _;
use tempfile::NamedTempFile;

use super::*;

const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Refused> {
    Config::load(Some(file(text).path()), &environment(variables))
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load(text, variables).unwrap_err().0
}

#[test]
fn the_defaults_alone_are_a_configuration() {
    let config = Config::load(None, &Environment::new()).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.worker_concurrency, 64);
    assert_eq!(config.lease, Duration::from_secs(30));
    assert_eq!(config.gateway_max_body_bytes, 16 * 1024 * 1024);
    assert_eq!(config.log_format, LogFormat::Text);
    assert!(config.warnings.is_empty());
}

#[test]
fn a_message_that_is_restored_is_read_again_after_30_seconds_2_minutes_and_5_minutes_unless_told_otherwise() {
    let rereads = |config: Config| config.waits.rereads;
    let usual = [Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(5)];
    assert_eq!(rereads(Config::load(None, &Environment::new()).unwrap()), usual);
    let told = load("reread_second_seconds = 90\n", &[("SINCRO_REREAD_THIRD_SECONDS", "0.5")]).unwrap();
    assert_eq!(rereads(told), [usual[0], Duration::from_secs(90), Duration::from_millis(500)]);
}

#[test]
fn a_file_goes_before_the_defaults_and_the_environment_before_the_file() {
    let text = "worker_concurrency = 8\nlease_seconds = 2.5\n";
    let config = load(text, &[("SINCRO_WORKER_CONCURRENCY", "16")]).unwrap();
    assert_eq!(config.worker_concurrency, 16);
    assert_eq!(config.lease, Duration::from_millis(2_500));
    assert_eq!(config.max_attempts, 5);
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let defaults: Vec<_> = include_str!("../../config.default.toml")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .collect();
    assert_eq!(defaults.len(), 48);
    for (key, value) in defaults {
        let name = format!("SINCRO_{}", key.to_uppercase());
        let value = value.trim_matches('"').to_owned();
        let config = Config::load(None, &Environment::from([(name.clone(), value)])).unwrap();
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
        let refused = Config::load(None, &Environment::from([(name.clone(), "?!".to_owned())])).unwrap_err();
        assert!(refused.0[0].contains(&name), "{refused}");
    }
}

#[test]
fn the_customary_names_are_honoured_and_our_own_go_before_them() {
    let customary = [("DATABASE_URL", "postgres://a/db"), ("REDIS_URL", "redis://a")];
    let config = load("database_url = 'postgres://file/db'", &customary).unwrap();
    assert_eq!(config.database_url().unwrap().expose_secret(), "postgres://a/db");
    assert_eq!(config.redis_url().unwrap().expose_secret(), "redis://a");
    let both = [customary[0], ("SINCRO_DATABASE_URL", "postgresql://b/db")];
    assert_eq!(load("", &both).unwrap().database_url().unwrap().expose_secret(), "postgresql://b/db");
}

#[test]
fn a_variable_set_to_nothing_counts_as_not_set() {
    let config = load("log = 'warn'", &[("SINCRO_LOG", ""), ("DATABASE_URL", "")]).unwrap();
    assert_eq!(config.log, "warn");
    assert!(config.database_url.is_none());
}

#[test]
fn a_value_out_of_bounds_names_its_key_its_origin_and_the_bounds() {
    assert_eq!(
        problems("", &[("SINCRO_WORKER_CONCURRENCY", "0")]),
        ["worker_concurrency = 0 (from SINCRO_WORKER_CONCURRENCY): must be 1 to 4096"]
    );
    let written = file("lease_seconds = 0\nmax_attempts = \"many\"\n");
    let refused = Config::load(Some(written.path()), &Environment::new()).unwrap_err();
    let origin = written.path().display();
    assert_eq!(
        refused.0,
        [
            format!("lease_seconds = 0 (from {origin}): must be 1 to 600"),
            format!("max_attempts = \"many\" (from {origin}): must be a whole number, 1 to 100"),
        ]
    );
    assert!(refused.to_string().starts_with("configuration, 2 problems:\n  lease_seconds"));
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for (text, expected) in [
        ("worker_concurrency = 1.5", "must be a whole number, 1 to 4096"),
        ("worker_concurrency = true", "must be a whole number, 1 to 4096"),
        ("worker_concurrency = 99999999999", "must be 1 to 4096"),
        ("sweep_seconds = nan", "must be 0.1 to 300"),
        ("sweep_seconds = []", "must be a number of seconds, 0.1 to 300"),
        ("listen = 8080", "must be an IP address and a port"),
        ("listen = 'localhost:8080'", "must be an IP address and a port"),
        ("public_url = 'ftp://example.org'", "must be empty, or begin with http://"),
        ("redis_namespace = 'a{b}'", "must be 1 to 32 letters"),
        ("log_format = 'xml'", "must be text or json"),
        ("log = 'inof'", r#""inof" is not a level"#),
        ("log = 'sincro=loud'", "is not understood"),
        ("media_target = 'media'", "must be empty, the absolute path of a folder"),
        ("media_target = 's3://bucket/a?b=c'", "must be empty, the absolute path of a folder"),
        ("media_max_bytes = 0", "must be 1 to 2147483648"),
        ("media_s3_allow_http = 'perhaps'", "must be true or false"),
        ("media_s3_endpoint = 'http://minio:9000'", "or media_s3_allow_http = true"),
        ("media_s3_access_key = 'name'", "is missing, and media_s3_access_key is given"),
        ("retry_base_seconds = 60\nretry_cap_seconds = 30", "must be at least retry_base_seconds"),
    ] {
        let problems = problems(text, &[]);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].contains(expected), "{text}: {problems:?}");
    }
}

#[test]
fn an_unknown_key_in_a_file_is_refused_and_a_typo_is_recognised() {
    let problems = problems("worker_concurency = 8\ncolour = 'red'\n[table]\nlisten = 'x'\n", &[]);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().any(|p| p.ends_with("there is no such key; did you mean worker_concurrency?")));
    assert!(problems.iter().any(|p| p.starts_with("colour (from ") && p.ends_with("there is no such key")));
}

#[test]
fn an_unknown_variable_of_ours_is_warned_of() {
    let variables =
        [("SINCRO_WORKER_CONCURENCY", "8"), ("SINCRO_API_KEY", "k"), ("SINCRO_COLOUR", "red"), ("HOME", "/")];
    assert_eq!(
        load("", &variables).unwrap().warnings,
        [
            "SINCRO_COLOUR is no setting and is ignored",
            "SINCRO_WORKER_CONCURENCY is no setting and is ignored; did you mean SINCRO_WORKER_CONCURRENCY?",
        ]
    );
}

#[test]
fn secrets_show_up_neither_in_errors_nor_in_debug_output() {
    let secret = "hunter2hunter2";
    let variables = [
        ("SINCRO_SECRET_KEY", secret),
        ("DATABASE_URL", "mysql://u:hunter2hunter2@h/d"),
        ("REDIS_URL", "hunter2hunter2"),
    ];
    let refused = load("", &variables).unwrap_err();
    assert_eq!(refused.0.len(), 3);
    assert!(!format!("{refused} {refused:?}").contains(secret));
    assert!(refused.0.iter().any(|p| p.starts_with("secret_key (from SINCRO_SECRET_KEY): must be base64")));

    let short = load("media_s3_secret_key = 'hush'", &[]).unwrap_err();
    assert!(short.to_string().contains("media_s3_secret_key (from ") && !short.to_string().contains("hush"), "{short}");
    let bucket = [
        ("SINCRO_MEDIA_TARGET", "s3://b"),
        ("SINCRO_MEDIA_S3_ACCESS_KEY", "name"),
        ("SINCRO_MEDIA_S3_SECRET_KEY", secret),
    ];
    let config = load("", &bucket).unwrap();
    let target = config.media_target().unwrap().unwrap();
    assert!(!format!("{config:?} {target:?}").contains(secret));

    let unparsable = load("secret_key = \"hunter2hunter2\nlisten = 1", &[]).unwrap_err();
    assert!(!unparsable.to_string().contains(secret), "{unparsable}");

    let variables = [("SINCRO_SECRET_KEY", SECRET_KEY), ("DATABASE_URL", "postgres://u:hunter2hunter2@h/d")];
    let debug = format!("{:?}", load("", &variables).unwrap());
    assert!(!debug.contains(secret) && !debug.contains(SECRET_KEY), "{debug}");
}

#[test]
fn a_redis_url_of_several_servers_is_checked_and_not_shown() {
    for url in [
        "redis+cluster://:hunter2@one:7001,two:7002",
        "rediss+cluster://one",
        "redis+sentinel://:hunter2@one,two:26380/name?db=1&sentinel_password=hunter2",
    ] {
        assert_eq!(load("", &[("REDIS_URL", url)]).unwrap().redis_url().unwrap().expose_secret(), url);
    }
    for url in ["redis+cluster://:hunter2@one,", "redis+sentinel://:hunter2@one", "redis+gossip://:hunter2@one"] {
        let problems = problems("", &[("REDIS_URL", url)]);
        assert!(problems[0].starts_with("redis_url (from REDIS_URL): "), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let refused = Config::load(Some(Path::new("/nowhere/sincro.toml")), &Environment::new()).unwrap_err();
    assert!(refused.to_string().starts_with("configuration: /nowhere/sincro.toml cannot be read: "), "{refused}");
    let refused = load("listen = ", &[]).unwrap_err().to_string();
    assert!(refused.contains(".toml: TOML parse error at line 1, column"), "{refused}");
}

#[test]
fn what_a_command_needs_and_is_not_set_says_how_to_set_it() {
    let config = load("", &[]).unwrap();
    assert!(config.database_url().unwrap_err().to_string().contains("SINCRO_DATABASE_URL or DATABASE_URL"));
    assert!(config.redis_url().unwrap_err().to_string().contains("SINCRO_REDIS_URL or REDIS_URL"));
    assert!(config.secret_key().unwrap_err().to_string().contains("openssl rand -base64 32"));
}

#[test]
fn the_public_address_is_the_listen_address_unless_it_is_configured() {
    let bound = "127.0.0.1:49152".parse().unwrap();
    assert_eq!(load("", &[]).unwrap().public_url(bound), "http://127.0.0.1:49152");
    let config = load("public_url = 'https://sincro.example.org/'", &[]).unwrap();
    assert_eq!(config.public_url(bound), "https://sincro.example.org");
}
